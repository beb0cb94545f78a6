//! One measurement, watched: if something disturbed it, it is made again or marked.

use super::bench::{Bench, Measurement, Trial};
use super::experiments::Experiment;
use super::plan::gap;
use evserve_lab::cores::Cores;
use evserve_lab::disturbance::Watch;
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
        let (mut outcome, mut disturbed) = self.once(trial, experiment);
        let often = f64::from(self.repeated) > REPEATED_SHARE * f64::from(self.made.max(20));
        if disturbed.is_some() && self.may_repeat && !often {
            self.repeated += 1;
            (outcome, disturbed) = self.once(trial, experiment);
        }
        match outcome {
            Ok(measurement) => self.keep(measurement, trial, round, disturbed, part),
            Err(fault) if is_late(&fault) => {
                let why = match &disturbed {
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

    fn once(
        &self,
        trial: &Trial<'_>,
        experiment: &Experiment,
    ) -> (Outcome<Measurement>, Option<String>) {
        let watch = Watch::start(self.cores);
        let outcome = (experiment.measure)(trial);
        (outcome, watch.end())
    }

    fn keep(
        &mut self,
        measurement: Measurement,
        trial: &Trial<'_>,
        round: u32,
        disturbed: Option<String>,
        part: &mut run::Experiment,
    ) {
        if let Some(why) = measurement.none {
            part.leave_gap(gap(trial.contestant, trial.step, why));
        }
        if let Some(why) = &disturbed {
            self.disturbed += 1;
            self.why.clone_from(why);
        }
        let figures = measurement.figures.into_iter();
        let values: std::collections::BTreeMap<_, _> = figures
            // JSON has no others.
            .filter(|(_, value)| value.is_finite())
            .map(|(figure, value)| (figure.to_owned(), value))
            .collect();
        if !values.is_empty() {
            part.samples.push(Sample {
                contestant: trial.contestant.name.clone(),
                step: trial.step,
                round,
                values,
                disturbed,
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
