//! The order of the measurements: each step beside `epoll`.
//!
//! Steps come in twos, with `epoll` between them: A E B, and in the next round B E A. So each pair
//! is measured within two seconds, as often with `epoll` first as with `epoll` last, and one
//! measurement of `epoll` serves two pairs.

use super::steps::{EPOLL, Step};
use super::trial::{Bench, Trial};
use super::workloads::Workload;
use evserve_lab::Outcome;
use evserve_lab::progress::Progress;

/// What is to be measured.
pub struct Plan<'a> {
    steps: &'a [&'static Step],
    workloads: &'a [&'static Workload],
    rounds: u32,
}

/// The measurements under one workload.
pub struct Measured {
    pub workload: &'static Workload,
    /// Those of each pair: a step, its measurement and that of `epoll` beside it.
    pub pairs: Vec<Pair>,
    /// Failures, as sentences.
    pub faults: Vec<String>,
}

/// Two measurements, one right after the other.
#[derive(Clone, Copy)]
pub struct Pair {
    pub step: &'static str,
    pub round: u32,
    pub trial: Trial,
    pub epoll: Trial,
}

impl<'a> Plan<'a> {
    pub fn new(
        steps: &'a [&'static Step],
        workloads: &'a [&'static Workload],
        rounds: u32,
    ) -> Plan<'a> {
        Plan {
            steps,
            workloads,
            rounds,
        }
    }

    /// The steps that matter to a workload, in twos.
    fn twos(&self, workload: &Workload) -> Vec<Vec<&'static Step>> {
        let matter = self.steps.iter().filter(|step| (step.matters)(workload));
        let matter: Vec<_> = matter.copied().collect();
        matter.chunks(2).map(<[_]>::to_vec).collect()
    }

    /// The number of measurements.
    pub fn len(&self) -> usize {
        let twos = self.workloads.iter().flat_map(|one| self.twos(one));
        self.rounds as usize * twos.map(|two| two.len() + 1).sum::<usize>()
    }

    /// How long it takes.
    pub fn seconds(&self, bench: &Bench) -> f64 {
        self.len() as f64 * bench.seconds()
    }

    /// Makes all measurements, round after round.
    ///
    /// # Errors
    /// The user wants to stop.
    pub fn carry_out(&self, bench: &Bench, progress: &mut Progress) -> Outcome<Vec<Measured>> {
        let begin = |workload: &&'static Workload| Measured {
            workload,
            pairs: Vec::new(),
            faults: Vec::new(),
        };
        let mut all: Vec<_> = self.workloads.iter().map(begin).collect();
        for round in 1..=self.rounds {
            for measured in &mut all {
                for mut two in self.twos(measured.workload) {
                    if round.is_multiple_of(2) {
                        two.reverse();
                    }
                    measured.add(bench, progress, round, &two)?;
                }
            }
        }
        Ok(all)
    }
}

impl Measured {
    /// Measures one or two steps with `epoll` between them. One comes before it in odd rounds.
    fn add(
        &mut self,
        bench: &Bench,
        progress: &mut Progress,
        round: u32,
        two: &[&'static Step],
    ) -> Outcome<()> {
        let mut order = two.to_vec();
        order.insert(
            if two.len() == 1 && round.is_multiple_of(2) {
                0
            } else {
                1
            },
            &EPOLL,
        );
        let mut trials = Vec::new();
        for step in order {
            let title = self.workload.title;
            progress.next(
                &format!("{title}, round {round}: {}", step.name),
                bench.seconds(),
            )?;
            let trial = bench.measure(self.workload, step).unwrap_or_else(|fault| {
                let name = step.name;
                self.faults
                    .push(format!("{title}, round {round}, {name}: {fault}"));
                None
            });
            trials.push((step.name, trial));
        }
        let epoll = trials.iter().find(|(name, _)| *name == EPOLL.name);
        let Some(epoll) = epoll.and_then(|(_, trial)| *trial) else {
            return Ok(());
        };
        let steps = trials.iter().filter(|(name, _)| *name != EPOLL.name);
        self.pairs.extend(steps.filter_map(|(step, trial)| {
            let (step, trial) = (*step, (*trial)?);
            Some(Pair {
                step,
                round,
                trial,
                epoll,
            })
        }));
        Ok(())
    }
}
