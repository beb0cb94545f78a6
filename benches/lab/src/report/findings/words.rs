//! Amounts and lists, as sentences have them.

use crate::chart::format::step;
use crate::report::cells::Cell;

/// Medians that differ by less than this part are alike.
const ALIKE: f64 = 0.005;

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
pub fn amounts(cells: &[&Cell<'_>], of: Option<&str>) -> String {
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
pub fn more_or_less(ratio: f64, baseline: &str) -> String {
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

pub fn is_alike(one: f64, other: f64) -> bool {
    (one - other).abs() <= ALIKE * one.abs().max(other.abs())
}

/// Names with commas and an `and`.
pub fn listed(names: &[&str]) -> String {
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
