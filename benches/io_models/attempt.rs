//! One measurement, watched: if something disturbed it, it is made again or marked.

use super::bench::{Bench, Measurement, Trial};
use super::experiments::Experiment;
use super::plan::gap;
use evserve_lab::core_to_core::{self, Distance};
use evserve_lab::cores::Cores;
use evserve_lab::disturbance::{Met, Watch};
use evserve_lab::late::Late;
use evserve_lab::run::{self, Run, Sample};
use evserve_lab::{Fault, Outcome};

/// A disturbed measurement is made once more, unless so many are disturbed that it would not help.
const REPEATED_SHARE: f64 = 0.2;

/// A run is unfit if more measurements than this part of them are disturbed in the end.
const UNFIT_SHARE: f64 = 0.05;

/// Or if the load generator was the limit in more than this part of an experiment's measurements. It
/// may be at the highest loads.
const LIMITED_SHARE: f64 = 0.5;

/// All measurements of a run, as they are made.
pub struct Attempts {
    cores: Cores,
    may_repeat: bool,
    made: u32,
    repeated: u32,
    disturbed: u32,
    /// The last one's disturbance.
    why: String,
    faults: Vec<String>,
}

impl Attempts {
    pub fn new(bench: &Bench) -> Attempts {
        Attempts {
            cores: bench.cores,
            // One round has no time for that.
            may_repeat: bench.pace.rule.most > 1,
            made: 0,
            repeated: 0,
            disturbed: 0,
            why: String::new(),
            faults: Vec::new(),
        }
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
        self.made += 1;
        let (mut outcome, mut met) = self.once(trial, experiment);
        let often = f64::from(self.repeated) > REPEATED_SHARE * f64::from(self.made.max(20));
        if met.disturbed.is_some() && self.may_repeat && !often {
            self.repeated += 1;
            (outcome, met) = self.once(trial, experiment);
        }
        match outcome {
            Ok(measurement) => self.keep(measurement, trial, round, met, part),
            Err(fault) if is_late(&fault) => {
                let why = match &met.disturbed {
                    None => fault.to_string(),
                    Some(disturbed) => format!("{fault}, while {disturbed}"),
                };
                part.leave_gap(gap(trial.contestant, trial.step, why));
            }
            Err(fault) => {
                eprintln!("\nio_models: {what}: {fault}");
                self.faults.push(format!("{what}: {fault}"));
            }
        }
    }

    fn once(&self, trial: &Trial<'_>, experiment: &Experiment) -> (Outcome<Measurement>, Met) {
        let watch = Watch::start(self.cores);
        let outcome = (experiment.measure)(trial);
        (outcome, watch.end())
    }

    fn keep(
        &mut self,
        measurement: Measurement,
        trial: &Trial<'_>,
        round: u32,
        met: Met,
        part: &mut run::Experiment,
    ) {
        if let Some(why) = measurement.none {
            part.leave_gap(gap(trial.contestant, trial.step, why));
        }
        if let Some(why) = &met.disturbed {
            self.disturbed += 1;
            self.why.clone_from(why);
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

    /// Tells the run what was disturbed or failed.
    pub fn sum_up(self, run: &mut Run) {
        let made = self.made.max(1);
        let share = |count: u32| f64::from(count) / f64::from(made);
        run.note(
            "measurements",
            &format!(
                "{}, of which {} were disturbed and made again, and {} are marked as disturbed",
                self.made, self.repeated, self.disturbed
            ),
        );
        run.note("cores", &distances(run));
        if share(self.disturbed) > UNFIT_SHARE {
            run.unfit.push(format!(
                "{} of {made} measurements were disturbed: in the last of them {}",
                self.disturbed, self.why
            ));
        }
        let limited: Vec<_> = run.experiments.iter().filter_map(limited).collect();
        run.unfit.extend(limited);
        run.faults.extend(self.faults);
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

/// Whether something did not come in time: on a busy machine that is no failure.
fn is_late(fault: &Fault) -> bool {
    Late::is_cause_of(fault)
}
