//! Who differs from whom, from which step on, and by how much at the last.

use super::words::{amounts, listed};
use crate::chart::format::step;
use crate::report::Shown;
use crate::report::cells::{Call, Cell, against};
use crate::run::Contestant;

/// The steps from which on contestants differ in a way, and their last cells.
type Group<'a, 'b> = (String, Vec<&'a Cell<'b>>);

impl Shown<'_> {
    /// With whom contestants are compared: mostly the baseline, or a build with another one.
    pub fn compared_with(&self) -> Vec<&str> {
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

    /// Who is better, or worse, from which step on, and by how much at the last. Contestants of the
    /// same steps are named together.
    pub fn differences(&self, against: &str, direction: Call) -> Option<String> {
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

    pub fn without_difference(&self, against: &str) -> Vec<String> {
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
}
