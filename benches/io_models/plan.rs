//! What is measured, and in which order: round after round, so that what changes on the machine
//! meanwhile meets all alike; within a round, at each step of each experiment, one model after the
//! other.

use super::bench::Bench;
use super::contestant::Contestant;
use super::experiments::Experiment;
use super::pace::Pace;
use super::results::{Gap, Record, Results};
use evserve_lab::Outcome;
use evserve_lab::progress::Progress;

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
    /// Leaves out what a model cannot do, and notes the reason in the results.
    pub fn make(
        pace: &Pace,
        contestants: &'a [Contestant],
        experiments: &[&'static Experiment],
        results: &mut Results,
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
                            Some(why) => results.leave_gap(planned.gap(why)),
                        }
                    }
                }
            }
        }
        Plan(plan)
    }

    /// Makes all measurements. A failed one becomes a fault in the results, and the others
    /// continue.
    ///
    /// # Errors
    /// The user wants to stop.
    pub fn carry_out(&self, bench: &Bench, results: &mut Results) -> Outcome<()> {
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
            if let Err(fault) = planned.carry_out(bench, results) {
                progress.end();
                eprintln!("io_models: {what}: {fault}");
                results.faults.push(format!("{what}: {fault}"));
            }
        }
        progress.end();
        Ok(())
    }
}

impl Planned<'_> {
    fn carry_out(&self, bench: &Bench, results: &mut Results) -> Outcome<()> {
        let measurement = (self.experiment.measure)(&bench.trial(self.contestant, self.step))?;
        if let Some(why) = measurement.none {
            results.leave_gap(self.gap(why));
        }
        let record = |(figure, value)| Record {
            experiment: self.experiment.name,
            model: self.contestant.name.clone(),
            step: self.step,
            round: self.round + 1,
            figure,
            value,
        };
        results
            .records
            .extend(measurement.figures.into_iter().map(record));
        Ok(())
    }

    fn gap(&self, why: String) -> Gap {
        Gap {
            experiment: self.experiment.name,
            model: self.contestant.name.clone(),
            step: self.step,
            why,
        }
    }
}
