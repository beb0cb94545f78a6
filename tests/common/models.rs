//! Tests that run on rows of the table of models, chosen by what a model can do.

use evserve::config::Config;
use evserve::model::{MODELS, ModelRow, find};
use evserve::service::Sharing;

/// The row of a model.
pub fn row(model: &str) -> &'static ModelRow {
    find(model).expect("a model")
}

/// True for the models that are an event loop.
pub fn is_loop(model: &str) -> bool {
    row(model).is_loop()
}

/// True for the models in which all connections wait for the one that is served.
pub fn serves_one_at_a_time(model: &str) -> bool {
    row(model).serves_one_at_a_time()
}

/// Runs a case on each row of the table of models for which that holds.
///
/// A program with a model of its own (`EVSERVE_PROGRAM`) is tested in place of `threaded`, which it is to be as good as.
fn on_each(holds: impl Fn(&ModelRow) -> bool, case: impl Fn(&'static str)) {
    let is_own = std::env::var_os("EVSERVE_PROGRAM").is_some();
    let here = MODELS
        .iter()
        .filter(|row| !is_own || row.name == "threaded");
    let mut rows = here.filter(|row| holds(row)).peekable();
    assert!(rows.peek().is_some() || is_own, "no model is tested");
    for row in rows {
        eprintln!("model {}", row.name);
        case(row.name);
    }
}

pub fn on_every_model(case: impl Fn(&'static str)) {
    on_each(|_| true, case);
}

/// The models that serve more than one connection at a time.
pub fn on_every_concurrent_model(case: impl Fn(&'static str)) {
    on_each(|row| !row.serves_one_at_a_time(), case);
}

/// The models in which conversations can hear each other.
pub fn on_every_shared_model(case: impl Fn(&'static str)) {
    on_each(|row| row.isolated_because.is_none(), case);
}

/// The models whose connections share memory.
pub fn on_every_model_of_one_memory(case: impl Fn(&'static str)) {
    on_each(|row| row.cannot_share(Sharing::Memory).is_none(), case);
}

/// The models in which they cannot.
pub fn on_every_apart_model(case: impl Fn(&'static str)) {
    on_each(|row| row.isolated_because.is_some(), case);
}

pub fn on_every_loop(case: impl Fn(&'static str)) {
    on_each(ModelRow::is_loop, case);
}

/// The models that have a thread or a process for each of several connections.
pub fn on_every_model_of_tasks(case: impl Fn(&'static str)) {
    on_each(|row| !row.serves_one_at_a_time() && !row.is_loop(), case);
}

/// One model of each kind, where all would take too long: the default one, and for each other executor the first that
/// serves more than one connection at a time.
pub fn is_of_its_kind(row: &ModelRow) -> bool {
    let default = self::row(&Config::default().model);
    let concurrent = MODELS.iter().filter(|row| !row.serves_one_at_a_time());
    let mut alike = concurrent.filter(|other| other.executor == row.executor);
    match row.executor == default.executor {
        true => row.name == default.name,
        false => alike.next().is_some_and(|first| first.name == row.name),
    }
}

pub fn on_each_kind(case: impl Fn(&'static str)) {
    on_each(is_of_its_kind, case);
}

/// The options by which a model serves that many connections at a time.
pub fn limited_to(model: &str, connections: usize) -> Vec<String> {
    let option = row(model).limit_option.into_iter();
    option
        .flat_map(|option| [format!("--{option}"), connections.to_string()])
        .collect()
}

/// For a model with a fixed number of threads, that number; for the others nothing.
pub fn of_threads(model: &str, threads: usize) -> Vec<String> {
    match row(model).limit_option {
        Some("threads") => limited_to(model, threads),
        _ => Vec::new(),
    }
}
