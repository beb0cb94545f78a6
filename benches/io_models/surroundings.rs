//! What the figures of a run depend on.

use super::bench::Bench;
use super::contestant::Contestant;
use super::options::Options;
use super::pace::Pace;
use super::parts::Part;
use evserve_lab::environment;
use evserve_lab::run::{FORMAT, Run};

/// Begins a run, without measurements.
pub fn begin(options: &Options, bench: &Bench, parts: &[Part], seed: u64) -> Run {
    let models = Part::models(parts);
    let mut run = Run {
        format: FORMAT,
        benchmark: "io_models".to_owned(),
        environment: Vec::new(),
        pace: bench.pace.name.to_owned(),
        within_percent: 100.0 * bench.pace.rule.within,
        unfit: Vec::new(),
        baseline: baseline(models).to_owned(),
        contestants: models.iter().map(Contestant::begin).collect(),
        experiments: parts.iter().map(Part::begin).collect(),
        faults: Vec::new(),
    };
    for (name, value) in environment::machine() {
        run.note(&name, &value);
    }
    let programs = [
        environment::version(env!("CARGO_BIN_EXE_evserve"), "--version"),
        environment::version("perf", "--version"),
    ];
    let programs: Vec<_> = programs.into_iter().flatten().collect();
    run.note("programs", &programs.join(", "));
    for build in &options.against {
        run.note(
            &format!("build {}", build.name),
            &build.program.display().to_string(),
        );
    }
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments = arguments.join(" ").replace("--bench", "");
    run.note(
        "options",
        match arguments.trim() {
            "" => "none",
            some => some,
        },
    );
    run.note("seed", &seed.to_string());
    run.note("run", &described(&bench.pace));
    run
}

/// The one that all are compared with, or the first of several.
fn baseline(contestants: &[Contestant]) -> &str {
    let mut all = contestants.iter();
    let first = all.find(|one| one.against.is_none());
    first.map_or(Contestant::BASELINE, |one| &one.name)
}

/// Adds what is known only at the end.
pub fn end(run: &mut Run) {
    run.note("load average at the end", &environment::load_average());
}

fn described(pace: &Pace) -> String {
    let (name, rule, run) = (pace.name, pace.rule, pace.run.as_millis());
    match rule.most {
        1 => format!(
            "{name}: one round, measurements of {run} ms; a first look: trust no order below a factor of \
             two"
        ),
        most => format!(
            "{name}: {} to {most} rounds, until ratios are within {} %; measurements of {run} ms; at most \
             {:.0} min",
            rule.least,
            100.0 * rule.within,
            pace.budget.as_secs_f64() / 60.0
        ),
    }
}
