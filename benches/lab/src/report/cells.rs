//! The figures of a contestant at a step, and what they show beside the baseline.

use crate::run::{Better, Contestant, Experiment, Figure, Run, Sample};
use crate::statistics::{Interval, Ratio, Verdict, greatest, least};

/// Without an interval, a ratio of several pairs must differ from 1 by this factor to be named.
pub const CLEAR_WITHOUT_INTERVAL: f64 = 1.25;

/// And a ratio of a single pair by this one.
pub const CLEAR_ALONE: f64 = 2.0;

/// A figure of one contestant at one step.
pub struct Cell<'a> {
    pub contestant: &'a Contestant,
    pub is_baseline: bool,
    /// The contestant that it is compared with.
    pub against: Option<&'a str>,
    pub step: u64,
    pub median: f64,
    pub interval: Option<Interval>,
    pub samples: usize,
    /// How many of the samples were disturbed.
    pub disturbed: usize,
    least: f64,
    greatest: f64,
    /// In terms of that contestant's. `None` where that is 0 or missing.
    pub ratio: Option<Ratio>,
    pub better: Better,
}

/// What a ratio to the baseline shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Better,
    Worse,
    /// The interval contains 1.
    Same,
    /// There is no interval, and no clear difference.
    Unclear,
}

/// All cells with values, by contestant, then by step.
pub fn of<'a>(run: &'a Run, experiment: &'a Experiment, figure: &'a Figure) -> Vec<Cell<'a>> {
    let steps = experiment.steps();
    let (all, baseline) = (run.contestants_of(experiment), run.baseline_of(experiment));
    let pairs = all
        .iter()
        .flat_map(|one| steps.iter().map(move |step| (one, *step)));
    let cell = |(contestant, step): (&'a Contestant, u64)| {
        let (name, is_baseline) = (&contestant.name, contestant.name == baseline);
        let summary = experiment.summary(name, step, &figure.name)?;
        let values: Vec<_> = experiment
            .values(name, step, &figure.name)
            .map(|(_, value)| value)
            .collect();
        let against = against(all, baseline, contestant);
        let ratio = against.and_then(|other| experiment.ratio(name, other, step, &figure.name));
        let is_disturbed = |sample: &&Sample| {
            (sample.contestant == *name, sample.step) == (true, step) && sample.disturbed.is_some()
        };
        Some(Cell {
            contestant,
            is_baseline,
            against,
            step,
            median: summary.median,
            interval: summary.interval,
            samples: summary.samples,
            disturbed: experiment.samples.iter().filter(is_disturbed).count(),
            least: least(&values)?,
            greatest: greatest(&values)?,
            ratio,
            better: figure.better,
        })
    };
    pairs.filter_map(cell).collect()
}

/// The contestant that another one of all is compared with. If none names another, all are compared
/// with the baseline.
pub fn against<'a>(
    all: &[Contestant],
    baseline: &'a str,
    contestant: &'a Contestant,
) -> Option<&'a str> {
    let names_any = all.iter().any(|one| one.against.is_some());
    let other = match &contestant.against {
        Some(other) => Some(other.as_str()),
        None => (!names_any).then_some(baseline),
    };
    other.filter(|other| *other != contestant.name)
}

impl Cell<'_> {
    /// The end of the interval, or of the samples.
    pub fn low(&self) -> f64 {
        self.interval.map_or(self.least, |interval| interval.low)
    }

    pub fn high(&self) -> f64 {
        self.interval
            .map_or(self.greatest, |interval| interval.high)
    }

    /// What it shows beside the baseline. `None` where they cannot be compared.
    pub fn call(&self) -> Option<Call> {
        let ratio = self.ratio?;
        let (better, worse) = match self.better {
            Better::Higher => (Call::Better, Call::Worse),
            Better::Lower => (Call::Worse, Call::Better),
        };
        let clear = if ratio.pairs == 1 {
            CLEAR_ALONE
        } else {
            CLEAR_WITHOUT_INTERVAL
        };
        Some(match ratio.verdict() {
            Verdict::Higher => better,
            Verdict::Lower => worse,
            Verdict::NoDifference => Call::Same,
            Verdict::TooFew if ratio.median >= clear => better,
            Verdict::TooFew if ratio.median <= 1.0 / clear => worse,
            Verdict::TooFew => Call::Unclear,
        })
    }

    pub fn has_ratio_interval(&self) -> bool {
        self.ratio.is_some_and(|ratio| ratio.interval.is_some())
    }

    /// How many times as good as the baseline, whichever way the figure counts.
    pub fn advantage(&self) -> Option<f64> {
        let ratio = self.ratio?.median;
        Some(match self.better {
            Better::Higher => ratio,
            Better::Lower => 1.0 / ratio,
        })
    }

    /// The verdict, in words that keep apart what an interval shows and what medians suggest.
    pub fn verdict(&self) -> Option<&'static str> {
        Some(match (self.call()?, self.has_ratio_interval()) {
            (Call::Better, true) => "better",
            (Call::Worse, true) => "worse",
            (Call::Better, false) => "seems better",
            (Call::Worse, false) => "seems worse",
            (Call::Same, _) => "no difference shown",
            (Call::Unclear, _) => "unclear",
        })
    }

    /// The ratio with its interval and verdict.
    pub fn ratio_in_words(&self) -> Option<String> {
        let (ratio, verdict, against) = (self.ratio?, self.verdict()?, self.against?);
        let shown = factor(ratio.median);
        let interval = match ratio.interval {
            Some(Interval { low, high }) => format!(" ({} to {})", factor(low), factor(high)),
            None => String::new(),
        };
        Some(format!("{shown} × {against}{interval}: {verdict}"))
    }
}

/// A ratio with two digits after the point, or more if it is small.
pub fn factor(ratio: f64) -> String {
    match ratio {
        0.0 => "0".to_owned(),
        ..0.01 => format!("{ratio:.4}"),
        ..0.1 => format!("{ratio:.3}"),
        ..100.0 => format!("{ratio:.2}"),
        _ => crate::page::figure(Some(ratio)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::made_up;

    fn call(ratios: &[f64], better: Better) -> Option<Call> {
        let run = made_up::run(1);
        let mut cells = of(&run, &run.experiments[0], &run.experiments[0].figures[0]);
        let mut cell = cells.remove(0);
        cell.ratio = Ratio::of(ratios);
        cell.better = better;
        cell.call()
    }

    #[test]
    fn an_interval_on_one_side_of_1_is_a_difference() {
        assert_eq!(call(&[1.02; 8], Better::Higher), Some(Call::Better));
        assert_eq!(call(&[1.02; 8], Better::Lower), Some(Call::Worse));
        assert_eq!(call(&[0.98; 8], Better::Lower), Some(Call::Better));
        let around = [0.9, 1.1, 0.95, 1.05, 0.9, 1.1, 0.9, 1.1];
        assert_eq!(call(&around, Better::Higher), Some(Call::Same));
    }

    #[test]
    fn without_an_interval_only_large_differences_count() {
        assert_eq!(call(&[1.2; 3], Better::Higher), Some(Call::Unclear));
        assert_eq!(call(&[1.3; 3], Better::Higher), Some(Call::Better));
        assert_eq!(call(&[0.6], Better::Higher), Some(Call::Unclear));
        assert_eq!(call(&[0.4], Better::Higher), Some(Call::Worse));
    }
}
