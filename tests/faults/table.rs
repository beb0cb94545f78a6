//! Writes the table in docs/testing.md from the results of the runs.

use crate::clients::Fate;
use crate::rows::{ROWS, Row, Scenario};
use crate::{MODELS, Runs};
use std::collections::BTreeMap;
use std::fmt::Write;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/testing.md");
const BEGIN: &str = "<!-- what follows is written by EVSERVE_FAULTS=write -->\n";
const END: &str = "<!-- until here -->\n";

/// What the table that is there says, by call, error and model.
type Known = BTreeMap<(String, String, String), String>;

/// Writes the table of all runs by row, error and model. The columns of other models than `models`
/// stay.
pub fn write(all: &BTreeMap<(usize, usize, &str), Runs>, models: &[&str]) {
    let page = std::fs::read_to_string(PAGE).expect("the page is there");
    let (before, rest) = page.split_once(BEGIN).expect("it says where");
    let (old, after) = rest.split_once(END).expect("it says until where");
    let mut known = read(old);
    known.retain(|(.., model), _| !models.contains(&&**model));
    let page = [before, BEGIN, "\n", &table(all, &known), "\n", END, after].concat();
    std::fs::write(PAGE, page).expect("written");
}

fn read(table: &str) -> Known {
    let cells = |line: &str| -> Vec<String> {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    let mut lines = table.lines().filter(|line| line.starts_with('|'));
    let heads = lines.next().map(cells).unwrap_or_default();
    let mut known = Known::new();
    for line in lines.skip(1).map(cells) {
        for errno in line[1].split(", ") {
            for (model, word) in heads.iter().zip(&line).skip(2) {
                let key = (line[0].clone(), errno.to_owned(), model.clone());
                known.insert(key, word.clone());
            }
        }
    }
    known
}

fn table(all: &BTreeMap<(usize, usize, &str), Runs>, known: &Known) -> String {
    let mut text = "| call | says |".to_owned();
    for model in MODELS {
        let _ = write!(text, " {} |", model.name);
    }
    text += "\n";
    text += &"| --- ".repeat(2 + MODELS.len());
    text += "|\n";
    for (index, row) in ROWS.iter().enumerate() {
        let call = format!("`{}` {}", row.name, row.about);
        let call = call.trim_end();
        // Errors with the same outcome under every model share a line.
        let mut lines: Vec<(Vec<String>, Vec<&str>)> = Vec::new();
        for (error, errno) in row.errors.iter().enumerate() {
            let name = format!("{errno:?}");
            let outcome = |model: &str| match all.get(&(index, error, model)) {
                Some(played) => word(row, played),
                None if !row.can_say(*errno, model) => "",
                None => {
                    let word = known.get(&(call.to_owned(), name.clone(), model.to_owned()));
                    word.map_or("not run", String::as_str)
                }
            };
            let outcomes: Vec<_> = MODELS.iter().map(|model| outcome(model.name)).collect();
            match lines.iter_mut().find(|(_, others)| *others == outcomes) {
                Some((names, _)) => names.push(name),
                None => lines.push((vec![name], outcomes)),
            }
        }
        for (names, outcomes) in lines {
            let (names, outcomes) = (names.join(", "), outcomes.join(" | "));
            let _ = writeln!(text, "| {call} | {names} | {outcomes} |");
        }
    }
    text
}

fn word(row: &Row, played: &Runs) -> &'static str {
    match played.worst {
        None => "–",
        Some(Fate::Whole) => "whole",
        Some(Fate::Refused) => "refused",
        Some(Fate::CutOff) if row.scenario == Scenario::Datagrams => "lost",
        Some(Fate::CutOff) => "ends",
    }
}

#[test]
fn the_columns_of_other_models_stay() {
    let old = "\n| call | says | poll | epoll |\n| --- | --- | --- | --- |\n\
               | `accept` | EINTR, EMFILE | whole | ends |\n";
    let mut runs = BTreeMap::new();
    let whole = Runs {
        runs: 1,
        worst: Some(Fate::Whole),
        failed: None,
    };
    runs.insert((0, 0, "poll"), whole);
    let new = read(&table(&runs, &read(old)));
    let said = |errno: &str, model: &str| {
        let key = ("`accept`".to_owned(), errno.to_owned(), model.to_owned());
        new[&key].clone()
    };
    assert_eq!(said("EINTR", "epoll"), "ends");
    assert_eq!(said("EMFILE", "poll"), "whole");
    assert_eq!(said("EMFILE", "select"), "not run");
    assert_eq!(said("EAGAIN", "epoll"), "", "it cannot say that");
}
