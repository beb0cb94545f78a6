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

use super::Shown;
use super::cells::{Call, Cell, against};
use crate::chart::format::{Format, step};
use crate::run::{Better, Contestant};
use std::collections::BTreeMap;

/// Medians that differ by less than this part are alike.
const ALIKE: f64 = 0.005;

/// The knee is the last step before a time exceeds its lowest by this factor.
const KNEE: f64 = 5.0;

/// A knee needs this many steps.
const STEPS_FOR_A_KNEE: usize = 5;

/// The steps from which on contestants differ in a way, and their last cells.
type Group<'a, 'b> = (String, Vec<&'a Cell<'b>>);

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

    /// With whom contestants are compared: mostly the baseline, or a build with another one.
    fn compared_with(&self) -> Vec<&str> {
        let mut all = Vec::new();
        for against in self.cells.iter().filter_map(|cell| cell.against) {
            if !all.contains(&against) {
                all.push(against);
            }
        }
        all
    }

    fn contestants_against(&self, other: &str) -> Vec<&Contestant> {
        let (all, baseline) = (self.all(), self.baseline());
        let is_it = |one: &&Contestant| against(all, baseline, one) == Some(other);
        all.iter().filter(is_it).collect()
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

    /// Who is better, or worse, from which step on, and by how much at the last. Contestants of the
    /// same steps are named together.
    fn differences(&self, against: &str, direction: Call) -> Option<String> {
        let mut groups: Vec<Group<'_, '_>> = Vec::new();
        for contestant in self.contestants_against(against) {
            let Some((phrase, cell)) = self.difference(contestant, direction) else {
                continue;
            };
            let is_it =
                |group: &&mut Group<'_, '_>| group.0 == phrase && group.1[0].step == cell.step;
            match groups.iter_mut().find(is_it) {
                Some(group) => group.1.push(cell),
                None => groups.push((phrase, vec![cell])),
            }
        }
        let word = if direction == Call::Better {
            "Better"
        } else {
            "Worse"
        };
        let mut of = Some(against);
        let named = groups.iter().map(|(phrase, cells)| {
            let names: Vec<_> = cells
                .iter()
                .map(|cell| cell.contestant.name.as_str())
                .collect();
            let is_told = |number: u64| phrase.ends_with(&format!(" at {}", step(number as f64)));
            let at = match cells[0].step {
                step if step == self.decisive_step() || is_told(step) => String::new(),
                number => format!(" at {}", step(number as f64)),
            };
            format!(
                "{}{phrase} ({}{at})",
                listed(&names),
                amounts(cells, of.take())
            )
        });
        let named: Vec<_> = named.collect();
        (!named.is_empty()).then(|| format!("{word} than {against}: {}.", named.join("; ")))
    }

    /// From which step on a contestant is better, or worse, and its last cell. `None` if it is not
    /// so at its last step.
    fn difference(&self, contestant: &Contestant, direction: Call) -> Option<(String, &Cell<'_>)> {
        let cells = self.compared(contestant);
        let last = *cells.last()?;
        let is_other = |cell: &&Cell<'_>| cell.call() != Some(direction);
        let first = cells
            .iter()
            .rposition(is_other)
            .map_or(0, |other| other + 1);
        let from = cells.get(first)?.step;
        let phrase = match first {
            _ if self.steps.len() == 1 => String::new(),
            0 if cells.len() > 1 => " at every step".to_owned(),
            _ if from == last.step => format!(" at {}", step(from as f64)),
            _ => format!(" from {} on", step(from as f64)),
        };
        Some((phrase, last))
    }

    fn compared(&self, contestant: &Contestant) -> Vec<&Cell<'_>> {
        let cells = self.of(&contestant.name);
        cells.filter(|cell| cell.call().is_some()).collect()
    }

    fn without_difference(&self, against: &str) -> Vec<String> {
        let (mut none, mut single) = (Vec::new(), Vec::new());
        let mut has_interval = false;
        for contestant in self.contestants_against(against) {
            let cells = self.compared(contestant);
            let differs =
                |cell: &&Cell<'_>| matches!(cell.call(), Some(Call::Better | Call::Worse));
            let is_named = [Call::Better, Call::Worse]
                .iter()
                .any(|direction| self.difference(contestant, *direction).is_some());
            if cells.is_empty() || is_named {
                continue;
            }
            has_interval |= cells.iter().any(|cell| cell.has_ratio_interval());
            match cells.iter().any(differs) {
                true => single.push(contestant.name.as_str()),
                false => none.push(contestant.name.as_str()),
            }
        }
        let mut all = Vec::new();
        if !none.is_empty() {
            let names = listed(&none);
            all.push(match has_interval {
                true => format!("No difference to {against} is shown for {names}."),
                false => format!("Not clearly different from {against}: {names}."),
            });
        }
        if !single.is_empty() {
            let verb = if single.len() == 1 {
                "differs"
            } else {
                "differ"
            };
            let names = listed(&single);
            all.push(format!(
                "{} {verb} from {against} at earlier steps only.",
                names
            ));
        }
        all
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

/// A ratio as a share or a multiple, of somebody's where that must be said.
fn amount(ratio: f64, of: Option<&str>) -> String {
    let (number, is_times) = match ratio {
        0.0 => ("0\u{a0}%".to_owned(), false),
        ..0.001 => ("under 0.1\u{a0}%".to_owned(), false),
        ..0.0995 => (format!("{:.1}\u{a0}%", ratio * 100.0), false),
        ..1.95 => (format!("{:.0}\u{a0}%", ratio * 100.0), false),
        ..9.95 => (format!("{ratio:.1} times"), true),
        _ => (format!("{} times", step(ratio.round())), true),
    };
    match (of, is_times) {
        (Some(of), true) => format!("{number} {of}'s"),
        (Some(of), false) => format!("{number} of {of}'s"),
        (None, _) => number,
    }
}

/// How much several are: each, or from the least to the greatest if they are many.
fn amounts(cells: &[&Cell<'_>], of: Option<&str>) -> String {
    let mut ratios: Vec<_> = cells
        .iter()
        .filter_map(|cell| Some(cell.ratio?.median))
        .collect();
    if ratios.len() > 2 {
        ratios.sort_by(f64::total_cmp);
        ratios = vec![ratios[0], ratios[ratios.len() - 1]];
    }
    let mut each: Vec<_> = ratios.iter().map(|ratio| amount(*ratio, None)).collect();
    each.dedup();
    let joint = if cells.len() > 2 { " to " } else { " and " };
    let last = ratios
        .last()
        .map_or(String::new(), |ratio| amount(*ratio, of));
    each.pop();
    each.push(last);
    each.join(joint)
}

/// How a value relates to the baseline's, as a sentence says it.
fn more_or_less(ratio: f64, baseline: &str) -> String {
    let percent = |part: f64| match part * 100.0 {
        small @ ..0.95 => format!("{small:.1}\u{a0}%"),
        percent => format!("{percent:.0}\u{a0}%"),
    };
    match ratio {
        ..0.5 | 1.95.. => amount(ratio, Some(baseline)),
        ..1.0 => format!("{} less than {baseline}", percent(1.0 - ratio)),
        _ => format!("{} more than {baseline}", percent(ratio - 1.0)),
    }
}

fn is_alike(one: f64, other: f64) -> bool {
    (one - other).abs() <= ALIKE * one.abs().max(other.abs())
}

/// Names with commas and an `and`.
fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}

/// The text with a capital at its start.
pub fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{made_up, shown};

    fn finding(rounds: u32, factors: &[(&str, [f64; 3])]) -> String {
        let run = made_up::with(rounds, factors);
        text(&run)
    }

    fn text(run: &crate::run::Run) -> String {
        let text = of(&shown(run, &run.experiments[0])[0]).text();
        text.replace('\u{a0}', " ")
    }

    #[test]
    fn the_best_and_the_worst_are_named_with_how_much() {
        assert_eq!(
            finding(
                8,
                &[("poll", [1.0, 1.05, 1.12]), ("pool", [1.0, 0.7, 0.24])]
            ),
            "At 64 connections poll is best with 11,200 requests per second, 12 % more than epoll (10,000). Furthest \
             behind is pool with 2,400, 24 % of epoll's. Worse than epoll: pool from 8 on (24 % of epoll's). Better \
             than epoll: poll from 8 on (112 % of epoll's)."
        );
    }

    #[test]
    fn contestants_of_the_same_steps_are_named_together() {
        let select = ("select", [0.5, 0.3, 0.2]);
        let text = finding(8, &[("pool", [0.1, 0.1, 0.04]), select]);
        assert!(
            text.contains(
                "Worse than epoll: pool and select at every step (4.0 % and 20 % of epoll's)."
            ),
            "{text}"
        );
        let text = finding(8, &[("pool", [0.5, 0.25, 1.0]), select]);
        assert!(text.contains("Worse than epoll: select at every step (20 % of epoll's). pool differs from epoll at earlier steps only."), "{text}");
    }

    #[test]
    fn what_is_within_the_intervals_is_no_difference() {
        let text = finding(8, &[("poll", [1.0, 1.0, 1.0]), ("select", [1.0, 1.0, 0.5])]);
        assert!(
            text.starts_with(
                "At 64 connections none is shown to be better than epoll (10,000 requests"
            ),
            "{text}"
        );
        assert!(
            text.contains("No difference to epoll is shown for poll."),
            "{text}"
        );
        assert!(
            text.contains("Worse than epoll: select at 64 (50 % of epoll's)."),
            "{text}"
        );
    }

    #[test]
    fn few_samples_name_large_differences_alone_and_say_so() {
        let text = finding(3, &[("poll", [1.2, 1.2, 1.2]), ("pool", [0.1, 0.1, 0.1])]);
        assert!(text.contains("none is clearly better"), "{text}");
        assert!(
            text.contains("Not clearly different from epoll: poll."),
            "{text}"
        );
        assert!(
            text.contains("Worse than epoll: pool at every step (10 % of epoll's)."),
            "{text}"
        );
        let text = finding(1, &[("pool", [0.6; 3])]);
        assert!(
            text.contains("Not clearly different from epoll: pool."),
            "{text}"
        );
    }

    #[test]
    fn a_difference_in_the_middle_is_mentioned_without_a_figure() {
        let text = finding(8, &[("poll", [1.0, 1.3, 1.0]), ("pool", [0.5, 0.5, 0.5])]);
        assert!(
            text.contains("poll differs from epoll at earlier steps only."),
            "{text}"
        );
    }

    #[test]
    fn equal_values_have_no_order() {
        let text = finding(1, &[("poll", [1.0, 1.0, 1.0])]);
        assert!(
            text.starts_with("At 64 connections all have the same: 10,000 requests per second."),
            "{text}"
        );
    }

    #[test]
    fn contestants_without_a_last_value_are_named() {
        let run = made_up::run(8);
        let text = text(&run);
        assert!(text.contains("Not measured at 64: select."), "{text}");
    }

    #[test]
    fn a_build_is_compared_with_the_other_one_of_its_model() {
        let mut run = made_up::with(
            8,
            &[
                ("pool", [0.5; 3]),
                ("pool@slow", [0.45; 3]),
                ("epoll@slow", [1.0; 3]),
            ],
        );
        run.contestants[1].against = None;
        run.contestants[2].against = Some("pool".to_owned());
        run.contestants[3].against = Some("epoll".to_owned());
        let text = text(&run);
        assert!(
            text.contains("Worse than pool: pool@slow at every step (90 % of pool's)."),
            "{text}"
        );
        assert!(
            text.starts_with("At 64 connections all have the same"),
            "{text}"
        );
    }

    #[test]
    fn contestants_of_one_experiment_are_compared_with_its_first() {
        let run = made_up::with_own_contestants(8, [0.5; 3]);
        let text = of(&shown(&run, &run.experiments[1])[0]).text();
        assert!(
            text.contains("none is shown to be better than one"),
            "{text}"
        );
        assert!(text.contains("Worse than one: two at every step"), "{text}");
        assert!(!text.contains("poll"), "{text}");
    }

    #[test]
    fn for_a_lower_figure_less_is_better() {
        let mut run = made_up::with(8, &[("poll", [0.5, 0.5, 0.5]), ("pool", [3.0, 30.0, 30.0])]);
        run.experiments[0].figures[0].better = Better::Lower;
        let text = text(&run);
        assert!(
            text.contains(
                "poll is best with 5,000 requests per second, 50 % less than epoll (10,000)."
            ),
            "{text}"
        );
        assert!(
            text.contains("Furthest behind is pool with 300,000, 30 times epoll's."),
            "{text}"
        );
    }

    #[test]
    fn a_time_that_grows_has_a_knee() {
        let mut run = made_up::with(8, &[("poll", [1.0; 3])]);
        let latency = &mut run.experiments[0];
        latency.figures[0].unit = "99th percentile, µs".to_owned();
        latency.figures[0].better = Better::Lower;
        latency.steps_are = "offered load, in per cent of the capacity of epoll".to_owned();
        let mut sample = latency.samples.remove(0);
        latency.samples.clear();
        for (name, values) in [
            ("epoll", [9.0, 1.0, 1.2, 4.9, 5.1]),
            ("poll", [1.0, 1.0, 2.0, 3.0, 4.0]),
        ] {
            for (index, value) in values.into_iter().enumerate() {
                sample.contestant = name.to_owned();
                sample.step = 10 * (index as u64 + 1);
                sample.values = [("requests_per_s".to_owned(), value)].into();
                latency.samples.push(sample.clone());
            }
        }
        let text = text(&run);
        assert!(
            text.contains(
                "Knees (the last step before it exceeds 5 times its lowest): epoll at 40."
            ),
            "{text}"
        );
        assert!(
            text.starts_with("At 50 per cent of the capacity of epoll none"),
            "{text}"
        );
    }

    #[test]
    fn many_amounts_are_told_as_a_range() {
        let factors = [("poll", [0.5; 3]), ("pool", [0.1; 3]), ("select", [0.3; 3])];
        let text = finding(8, &factors);
        assert!(
            text.contains(
                "Worse than epoll: poll, pool and select at every step (10 % to 50 % of epoll's)."
            ),
            "{text}"
        );
    }
}
