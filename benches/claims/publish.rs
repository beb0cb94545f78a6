//! The results: a file with all samples, and the page made of all such files.

use super::claims::CLAIMS;
use super::pace::Pace;
use super::plan::Measured;
use evserve_lab::claim::page::{Named, sections, verdicts};
use evserve_lab::run::{Contestant, FORMAT, Fact, Run};
use evserve_lab::{Outcome, page};
use std::fs::{create_dir_all, read_dir};
use std::path::{Path, PathBuf};

/// The file of the run that the page is about. Those of other machines follow it by name.
const REFERENCE: &str = "reference";

/// Puts a run together.
pub fn run(environment: Vec<Fact>, unfit: Vec<String>, pace: &Pace, measured: Measured) -> Run {
    let mut contestants: Vec<Contestant> = Vec::new();
    for side in CLAIMS.iter().flat_map(|row| row.sides) {
        match contestants.iter().find(|one| one.name == side.name) {
            Some(known) => assert_eq!(known.options, side.options, "two sides of one name"),
            None => contestants.push(Contestant {
                name: side.name.to_owned(),
                kind: contestants.len(),
                options: side.options.to_owned(),
                against: None,
            }),
        }
    }
    Run {
        format: FORMAT,
        benchmark: "claims".to_owned(),
        environment,
        pace: pace.name.to_owned(),
        within_percent: 100.0 * pace.rounds.within,
        unfit,
        baseline: "epoll".to_owned(),
        contestants,
        experiments: measured.experiments,
        faults: measured.faults,
    }
}

/// Prints the verdicts and writes the run to its file, and to the documentation if wanted.
///
/// # Errors
/// Errors of the file system.
pub fn keep(run: &Run, to_docs: bool) -> Outcome<()> {
    let place = folder();
    create_dir_all(&place)?;
    let file = place.join("claims.json");
    run.write(&file)?;
    let claims: Vec<_> = CLAIMS
        .iter()
        .map(|row| &row.claim)
        .filter(|claim| run.experiment(claim.name).is_some())
        .collect();
    let here = [Named {
        name: "verdict".to_owned(),
        run: run.clone(),
    }];
    println!(
        "{}\n\n{}",
        verdicts(&claims, &here),
        sections(&claims, &here)
    );
    println!("written to {}", file.display());
    if to_docs {
        create_dir_all(results())?;
        run.write(&results().join(REFERENCE).with_extension("json"))?;
        write_page()?;
    }
    Ok(())
}

/// Writes docs/claims.md from all results.
///
/// # Errors
/// A result cannot be read, or errors of the file system.
pub fn write_page() -> Outcome<()> {
    let mut runs = Vec::new();
    for entry in read_dir(results())? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let name = path.file_stem().unwrap_or_default();
            runs.push(Named {
                name: name.to_string_lossy().into_owned(),
                run: Run::read(&path)?,
            });
        }
    }
    runs.sort_by_key(|one| (one.name != REFERENCE, one.name.clone()));
    let claims: Vec<_> = CLAIMS.iter().map(|row| &row.claim).collect();
    let page = docs().join("claims.md");
    page::fill(&page, "verdicts", &verdicts(&claims, &runs))?;
    page::fill(&page, "claims", &sections(&claims, &runs))?;
    println!("written to {}", page.display());
    Ok(())
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

/// The runs of all machines.
fn results() -> PathBuf {
    docs().join("claims/results")
}

/// `target/claims`, in the target directory in use.
fn folder() -> PathBuf {
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    temporary.parent().unwrap_or(temporary).join("claims")
}
