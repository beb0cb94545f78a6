//! What an experiment with contestants of its own shows: their values beside each other, at one step.
//!
//! The rules, in their order:
//! 1. The step is the one at which the first figure differs most between contestants.
//! 2. A figure in which somebody differs from the baseline there, as [`Cell::call`] shows, is told with
//!    the values of the baseline and of all that differ or cannot be compared, the highest first.
//! 3. Those without a difference are named beside the baseline, without a value.
//! 4. Figures in which none differs are named at the end.

use super::words::{listed, sentence};
use crate::report::Shown;
use crate::report::cells::{Call, Cell};

/// A sentence about all figures of an experiment. `None` if it has no contestants of its own that
/// could differ.
pub fn of_all(figures: &[Shown<'_>]) -> Option<String> {
    let first = figures.first()?;
    if first.experiment.contestants.len() < 2 {
        return None;
    }
    let step = first.widest_step()?;
    let (mut told, mut alike) = (Vec::new(), Vec::new());
    // Without an interval a difference can only be clear.
    let mut shown = "is shown to differ";
    for one in figures {
        match one.values_at(step) {
            Some(values) => told.push(values),
            None if one.here(step).count() < 2 => {}
            None => {
                alike.push(within_sentence(&one.figure.title));
                if !one.has_intervals(step) {
                    shown = "clearly differs";
                }
            }
        }
    }
    let (at, baseline) = (sentence(&first.at_step(step)), first.baseline());
    if told.is_empty() {
        return Some(format!("{at} none {shown} from {baseline}."));
    }
    let told = told.join("; ");
    let alike: Vec<_> = alike.iter().map(String::as_str).collect();
    let rest = match &alike[..] {
        [] => String::new(),
        some => format!(" None {shown} from {baseline} in: {}.", listed(some)),
    };
    Some(format!("{at}, {told}.{rest}"))
}

impl Shown<'_> {
    /// The step at which the highest value is the most times the lowest, the first of several.
    fn widest_step(&self) -> Option<u64> {
        let width = |step: u64| {
            let medians = self.here(step).map(|cell| cell.median);
            let (low, high) = medians.fold((f64::INFINITY, 0.0_f64), |(low, high), median| {
                (low.min(median), high.max(median))
            });
            if high > low { high / low } else { 1.0 }
        };
        let by_width = |one: &&u64, other: &&u64| width(**one).total_cmp(&width(**other));
        self.steps.iter().rev().max_by(by_width).copied()
    }

    /// The values of a step, of the baseline and of those that are compared with it.
    fn here(&self, step: u64) -> impl Iterator<Item = &Cell<'_>> {
        let baseline = self.baseline();
        let all = self.cells.iter().filter(move |cell| cell.step == step);
        all.filter(move |cell| cell.is_baseline || cell.against == Some(baseline))
    }

    fn has_intervals(&self, step: u64) -> bool {
        self.here(step).any(Cell::has_ratio_interval)
    }

    /// `wake-ups: shared 4.12, reuseport 2.00 (no difference shown: exclusive) per connection`.
    /// `None` if none differs.
    fn values_at(&self, step: u64) -> Option<String> {
        let is_alike = |cell: &&Cell<'_>| matches!(cell.call(), Some(Call::Same | Call::Unclear));
        let (same, mut told): (Vec<_>, Vec<_>) = self.here(step).partition(is_alike);
        told.iter().find(|cell| !cell.is_baseline)?;
        told.sort_by(|one, other| other.median.total_cmp(&one.median));
        let names: Vec<_> = same
            .iter()
            .map(|cell| cell.contestant.name.as_str())
            .collect();
        let how = match self.has_intervals(step) {
            true => "no difference shown",
            false => "not clearly different",
        };
        let value = |cell: &&Cell<'_>| {
            let value = format!("{} {}", cell.contestant.name, self.format.bare(cell.median));
            match cell.is_baseline && !names.is_empty() {
                true => format!("{value} ({how}: {})", listed(&names)),
                false => value,
            }
        };
        let values: Vec<_> = told.iter().map(value).collect();
        let title = within_sentence(&self.figure.title);
        let unit = self
            .format
            .unit()
            .map_or(String::new(), |unit| format!(" {unit}"));
        Some(format!("{title}: {}{unit}", values.join(", ")))
    }
}

/// The text with a small letter at its start, unless it begins with an abbreviation.
fn within_sentence(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}
