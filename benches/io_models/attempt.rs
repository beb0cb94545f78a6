//! One measurement, watched: if something disturbed it or it failed, it is made again.

use super::bench::{Bench, Measurement, Trial};
use super::experiments::Experiment;
use super::plan::gap;
use evserve_lab::attempts::{self, Subject};
use evserve_lab::core_to_core::{self, Distance};
use evserve_lab::disturbance::{Met, Watch};
use evserve_lab::run::{self, Run, Sample};

/// A run is unfit if the load generator was the limit in more than this part of an experiment's
/// measurements. It may be at the highest loads.
const LIMITED_SHARE: f64 = 0.5;

/// All measurements of a run, as they are made.
pub struct Attempts(attempts::Attempts);

impl Attempts {
    pub fn new(bench: &Bench) -> Attempts {
        // One round has no time to repeat what is not certain to help.
        Attempts(attempts::Attempts::new(bench.pace.rule.most > 1))
    }

    /// Makes a measurement. Its sample goes into this part of the run.
    pub fn make(
        &mut self,
        what: &str,
        trial: &Trial<'_>,
        experiment: &Experiment,
        round: u32,
        part: &mut run::Experiment,
    ) {
        let subject = Subject {
            contestant: &trial.contestant.name,
            step: trial.step,
            round,
        };
        let once = || {
            let watch = Watch::start(trial.cores);
            let outcome = (experiment.measure)(trial);
            if let Err(fault) = &outcome {
                eprintln!("\nio_models: {what}: {fault}");
            }
            (outcome, watch.end())
        };
        if let Some((measurement, met)) = self.0.make(subject, part, once) {
            keep(measurement, trial, round, met, part);
        }
    }

    /// Tells the run what was disturbed or failed.
    pub fn sum_up(self, run: &mut Run) {
        self.0.sum_up(run);
        run.note("cores", &distances(run));
        let limited: Vec<_> = run.experiments.iter().filter_map(limited).collect();
        run.unfit.extend(limited);
    }
}

fn keep(
    measurement: Measurement,
    trial: &Trial<'_>,
    round: u32,
    met: Met,
    part: &mut run::Experiment,
) {
    if let Some(why) = measurement.none {
        part.leave_gap(gap(trial.contestant, trial.step, why));
    }
    let distance = met.core_to_core_ns;
    let figures = measurement.figures.into_iter();
    let mut values: std::collections::BTreeMap<_, _> = figures
        // JSON has no others.
        .filter(|(_, value)| value.is_finite())
        .map(|(figure, value)| (figure.to_owned(), value))
        .collect();
    if !values.is_empty() {
        values.extend(distance.map(|time| (core_to_core::FIGURE.to_owned(), time)));
        part.samples.push(Sample {
            contestant: trial.contestant.name.clone(),
            step: trial.step,
            round,
            values,
            disturbed: met.disturbed,
        });
    }
}

/// How far apart the cores were.
fn distances(run: &Run) -> String {
    let all = run.experiments.iter().flat_map(|part| &part.samples);
    let all: Vec<_> = all.map(Sample::distance).collect();
    let count = |one: Option<Distance>| all.iter().filter(|other| **other == one).count();
    format!(
        "shared a cache in {} measurements, shared none in {}, were too busy to tell in {}",
        count(Some(Distance::Near)),
        count(Some(Distance::Far)),
        count(None)
    )
}

/// Says so if the generator was the limit in most measurements of an experiment.
fn limited(part: &run::Experiment) -> Option<String> {
    let all = part.samples.iter();
    let known: Vec<_> = all
        .filter_map(|one| one.values.get("generator_limited"))
        .collect();
    let (all, limited) = (
        known.len(),
        known.iter().filter(|value| ***value > 0.0).count(),
    );
    (limited as f64 > LIMITED_SHARE * all as f64).then(|| {
        let name = &part.name;
        format!("the load generator was the limit in {limited} of {all} measurements of {name}")
    })
}
