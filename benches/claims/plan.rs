//! The order of the measurements: claim by claim, round by round, each side right after the other.
//! The next round goes the other way, so that no side is always the first one.

use super::claims::Row;
use super::pace::Pace;
use super::trial::Bench;
use super::work::Side;
use evserve_lab::Outcome;
use evserve_lab::claim::STEP;
use evserve_lab::progress::Progress;
use evserve_lab::run::{Experiment, Figure, Gap, Sample};

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

    /// Makes all measurements. Also returns failures, as sentences.
    ///
    /// # Errors
    /// The user wants to stop.
    pub fn carry_out(&self, bench: &Bench) -> Outcome<(Vec<Experiment>, Vec<String>)> {
        let sides = |row: &&'static Row| row.sides.len() * self.rounds(row) as usize;
        let seconds = |row: &&'static Row| {
            let sides = row.sides.iter().map(|side| bench.seconds(side.work));
            sides.sum::<f64>() * f64::from(self.rounds(row))
        };
        let all: f64 = self.rows.iter().map(seconds).sum();
        eprintln!("about {:.0} min", (all / 60.0).ceil());
        let mut progress = Progress::new(self.rows.iter().map(sides).sum(), all)?;
        let mut faults = Vec::new();
        let mut experiments = Vec::new();
        for row in self.rows {
            let mut experiment = empty(row);
            for round in 1..=self.rounds(row) {
                let mut order: Vec<_> = row.sides.iter().collect();
                if round.is_multiple_of(2) {
                    order.reverse();
                }
                for side in order {
                    self.measure(bench, &mut progress, side, round, &mut experiment)?;
                }
            }
            let gaps = experiment.gaps.iter();
            faults.extend(
                gaps.map(|gap| format!("{}, {}: {}", row.claim.name, gap.contestant, gap.why)),
            );
            experiments.push(experiment);
        }
        progress.end();
        Ok((experiments, faults))
    }

    /// Measures a side once. Where that fails, it is left out from then on.
    fn measure(
        &self,
        bench: &Bench,
        progress: &mut Progress,
        side: &Side,
        round: u32,
        into: &mut Experiment,
    ) -> Outcome<()> {
        let what = format!("{}, round {round}: {}", into.name, side.name);
        progress.next(&what, bench.seconds(side.work))?;
        if into.gaps.iter().any(|gap| gap.contestant == side.name) {
            return Ok(());
        }
        let contestant = side.name.to_owned();
        match bench.measure(side) {
            Ok(values) => into.samples.push(Sample {
                contestant,
                step: STEP,
                round,
                values,
            }),
            Err(fault) => {
                progress.end();
                let why = fault.to_string();
                // The rest is about usage.
                let why = why.lines().next().unwrap_or_default().to_owned();
                eprintln!("claims: {what}: {why}");
                into.gaps.push(Gap {
                    contestant,
                    step: STEP,
                    why,
                });
            }
        }
        Ok(())
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
