//! Writes the table in docs/testing.md from the results of the runs.

use crate::clients::Fate;
use crate::rows::{ROWS, Row, Scenario};
use crate::{MODELS, Runs};
use std::collections::BTreeMap;
use std::fmt::Write;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/testing.md");
const BEGIN: &str = "<!-- what follows is written by EVSERVE_FAULTS=write -->\n";
const END: &str = "<!-- until here -->\n";

/// Writes the table of all runs by row, error and model.
pub fn write(all: &BTreeMap<(usize, usize, &str), Runs>) {
    let page = std::fs::read_to_string(PAGE).expect("the page is there");
    let (before, rest) = page.split_once(BEGIN).expect("it says where");
    let (_, after) = rest.split_once(END).expect("it says until where");
    let page = [before, BEGIN, "\n", &table(all), "\n", END, after].concat();
    std::fs::write(PAGE, page).expect("written");
}

fn table(all: &BTreeMap<(usize, usize, &str), Runs>) -> String {
    let mut text = "| call | says |".to_owned();
    for model in MODELS {
        let _ = write!(text, " {} |", model.name);
    }
    text += "\n";
    text += &"| --- ".repeat(2 + MODELS.len());
    text += "|\n";
    for (index, row) in ROWS.iter().enumerate() {
        // Errors with the same outcome under every model share a line.
        let mut lines: Vec<(Vec<String>, Vec<&str>)> = Vec::new();
        for (error, errno) in row.errors.iter().enumerate() {
            let outcomes: Vec<_> = MODELS
                .iter()
                .map(|model| word(row, all.get(&(index, error, model.name))))
                .collect();
            let name = format!("{errno:?}");
            match lines.iter_mut().find(|(_, others)| *others == outcomes) {
                Some((names, _)) => names.push(name),
                None => lines.push((vec![name], outcomes)),
            }
        }
        for (names, outcomes) in lines {
            let call = format!("`{}` {}", row.name, row.about);
            let (call, names) = (call.trim_end(), names.join(", "));
            let _ = writeln!(text, "| {call} | {names} | {} |", outcomes.join(" | "));
        }
    }
    text
}

fn word(row: &Row, played: Option<&Runs>) -> &'static str {
    match played {
        None => "",
        Some(played) => match played.worst {
            None => "–",
            Some(Fate::Whole) => "whole",
            Some(Fate::Refused) => "refused",
            Some(Fate::CutOff) if row.scenario == Scenario::Datagrams => "lost",
            Some(Fate::CutOff) => "ends",
        },
    }
}
