//! The colour and the mark of each contestant, the same in every chart.
//!
//! Families have hues: processes brown, threads green, readiness loops blue, completions pink,
//! runtimes violet. Within a family the lightness differs, and every contestant has a mark of its
//! own, so that colours need not be told apart.
//!
//! Contestants are known by name: a new one must not change the colours of the others, also not
//! beside the result files of before.

use super::short;
use maud::{Markup, html};

/// How a contestant looks.
pub struct Look {
    /// The class of its elements, which gives them their colour.
    pub class: &'static str,
    /// Its colour on white, and on nearly black.
    pub colour: [&'static str; 2],
    mark: Mark,
    hollow: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Circle,
    Square,
    Up,
    Down,
    Diamond,
    Times,
    Plus,
}

const fn look(class: &'static str, colour: [&'static str; 2], mark: Mark, hollow: bool) -> Look {
    Look {
        class,
        colour,
        mark,
        hollow,
    }
}

/// The looks of evserve's models by their names.
const KNOWN: &[(&str, Look)] = &[
    (
        "blocking",
        look("k-bl", ["#b4540a", "#f59e42"], Mark::Times, false),
    ),
    (
        "forking",
        look("k-fo", ["#6b3a12", "#d9b38c"], Mark::Plus, false),
    ),
    (
        "threaded",
        look("k-th", ["#00734f", "#34d399"], Mark::Diamond, false),
    ),
    (
        "pool",
        look("k-pl", ["#4d7c0f", "#b5e36b"], Mark::Diamond, true),
    ),
    (
        "select",
        look("k-se", ["#0e7490", "#67d4ee"], Mark::Up, false),
    ),
    (
        "poll",
        look("k-po", ["#2f6fd0", "#8ab8ff"], Mark::Square, false),
    ),
    (
        "epoll",
        look("k-ep", ["#0b3f9e", "#5b9bff"], Mark::Circle, false),
    ),
    (
        "epoll-workers-2",
        look("k-ew", ["#14213d", "#cfe0ff"], Mark::Circle, true),
    ),
    (
        "io-uring",
        look("k-io", ["#be185d", "#ff7fb0"], Mark::Down, false),
    ),
    (
        "tokio",
        look("k-to", ["#6d28d9", "#b79cff"], Mark::Square, true),
    ),
    (
        "tokio-multi",
        look("k-tm", ["#9333ea", "#e3b8ff"], Mark::Up, true),
    ),
];

/// The looks of all others, by their place among the contestants.
const OTHERS: &[Look] = &[
    look("k-a", ["#7a6a00", "#e8d44d"], Mark::Down, true),
    look("k-b", ["#b91c1c", "#ff8f8f"], Mark::Circle, false),
    look("k-c", ["#4b5563", "#b6c0cc"], Mark::Square, false),
    look("k-d", ["#0f766e", "#5eead4"], Mark::Up, false),
    look("k-e", ["#9a3412", "#fdba74"], Mark::Diamond, true),
    look("k-f", ["#4338ca", "#a5b4fc"], Mark::Square, true),
    look("k-g", ["#86198f", "#f0abfc"], Mark::Diamond, false),
];

/// The look of a contestant. Beside other servers, evserve stands for its default model.
pub fn look_of(name: &str, kind: usize) -> &'static Look {
    let name = if name == "evserve" { "epoll" } else { name };
    let known = KNOWN.iter().find(|(known, _)| *known == name);
    known.map_or(&OTHERS[kind % OTHERS.len()], |(_, look)| look)
}

/// All looks.
pub fn all() -> Vec<&'static Look> {
    let known = KNOWN.iter().map(|(_, look)| look);
    known.chain(OTHERS).collect()
}

impl Look {
    /// The mark, with its middle at a place. It has the colour of its surroundings.
    pub fn mark(&self, (x, y): (f64, f64)) -> Markup {
        let at = format!("translate({} {})", short(x), short(y));
        let (path, open) = match self.mark {
            Mark::Circle => ("M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z", false),
            Mark::Square => ("M-3.5-3.5h7v7h-7z", false),
            Mark::Up => ("M0-4.8L4.6 3.4H-4.6z", false),
            Mark::Down => ("M0 4.8L4.6-3.4H-4.6z", false),
            Mark::Diamond => ("M0-5L5 0 0 5-5 0z", false),
            Mark::Times => ("M-3.6-3.6L3.6 3.6M-3.6 3.6L3.6-3.6", true),
            Mark::Plus => ("M-4.6 0H4.6M0-4.6V4.6", true),
        };
        html! {
            @if open {
                path.mark d=(path) transform=(at) fill="none" stroke="currentColor" stroke-width="2" {}
            } @else if self.hollow {
                path.mark.hollow d=(path) transform=(at) stroke="currentColor" stroke-width="1.6" {}
            } @else {
                path.mark d=(path) transform=(at) fill="currentColor" {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::PAPER;
    use std::collections::BTreeSet;

    /// Relative luminance (WCAG 2.2).
    fn luminance(colour: &str) -> f64 {
        let part = |at: usize| {
            let byte = u8::from_str_radix(&colour[at..at + 2], 16).expect("hexadecimal");
            let part = f64::from(byte) / 255.0;
            if part <= 0.040_45 {
                part / 12.92
            } else {
                ((part + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
    }

    #[test]
    fn names_in_their_colours_can_be_read_on_light_and_dark() {
        for look in all() {
            for (colour, paper) in look.colour.iter().zip(PAPER) {
                let (one, other) = (luminance(colour), luminance(paper));
                let contrast = (one.max(other) + 0.05) / (one.min(other) + 0.05);
                assert!(contrast >= 4.5, "{colour} on {paper}: {contrast:.2}");
            }
        }
    }

    #[test]
    fn known_contestants_differ_in_mark_and_class() {
        let marks: BTreeSet<_> = KNOWN
            .iter()
            .map(|(_, look)| look.mark((0.0, 0.0)).0)
            .collect();
        let classes: BTreeSet<_> = all().iter().map(|look| look.class).collect();
        assert_eq!((marks.len(), classes.len()), (KNOWN.len(), all().len()));
    }

    #[test]
    fn a_name_keeps_its_look_wherever_it_stands() {
        assert_eq!(look_of("epoll", 6).class, look_of("epoll", 0).class);
        assert_ne!(look_of("another", 3).class, look_of("one more", 4).class);
    }
}
