//! The format of result files, as docs/io-models/results/README.md describes it.

#![allow(missing_docs)]

use evserve_lab::run::Run;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{read_to_string, write};
use std::path::PathBuf;

fn results() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/io-models/results")
}

fn description() -> String {
    read_to_string(results().join("README.md")).expect("it is there")
}

fn example() -> String {
    let text = description();
    let (_, rest) = text.split_once("```json\n").expect("an example");
    rest.split_once("```").expect("its end").0.to_owned()
}

/// Writes a file and reads it as a run.
fn read(text: &str) -> Result<Run, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.json");
    write(&path, text).expect("written");
    Run::read(&path).map_err(|fault| fault.to_string())
}

/// The names of all fields, also of objects in objects, but not of values, which are free.
fn fields(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Array(all) => all.iter().for_each(|one| fields(one, into)),
        Value::Object(all) => {
            for (name, value) in all {
                into.insert(name.clone());
                if name != "values" {
                    fields(value, into);
                }
            }
        }
        _ => {}
    }
}

fn fields_of(text: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    fields(&serde_json::from_str(text).expect("JSON"), &mut all);
    all
}

#[test]
fn the_example_is_a_run_with_every_field() {
    let run = read(&example()).expect("a run");
    let written = serde_json::to_string(&run).expect("JSON");
    assert_eq!(fields_of(&written), fields_of(&example()));
    for field in fields_of(&written) {
        assert!(
            description().contains(&field),
            "the description lacks {field}"
        );
    }
}

/// A program that reads the example knows who takes part where.
#[test]
fn the_example_has_contestants_of_the_run_and_of_an_experiment() {
    let run = read(&example()).expect("a run");
    let of = |name: &str| {
        let experiment = run.experiment(name).expect("an experiment");
        let names = run
            .contestants_of(experiment)
            .iter()
            .map(|one| one.name.as_str());
        (run.baseline_of(experiment), names.collect::<Vec<_>>())
    };
    assert_eq!(of("throughput"), ("epoll", vec!["epoll", "poll"]));
    assert_eq!(of("triggers"), ("edge", vec!["edge", "level"]));
    let measured = run.experiments.iter().all(|part| {
        let all = run.contestants_of(part);
        let known = |name: &String| all.iter().any(|one| one.name == *name);
        part.samples.iter().all(|one| known(&one.contestant))
    });
    assert!(measured, "a sample of somebody who does not take part");
}

#[test]
fn the_files_of_the_docs_are_runs() {
    for name in ["results.json", "before.json"] {
        let run = Run::read(&results().join(name)).expect("a run");
        assert!(!run.experiments.is_empty());
        assert!(run.experiments.iter().all(|one| !one.samples.is_empty()));
    }
}

#[test]
fn another_format_is_refused_with_a_sentence() {
    let other = example().replace("\"format\": 1", "\"format\": 2");
    let said = read(&other).expect_err("refused");
    assert!(
        said.contains("has format 2; this version reads format 1"),
        "{said}"
    );
}

#[test]
fn what_is_no_run_is_refused() {
    for text in ["", "[]", "{}", "{\"format\": 1}", "no"] {
        assert!(read(text).is_err(), "{text}");
    }
    let outside = example().replace("\"throughput\"", "\"../throughput\"");
    let said = read(&outside).expect_err("refused");
    assert!(said.contains("is no name"), "{said}");
}
