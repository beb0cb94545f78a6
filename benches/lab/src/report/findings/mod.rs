//! What a figure shows, as sentences that are computed from it.
//!
//! The rules, in their order:
//! 1. The last step at which the baseline has a value decides who is best and who is furthest
//!    behind. Only a difference that [`Cell::call`] shows makes somebody better or worse.
//! 2. Contestants that are better or worse at their last step are named with the step from which on
//!    they are, and with how much it is at the last.
//! 3. Contestants without a difference at any step are named together, and so are those that differ
//!    at earlier steps only.
//! 4. A time that grows beyond [`KNEE`] times its lowest has a knee, which is named.
//! 5. Contestants without a value at the last step are named.
//!
//! What an experiment with contestants of its own shows is in [`side_by_side`].

mod differences;
mod side_by_side;
#[cfg(test)]
mod tests;
mod words;

pub use side_by_side::of_all;
pub use words::sentence;

use super::Shown;
use super::cells::{Call, Cell};
use crate::chart::format::{Format, step};
use crate::run::{Better, Contestant};
use std::collections::BTreeMap;
use words::{is_alike, listed, more_or_less};

/// The knee is the last step before a time exceeds its lowest by this factor.
const KNEE: f64 = 5.0;

/// A knee needs this many steps.
const STEPS_FOR_A_KNEE: usize = 5;

/// What a figure shows.
pub struct Finding {
    /// Who is best, who is furthest behind.
    pub headline: String,
    /// Further sentences.
    rest: Vec<String>,
}

impl Finding {
    pub fn text(&self) -> String {
        let rest = self.rest.iter().map(|sentence| format!(" {sentence}"));
        format!("{}{}", self.headline, rest.collect::<String>())
    }
}

/// The finding about a figure.
pub fn of(shown: &Shown<'_>) -> Finding {
    let mut rest = Vec::new();
    for against in shown.compared_with() {
        rest.extend(shown.differences(against, Call::Worse));
        rest.extend(shown.differences(against, Call::Better));
        rest.extend(shown.without_difference(against));
    }
    rest.extend(shown.knees());
    rest.extend(shown.missing());
    Finding {
        headline: shown.headline(),
        rest,
    }
}

impl Shown<'_> {
    /// `at 64 connections`, as it stands within a sentence.
    pub fn at_step(&self, number: u64) -> String {
        let (number, are) = (step(number as f64), &self.experiment.steps_are);
        match are.split_once(": ") {
            // A letter with its meaning.
            Some((letter, _)) if letter.len() == 1 => format!("at {letter} = {number}"),
            _ => {
                // `offered load, in per cent of the capacity`: the unit follows the number.
                let short = match are.split_once(", in ") {
                    Some((_, unit)) => unit,
                    None => are.split([',', '(', ';']).next().unwrap_or(are),
                };
                format!("at {number} {}", short.trim())
            }
        }
    }

    /// The last step at which the baseline has a value, or anybody.
    pub fn decisive_step(&self) -> u64 {
        let of_baseline = self.of(self.baseline()).map(|cell| cell.step).max();
        of_baseline.or(self.steps.last().copied()).unwrap_or(0)
    }

    fn headline(&self) -> String {
        let decisive = self.decisive_step();
        let at = sentence(&self.at_step(decisive));
        let baseline = self.baseline();
        let here: Vec<_> = self
            .cells
            .iter()
            .filter(|cell| cell.step == decisive)
            .filter(|cell| cell.is_baseline || cell.against == Some(baseline))
            .collect();
        let Some(best) = self.extreme(&here, true) else {
            return "Nothing was measured.".to_owned();
        };
        let (name, value) = (&best.contestant.name, self.format.full(best.median));
        if here.len() == 1 {
            return format!("{at} {name} has {value}.");
        }
        if here.iter().all(|cell| is_alike(cell.median, best.median)) {
            return format!("{at} all have the same: {value}.");
        }
        let Some(own) = here.iter().find(|cell| cell.is_baseline) else {
            return format!("{at} {name} is best with {value}; {baseline} was not measured.");
        };
        let lead = match (best.call(), best.ratio) {
            (Some(Call::Better), Some(ratio)) => {
                let own = self.format.bare(own.median);
                format!(
                    "{at} {name} is best with {value}, {} ({own}).",
                    more_or_less(ratio.median, baseline)
                )
            }
            _ => {
                let is_shown = here.iter().any(|cell| cell.has_ratio_interval());
                let how = if is_shown { "shown to be" } else { "clearly" };
                format!(
                    "{at} none is {how} better than {baseline} ({}).",
                    self.format.full(own.median)
                )
            }
        };
        format!("{lead}{}", self.furthest_behind(&here))
    }

    fn furthest_behind(&self, here: &[&Cell<'_>]) -> String {
        let is_worse = |cell: &&Cell<'_>| cell.call() == Some(Call::Worse);
        let worse: Vec<_> = here.iter().copied().filter(is_worse).collect();
        let Some(worst) = self.extreme(&worse, false) else {
            return String::new();
        };
        let same = worse
            .iter()
            .filter(|cell| is_alike(cell.median, worst.median));
        let names: Vec<_> = same.map(|cell| cell.contestant.name.as_str()).collect();
        let verb = if names.len() == 1 { "is" } else { "are" };
        let ratio = worst.ratio.map_or(1.0, |ratio| ratio.median);
        let (value, amount) = (
            self.format.bare(worst.median),
            more_or_less(ratio, self.baseline()),
        );
        format!(
            " Furthest behind {verb} {} with {value}, {amount}.",
            listed(&names)
        )
    }

    /// The best or the worst of some cells.
    fn extreme<'c, 'd>(&self, cells: &[&'c Cell<'d>], best: bool) -> Option<&'c Cell<'d>> {
        let highest = (self.figure.better == Better::Higher) == best;
        let by_median = |a: &&&Cell<'_>, b: &&&Cell<'_>| a.median.total_cmp(&b.median);
        let found = match highest {
            true => cells.iter().max_by(by_median),
            false => cells.iter().min_by(by_median),
        };
        found.copied()
    }

    /// The knees of times that grow.
    fn knees(&self) -> Option<String> {
        if self.format != Format::Time || self.steps.len() < STEPS_FOR_A_KNEE {
            return None;
        }
        let mut knees: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
        for contestant in self.contestants() {
            let cells: Vec<_> = self.of(&contestant.name).collect();
            let medians: Vec<_> = cells.iter().map(|cell| cell.median).collect();
            if let Some(knee) = knee(&medians) {
                knees
                    .entry(cells[knee].step)
                    .or_default()
                    .push(&contestant.name);
            }
        }
        let named = |(number, names): (&u64, &Vec<&str>)| {
            format!("{} at {}", listed(names), step(*number as f64))
        };
        let named: Vec<_> = knees.iter().map(named).collect();
        let told = format!(
            "Knees (the last step before it exceeds {KNEE} times its lowest): {}.",
            named.join("; ")
        );
        (!knees.is_empty()).then_some(told)
    }

    /// Contestants that have no value at the last step, or the few that have one.
    fn missing(&self) -> Option<String> {
        let last = *self.steps.last()?;
        let takes_part = |one: &&Contestant| {
            let mut gaps = self.experiment.gaps.iter();
            self.of(&one.name).next().is_some() || gaps.any(|gap| gap.contestant == one.name)
        };
        let all = self.all().iter().filter(takes_part);
        let (there, missing): (Vec<_>, Vec<_>) = all
            .map(|one| one.name.as_str())
            .partition(|name| self.at(name, last).is_some());
        let at = match self.steps.len() {
            1 => String::new(),
            _ => format!(" at {}", step(last as f64)),
        };
        match (there.len(), missing.len()) {
            (_, 0) => None,
            (few, many) if 2 * few < many => {
                Some(format!("Measured{at}: only {}.", listed(&there)))
            }
            _ => Some(format!("Not measured{at}: {}.", listed(&missing))),
        }
    }
}

/// The last of the values before one exceeds the lowest too much.
fn knee(values: &[f64]) -> Option<usize> {
    let (lowest, least) = values
        .iter()
        .enumerate()
        .min_by(|a, b| a.1.total_cmp(b.1))?;
    let after = values[lowest..]
        .iter()
        .position(|value| *value > KNEE * least)?;
    Some(lowest + after - 1)
}
