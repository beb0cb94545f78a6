//! The order of the measurements: claim by claim, round by round, each side right after the other.
//! The next round goes the other way, so that no side is always the first one.

use super::claims::Row;
use super::pace::Pace;
use super::trial::{Bench, Failure, Values};
use super::work::Side;
use evserve_lab::Outcome;
use evserve_lab::claim::STEP;
use evserve_lab::progress::Progress;
use evserve_lab::run::{Experiment, Figure, Gap, Sample};

/// A side that is late is tried once more, in the next round.
const LATE_LIMIT: usize = 2;

/// All results.
#[derive(Default)]
pub struct Measured {
    pub experiments: Vec<Experiment>,
    /// Failures, as sentences.
    pub faults: Vec<String>,
    /// What evserve cannot do here, as sentences.
    pub absent: Vec<String>,
}

/// What is to be measured.
pub struct Plan<'a> {
    rows: &'a [&'static Row],
    pace: &'static Pace,
}

impl<'a> Plan<'a> {
    pub fn new(rows: &'a [&'static Row], pace: &'static Pace) -> Plan<'a> {
        Plan { rows, pace }
    }

    fn rounds(&self, row: &Row) -> u32 {
        match row.is_crowd() {
            true => self.pace.crowd_rounds,
            false => self.pace.rounds,
        }
    }

    /// Makes all measurements.
    ///
    /// # Errors
    /// The user wants to stop.
    pub fn carry_out(&self, bench: &Bench) -> Outcome<Measured> {
        let sides = |row: &&'static Row| row.sides.len() * self.rounds(row) as usize;
        let seconds = |row: &&'static Row| {
            let sides = row.sides.iter().map(|side| bench.seconds(side.work));
            sides.sum::<f64>() * f64::from(self.rounds(row))
        };
        let all: f64 = self.rows.iter().map(seconds).sum();
        eprintln!("about {:.0} min", (all / 60.0).ceil());
        let mut progress = Progress::new(self.rows.iter().map(sides).sum(), all)?;
        let mut measured = Measured::default();
        for row in self.rows {
            self.carry_out_row(row, bench, &mut progress, &mut measured)?;
        }
        progress.end();
        Ok(measured)
    }

    fn carry_out_row(
        &self,
        row: &'static Row,
        bench: &Bench,
        progress: &mut Progress,
        into: &mut Measured,
    ) -> Outcome<()> {
        let name = row.claim.name;
        let mut experiment = empty(row);
        let mut late: Vec<&str> = Vec::new();
        for round in 1..=self.rounds(row) {
            let mut order: Vec<_> = row.sides.iter().collect();
            if round.is_multiple_of(2) {
                order.reverse();
            }
            for side in order {
                let what = format!("{name}, round {round}: {}", side.name);
                progress.next(&what, bench.seconds(side.work))?;
                if experiment
                    .gaps
                    .iter()
                    .any(|gap| gap.contestant == side.name)
                {
                    continue;
                }
                let failure = match bench.measure(side) {
                    Ok(values) => {
                        experiment.samples.push(sample(side, round, values));
                        continue;
                    }
                    Err(failure) => failure,
                };
                let sentence = |why: &str| format!("{what}: {why}");
                let why = match failure {
                    Failure::Absent(why) => {
                        into.absent.push(sentence(&why));
                        why
                    }
                    Failure::Wrong(why) => {
                        into.faults.push(sentence(&why));
                        why
                    }
                    Failure::Late(why) => {
                        late.push(side.name);
                        let times = late.iter().filter(|name| **name == side.name).count();
                        if times < LATE_LIMIT.min(self.rounds(row) as usize) {
                            continue;
                        }
                        why
                    }
                };
                progress.end();
                eprintln!("claims: {}", sentence(&why));
                experiment.gaps.push(gap(side, why));
            }
        }
        into.experiments.push(experiment);
        Ok(())
    }
}

fn sample(side: &Side, round: u32, values: Values) -> Sample {
    Sample {
        contestant: side.name.to_owned(),
        step: STEP,
        round,
        values,
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
        figures: claim.figures.iter().map(figure).collect(),
        samples: Vec::new(),
        gaps: Vec::new(),
    }
}
