//! What is measured, and in which order: round after round, so that what changes on the machine
//! meanwhile meets all alike; within a round, at each step of each experiment, one model after the
//! other.

use super::bench::Bench;
use super::contestant::Contestant;
use super::experiments::Experiment;
use super::pace::Pace;
use evserve_lab::Outcome;
use evserve_lab::progress::Progress;
use evserve_lab::run::{self, Gap, Run, Sample};

/// All measurements of a run.
pub struct Plan<'a>(Vec<Planned<'a>>);

/// One planned measurement.
struct Planned<'a> {
    round: u32,
    experiment: &'static Experiment,
    step: u64,
    contestant: &'a Contestant,
}

impl<'a> Plan<'a> {
    /// Leaves out what a model cannot do, and notes the reason in the run.
    pub fn make(
        pace: &Pace,
        contestants: &'a [Contestant],
        experiments: &[&'static Experiment],
        run: &mut Run,
    ) -> Plan<'a> {
        let mut plan = Vec::new();
        for round in 0..pace.rounds {
            for &experiment in experiments {
                for &step in experiment.steps(pace) {
                    for index in 0..contestants.len() {
                        // A different contestant begins in each round.
                        let turn = (index + round as usize) % contestants.len();
                        let planned = Planned {
                            round,
                            experiment,
                            step,
                            contestant: &contestants[turn],
                        };
                        match (experiment.cannot)(planned.contestant, step) {
                            None => plan.push(planned),
                            Some(why) => planned.part_of(run).leave_gap(planned.gap(why)),
                        }
                    }
                }
            }
        }
        Plan(plan)
    }

    /// Makes all measurements. A failed one becomes a fault in the run, and the others
    /// continue.
    ///
    /// # Errors
    /// The user wants to stop.
    pub fn carry_out(&self, bench: &Bench, run: &mut Run) -> Outcome<()> {
        let pace = bench.pace;
        let seconds = |planned: &Planned<'_>| (planned.experiment.seconds)(pace, planned.step);
        let all: f64 = self.0.iter().map(seconds).sum();
        eprintln!(
            "{} measurements, about {:.0} min",
            self.0.len(),
            (all / 60.0).ceil()
        );
        let mut progress = Progress::new(self.0.len(), all)?;
        for planned in &self.0 {
            let (name, model) = (planned.experiment.name, &planned.contestant.name);
            let what = format!(
                "{name} at {}, round {}: {model}",
                planned.step,
                planned.round + 1
            );
            progress.next(&what, seconds(planned))?;
            if let Err(fault) = planned.carry_out(bench, run) {
                progress.end();
                eprintln!("io_models: {what}: {fault}");
                run.faults.push(format!("{what}: {fault}"));
            }
        }
        progress.end();
        Ok(())
    }
}

impl Planned<'_> {
    fn carry_out(&self, bench: &Bench, run: &mut Run) -> Outcome<()> {
        let measurement = (self.experiment.measure)(&bench.trial(self.contestant, self.step))?;
        let part = self.part_of(run);
        if let Some(why) = measurement.none {
            part.leave_gap(self.gap(why));
        }
        if !measurement.figures.is_empty() {
            let value = |(figure, value): (&str, f64)| (figure.to_owned(), value);
            part.samples.push(Sample {
                contestant: self.contestant.name.clone(),
                step: self.step,
                round: self.round + 1,
                values: measurement.figures.into_iter().map(value).collect(),
            });
        }
        Ok(())
    }

    /// Where its samples go.
    fn part_of<'a>(&self, run: &'a mut Run) -> &'a mut run::Experiment {
        let mut parts = run.experiments.iter_mut();
        let part = parts.find(|part| part.name == self.experiment.name);
        part.expect("the run begins with all of its experiments")
    }

    fn gap(&self, why: String) -> Gap {
        Gap {
            contestant: self.contestant.name.clone(),
            step: self.step,
            why,
        }
    }
}
