//! Runs a test on those rows of `MODELS` that have a property.

use evserve::config::Config;
use evserve::model::{MODELS, ModelRow, find};
use evserve::poller::Poller;
use evserve::service::Sharing;
use evserve::uring::Ring;

/// The row of a model.
pub fn row(model: &str) -> &'static ModelRow {
    find(model).expect("a model")
}

/// True if the model is an event loop.
pub fn is_loop(model: &str) -> bool {
    row(model).is_loop()
}

/// True if the kernel performs the model's operations on sockets and reports their results.
pub fn is_completion_model(model: &str) -> bool {
    row(model).wait_call == Ring::CALL.name()
}

/// True if a model serves one connection at a time and all others wait for it.
pub fn serves_one_at_a_time(model: &str) -> bool {
    row(model).serves_one_at_a_time()
}

/// Runs `case` on each model for which `holds` is true.
///
/// `EVSERVE_PROGRAM` names a program with a model of its own. It is tested in place of `threaded`
/// and must pass the same tests. `EVSERVE_MODEL` names the only model to test.
fn on_each(holds: impl Fn(&ModelRow) -> bool, case: impl Fn(&'static str)) {
    let is_own = std::env::var_os("EVSERVE_PROGRAM").is_some();
    let only = match is_own {
        true => Some("threaded".into()),
        false => std::env::var("EVSERVE_MODEL").ok(),
    };
    let here = MODELS
        .iter()
        .filter(|row| only.as_ref().is_none_or(|only| row.name == only));
    let mut rows = here.filter(|row| holds(row)).peekable();
    let is_tested = rows.peek().is_some() || only.is_some();
    assert!(is_tested, "no model is tested");
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

/// The models in which connections can send to each other.
pub fn on_every_shared_model(case: impl Fn(&'static str)) {
    on_each(|row| row.isolated_because.is_none(), case);
}

/// The models whose connections share memory.
pub fn on_every_model_of_shared_memory(case: impl Fn(&'static str)) {
    on_each(|row| row.cannot_share(Sharing::Memory).is_none(), case);
}

/// The models in which connections cannot send to each other.
pub fn on_every_isolated_model(case: impl Fn(&'static str)) {
    on_each(|row| row.isolated_because.is_some(), case);
}

pub fn on_every_loop(case: impl Fn(&'static str)) {
    on_each(ModelRow::is_loop, case);
}

/// The models with a thread or a process for each connection.
pub fn on_every_task_model(case: impl Fn(&'static str)) {
    on_each(
        |row| !row.serves_one_at_a_time() && !row.waits_for_many(),
        case,
    );
}

/// True if the kernel performs the operations of this model and reports their results.
pub fn completes(row: &ModelRow) -> bool {
    row.wait_call == "io_uring_enter"
}

/// True for one model of each kind, for tests that would take too long on all of them: the default
/// model, the one in which operations complete, and for each other executor the first that serves
/// more than one connection at a time.
pub fn represents_its_kind(row: &ModelRow) -> bool {
    let default = self::row(&Config::default().model);
    if completes(row) {
        return true;
    }
    let concurrent = MODELS.iter().filter(|row| !row.serves_one_at_a_time());
    let mut alike = concurrent.filter(|other| other.executor == row.executor);
    match row.executor == default.executor {
        true => row.name == default.name,
        false => alike.next().is_some_and(|first| first.name == row.name),
    }
}

pub fn on_one_model_of_each_kind(case: impl Fn(&'static str)) {
    on_each(represents_its_kind, case);
}

/// The options that limit a model to this number of connections at a time.
pub fn limited_to(model: &str, connections: usize) -> Vec<String> {
    let option = row(model).limit_option.into_iter();
    option
        .flat_map(|option| [format!("--{option}"), connections.to_string()])
        .collect()
}

/// The option for one loop, for a model that may have several; none for the others. For tests of what
/// each loop has or does for itself.
pub fn with_one_loop(model: &str) -> &'static [&'static str] {
    match row(model).options.contains(&"workers") {
        true => &["--workers", "1"],
        false => &[],
    }
}

/// The option that sets the number of threads, for a model with a fixed number; none for the
/// others.
pub fn with_threads(model: &str, threads: usize) -> Vec<String> {
    match row(model).limit_option {
        Some("threads") => limited_to(model, threads),
        _ => Vec::new(),
    }
}
