//! The order of the measurements. A round of a claim measures each side right after the other. Its
//! next round goes the other way, so that no side is always the first one. The claims take turns,
//! each until its intervals are narrow.

use super::claims::Row;
use super::trial::{Bench, Failure, Values};
use super::work::Side;
use evserve_lab::Outcome;
use evserve_lab::claim::{Check, Of, STEP};
use evserve_lab::core_to_core::{self, Distance, latency_ns};
use evserve_lab::disturbance::{Met, Watch};
use evserve_lab::progress::Progress;
use evserve_lab::repetition::{Repetition, Rule};
use evserve_lab::run::{Experiment, Figure, Gap, Sample};

/// A side that is late so often is left out. With many connections once is enough.
const LATE_LIMIT: usize = 4;

/// All results.
#[derive(Default)]
pub struct Measured {
    pub experiments: Vec<Experiment>,
    /// Failures, as sentences.
    pub faults: Vec<String>,
    /// What evserve cannot do here, as sentences.
    pub absent: Vec<String>,
    /// How many measurements were made, and how many of them something disturbed.
    pub made: u32,
    pub disturbed: u32,
}

/// All measurements of all claims.
pub struct Plan<'a> {
    bench: &'a Bench,
    progress: Progress,
    rows: Vec<Measuring>,
    measured: Measured,
}

/// A claim that is being measured.
struct Measuring {
    row: &'static Row,
    experiment: Experiment,
    round: u32,
    /// A side for each time that it was late.
    late: Vec<&'static str>,
}

impl<'a> Plan<'a> {
    /// # Errors
    /// Errors of sigaction(2).
    pub fn new(bench: &'a Bench, rows: &[&'static Row]) -> Outcome<Plan<'a>> {
        Ok(Plan {
            bench,
            progress: Progress::within(bench.pace.budget)?,
            rows: rows.iter().copied().map(Measuring::new).collect(),
            measured: Measured::default(),
        })
    }

    /// Makes all measurements. Claims with many connections come first: the others take as many
    /// rounds as there is time for.
    ///
    /// # Errors
    /// The user wants to stop.
    pub fn carry_out(mut self) -> Outcome<Measured> {
        let pace = self.bench.pace;
        let (crowds, others): (Vec<_>, Vec<_>) =
            (0..self.rows.len()).partition(|index| self.rows[*index].row.is_crowd());
        let rest = f64::from(pace.rounds.least) * self.round_seconds(&others);
        let all = rest + f64::from(pace.crowd_rounds.least) * self.round_seconds(&crowds);
        eprintln!("at least {:.1} min", all / 60.0);
        self.repeat(&crowds, pace.crowd_rounds, rest)?;
        self.repeat(&others, pace.rounds, 0.0)?;
        self.progress.end();
        let experiments = self.rows.into_iter().map(Measuring::end);
        self.measured.experiments = experiments.collect();
        Ok(self.measured)
    }

    fn round_seconds(&self, indices: &[usize]) -> f64 {
        let rows = indices.iter().map(|index| self.rows[*index].row);
        rows.map(|row| self.bench.round_seconds(row)).sum()
    }

    /// Repeats these claims until their intervals are narrow, a bound is met, or the time is over.
    /// Each has one round at least. `rest` is the expected duration of what follows.
    fn repeat(&mut self, indices: &[usize], rule: Rule, rest: f64) -> Outcome<()> {
        let mut repetition = Repetition::new(rule, 0..indices.len());
        let cores = self.bench.cores;
        while let Some(step) = repetition.next(latency_ns(cores).map(Distance::of)) {
            let index = indices[step];
            let seconds = self.bench.round_seconds(self.rows[index].row);
            if repetition.made(step) > 0 && !self.progress.has_time_for(seconds + rest) {
                break;
            }
            let expected = indices.iter().enumerate().map(|(step, index)| {
                let row = self.rows[*index].row;
                self.bench.round_seconds(row) * f64::from(repetition.rest(step))
            });
            self.progress.expect(expected.sum::<f64>() + rest);
            self.measure_round(index)?;
            let measuring = &self.rows[index];
            let distance = measuring.experiment.distance_in(STEP, measuring.round);
            repetition.note(step, distance, &measuring.spreads());
        }
        Ok(())
    }

    /// Measures all sides of a claim once.
    fn measure_round(&mut self, index: usize) -> Outcome<()> {
        let measuring = &mut self.rows[index];
        measuring.round += 1;
        let (row, round) = (measuring.row, measuring.round);
        let mut order: Vec<_> = row.sides.iter().collect();
        if round.is_multiple_of(2) {
            order.reverse();
        }
        for side in order {
            let what = format!("{}, round {round}: {}", row.claim.name, side.name);
            self.progress.next(&what, self.bench.seconds(side.work))?;
            let measuring = &mut self.rows[index];
            if measuring.has_gap(side) {
                continue;
            }
            let watch = Watch::start(self.bench.cores);
            let outcome = self.bench.measure(side);
            let met = watch.end();
            self.measured.made += 1;
            self.measured.disturbed += u32::from(met.disturbed.is_some());
            let why = match outcome {
                Ok(values) => {
                    let sample = sample(side, round, values, met);
                    measuring.experiment.samples.push(sample);
                    continue;
                }
                Err(Failure::Late(why)) => {
                    measuring.late.push(side.name);
                    let limit = if row.is_crowd() { 1 } else { LATE_LIMIT };
                    let times = measuring.late.iter().filter(|name| **name == side.name);
                    if times.count() < limit {
                        continue;
                    }
                    why
                }
                Err(Failure::Absent(why)) => {
                    self.measured.absent.push(format!("{what}: {why}"));
                    why
                }
                Err(Failure::Wrong(why)) => {
                    self.measured.faults.push(format!("{what}: {why}"));
                    why
                }
            };
            self.progress.end();
            eprintln!("claims: {what}: {why}");
            self.rows[index].experiment.gaps.push(gap(side, why));
        }
        Ok(())
    }
}

impl Measuring {
    fn new(row: &'static Row) -> Measuring {
        Measuring {
            row,
            experiment: empty(row),
            round: 0,
            late: Vec::new(),
        }
    }

    fn has_gap(&self, side: &Side) -> bool {
        let mut gaps = self.experiment.gaps.iter();
        gaps.any(|gap| gap.contestant == side.name)
    }

    /// How wide the interval of each check is, as half of it to the median. A check that cannot be
    /// made needs no more rounds.
    fn spreads(&self) -> Vec<Option<f64>> {
        let missing = |check: &Check| match check.of {
            Of::One(name) => self.is_missing(name),
            Of::Ratio(above, below) => self.is_missing(above) || self.is_missing(below),
        };
        let checks = self.row.claim.checks.iter().filter(|check| !missing(check));
        checks
            .map(|check| check.measured(&self.experiment)?.spread())
            .collect()
    }

    fn is_missing(&self, name: &str) -> bool {
        let mut gaps = self.experiment.gaps.iter();
        gaps.any(|gap| gap.contestant == name)
    }

    fn end(mut self) -> Experiment {
        for side in self.row.sides {
            let times = self.late.iter().filter(|name| **name == side.name).count();
            if times > 0 && !self.has_gap(side) {
                let why = format!(
                    "no response came in time in {times} of {} rounds",
                    self.round
                );
                self.experiment.gaps.push(gap(side, why));
            }
        }
        self.experiment
    }
}

fn sample(side: &Side, round: u32, mut values: Values, met: Met) -> Sample {
    let distance = met.core_to_core_ns;
    values.extend(distance.map(|time| (core_to_core::FIGURE.to_owned(), time)));
    Sample {
        contestant: side.name.to_owned(),
        step: STEP,
        round,
        values,
        disturbed: met.disturbed,
    }
}

fn gap(side: &Side, why: String) -> Gap {
    Gap {
        contestant: side.name.to_owned(),
        step: STEP,
        why,
    }
}

fn empty(row: &Row) -> Experiment {
    let claim = &row.claim;
    let figure = |figure: &evserve_lab::claim::Figure| Figure {
        name: figure.name.to_owned(),
        title: figure.title.to_owned(),
        unit: figure.unit.to_owned(),
        better: figure.better,
        logarithmic: false,
    };
    Experiment {
        name: claim.name.to_owned(),
        title: claim.title.to_owned(),
        about: claim.experiment.to_owned(),
        steps_are: "none".to_owned(),
        contestants: Vec::new(),
        figures: claim.figures.iter().map(figure).collect(),
        samples: Vec::new(),
        gaps: Vec::new(),
    }
}
