//! What is measured, and in which order.
//!
//! A round of a step measures the contestants one right after the other, in a random order, so that
//! what changes on the machine meets all alike. Each step is repeated until every ratio is precise,
//! or a bound is met (`evserve_lab::repetition`). A contestant whose ratio is precise rests while
//! others of its step go on. The one that they are compared with goes on with them.

use super::attempt::Attempts;
use super::bench::Bench;
use super::contestant::Contestant;
use super::experiments::Experiment;
use super::parts::Part;
use evserve_lab::Outcome;
use evserve_lab::core_to_core::{Distance, latency_ns};
use evserve_lab::progress::Progress;
use evserve_lab::repetition::{Repetition, State};
use evserve_lab::run::{self, Gap, Run};
use evserve_lab::statistics::Ratio;
use fastrand::Rng;

/// All steps of a run.
pub struct Plan<'a> {
    parts: &'a [Part],
    steps: Vec<Step>,
    repetition: Repetition,
}

/// A step of an experiment.
#[derive(Clone, Copy)]
struct Step {
    experiment: &'static Experiment,
    /// The index of its experiment in the run, and among the parts.
    part: usize,
    step: u64,
}

impl<'a> Plan<'a> {
    /// Notes in the run what contestants cannot do, with the reason.
    pub fn make(bench: &Bench, parts: &'a [Part], run: &mut Run) -> Plan<'a> {
        let mut steps = Vec::new();
        for (part, of) in parts.iter().enumerate() {
            let experiment = of.experiment;
            for &step in experiment.steps(&bench.pace) {
                for contestant in &of.contestants {
                    if let Some(why) = (experiment.cannot)(contestant, step) {
                        run.experiments[part].leave_gap(gap(contestant, step, why));
                    }
                }
                steps.push(Step {
                    experiment,
                    part,
                    step,
                });
            }
        }
        Plan {
            parts,
            repetition: Repetition::new(bench.pace.rule, steps.iter().map(|step| step.part)),
            steps,
        }
    }

    /// Makes all measurements that fit the time. A failed one becomes a fault or a gap of the run,
    /// and the others continue.
    ///
    /// # Errors
    /// The user wants to stop.
    pub fn carry_out(&mut self, bench: &Bench, run: &mut Run, random: &mut Rng) -> Outcome<()> {
        let mut progress = Progress::within(bench.pace.budget)?;
        let mut attempts = Attempts::new(bench);
        eprintln!("{}", self.announcement(bench, run));
        let distance = || latency_ns(bench.cores).map(Distance::of);
        while let Some(index) = self.repetition.next(distance()) {
            let step = self.steps[index];
            let mut now = self.active(index, run, bench);
            random.shuffle(&mut now);
            let seconds = (step.experiment.seconds)(&bench.pace, step.step);
            let round = self.repetition.made(index) + 1;
            if !progress.has_time_for(seconds * now.len() as f64) {
                break;
            }
            progress.expect(self.rest(bench));
            for contestant in now {
                let what = format!(
                    "{} at {}, round {round}: {}",
                    step.experiment.name, step.step, contestant.name
                );
                progress.next(&what, seconds)?;
                let trial = bench.trial(contestant, step.step);
                attempts.make(
                    &what,
                    &trial,
                    step.experiment,
                    round,
                    &mut run.experiments[step.part],
                );
            }
            let spreads = self.spreads(step, run);
            let distance = run.experiments[step.part].distance_in(step.step, round);
            self.repetition.note(index, distance, &spreads);
        }
        progress.end();
        self.leave_gaps(bench, run);
        attempts.sum_up(run);
        Ok(())
    }

    fn announcement(&self, bench: &Bench, run: &Run) -> String {
        let once: f64 = (0..self.steps.len())
            .map(|index| self.seconds(index, run, bench))
            .sum();
        let (pace, minutes) = (&bench.pace, bench.pace.budget.as_secs_f64() / 60.0);
        let rounds = pace.budget.as_secs_f64() / once;
        let count = self.steps.len();
        if pace.rule.most == 1 {
            return format!(
                "{count} steps, one round: about {:.1} min, {minutes:.1} at most",
                (once / 60.0).min(minutes)
            );
        }
        let enough = match rounds < f64::from(pace.rule.least) {
            true => "; that is too short for intervals: give more --minutes, or --only some",
            false => "",
        };
        format!(
            "{count} steps; a round takes about {:.1} min, and {minutes:.0} min are time for about \
             {rounds:.1}{enough}",
            once / 60.0
        )
    }

    /// The contestants of a step.
    fn all(&self, step: Step) -> &'a [Contestant] {
        &self.parts[step.part].contestants
    }

    /// The contestants that a step needs now.
    fn active(&self, index: usize, run: &Run, bench: &Bench) -> Vec<&'a Contestant> {
        let (step, rounds) = (self.steps[index], self.repetition.rounds(index));
        let part = &run.experiments[step.part];
        let can = |one: &Contestant| (step.experiment.cannot)(one, step.step).is_none();
        let needs_more = |one: &Contestant| {
            if !can(one) {
                return false;
            }
            if rounds < bench.pace.rule.least {
                // What has had no figures twice will have none.
                return rounds < 2 || part.rounds(&one.name, step.step) > 0;
            }
            // Without an interval there are too few pairs.
            let spread = ratio(part, one, step).map(|ratio| ratio.spread());
            spread.is_some_and(|known| known.is_none_or(|known| known > bench.pace.rule.within))
        };
        let with = |one: &&Contestant| {
            let is_partner = |other: &Contestant| {
                other.against.as_deref() == Some(one.name.as_str()) && needs_more(other)
            };
            needs_more(one) || can(one) && self.all(step).iter().any(is_partner)
        };
        self.all(step).iter().filter(with).collect()
    }

    /// How far each ratio of a step is known.
    fn spreads(&self, step: Step, run: &Run) -> Vec<Option<f64>> {
        let part = &run.experiments[step.part];
        let has_partner = |one: &&Contestant| {
            let name = one.against.as_deref();
            let rounds = |name: &str| part.rounds(name, step.step);
            name.is_some_and(|against| rounds(against).min(rounds(&one.name)) > 0)
        };
        let with = self.all(step).iter().filter(has_partner);
        with.map(|one| ratio(part, one, step)?.spread()).collect()
    }

    /// What a round of a step takes.
    fn seconds(&self, index: usize, run: &Run, bench: &Bench) -> f64 {
        let step = self.steps[index];
        let count = self.active(index, run, bench).len() as f64;
        count * (step.experiment.seconds)(&bench.pace, step.step)
    }

    /// What all rounds take that are still expected.
    fn rest(&self, bench: &Bench) -> f64 {
        let of = |index: usize| {
            let step = self.steps[index];
            let each = (step.experiment.seconds)(&bench.pace, step.step);
            f64::from(self.repetition.rest(index)) * each * self.all(step).len() as f64
        };
        (0..self.steps.len()).map(of).sum()
    }

    /// Notes what the time did not reach.
    fn leave_gaps(&self, bench: &Bench, run: &mut Run) {
        for (index, step) in self.steps.iter().enumerate() {
            if self.repetition.state(index) != State::Begun {
                continue;
            }
            for contestant in self.all(*step) {
                let part = &mut run.experiments[step.part];
                if part.rounds(&contestant.name, step.step) == 0 {
                    let minutes = bench.pace.budget.as_secs_f64() / 60.0;
                    let why = format!("no time was left of {minutes:.1} min");
                    part.leave_gap(gap(contestant, step.step, why));
                }
            }
        }
    }
}

/// By the experiment's first figure.
fn ratio(part: &run::Experiment, one: &Contestant, step: Step) -> Option<Ratio> {
    let (figure, against) = (part.figures.first()?, one.against.as_deref()?);
    part.ratio(&one.name, against, step.step, &figure.name)
}

pub fn gap(contestant: &Contestant, step: u64, why: String) -> Gap {
    Gap {
        contestant: contestant.name.clone(),
        step,
        why,
    }
}
