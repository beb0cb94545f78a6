//! Where a run goes: a folder of its own below `target/io_models`, and with `--write` into docs.
//!
//! A folder is replaced as a whole, so no picture of another run stays in it. The run that was there
//! before stays as `before.json`.

use evserve_lab::run::Run;
use evserve_lab::two_runs::TwoRuns;
use evserve_lab::{Outcome, page, report};
use std::fs::{
    copy, create_dir_all, read_dir, read_to_string, remove_dir_all, remove_file, rename, write,
};
use std::path::{Path, PathBuf};

/// The run, in its folder.
const FILE: &str = "results.json";

/// The run that was in the folder before.
const BEFORE: &str = "before.json";

/// Writes a run with its report into the folder of this name, in place of what was there.
///
/// # Errors
/// Errors of the file system.
pub fn into_target(run: &Run, name: &str) -> Outcome<()> {
    let folder = target().join(name);
    let new = target().join(format!("{name}.new"));
    remove_if_there(&new)?;
    create_dir_all(&new)?;
    write_all(run, &new)?;
    if folder.join(FILE).is_file() {
        copy(folder.join(FILE), new.join(BEFORE))?;
    }
    remove_if_there(&folder)?;
    rename(new, &folder)?;
    println!("written to {}", folder.join("report.html").display());
    Ok(())
}

/// Writes a run into docs/io-models: its files into `results`, its plots into the chapters.
///
/// # Errors
/// Errors of the file system, or a chapter has no place for an experiment.
pub fn into_docs(run: &Run) -> Outcome<()> {
    let course = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/io-models");
    let results = course.join("results");
    for entry in read_dir(&results)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "svg") {
            remove_file(path)?;
        }
    }
    // The report of the run that is there may be written again.
    let is_another = |before: Run| before.environment != run.environment;
    if Run::read(&results.join(FILE)).is_ok_and(is_another) {
        rename(results.join(FILE), results.join(BEFORE))?;
    }
    write_all(run, &results)?;
    let environment = report::environment(run);
    page::fill(
        &chapter(&course, "environment")?,
        "environment",
        &environment,
    )?;
    for experiment in &run.experiments {
        let shown = report::markdown(run, experiment, "results");
        page::fill(
            &chapter(&course, &experiment.name)?,
            &experiment.name,
            &shown,
        )?;
    }
    println!("written to {}", results.join("report.html").display());
    Ok(())
}

fn write_all(run: &Run, folder: &Path) -> Outcome<()> {
    run.write(&folder.join(FILE))?;
    write(folder.join("results.csv"), run.csv())?;
    write(folder.join("report.html"), report::page(run))?;
    for picture in report::pictures(run) {
        write(folder.join(picture.file), picture.svg)?;
    }
    Ok(())
}

/// Writes a comparison of two runs, or prints it.
///
/// # Errors
/// Errors of the file system.
pub fn comparison(both: &TwoRuns, file: Option<&Path>) -> Outcome<()> {
    let Some(file) = file else {
        print!("{}", both.markdown());
        return Ok(());
    };
    let is_page = file
        .extension()
        .is_some_and(|extension| extension == "html");
    write(
        file,
        if is_page {
            both.html()
        } else {
            both.markdown()
        },
    )?;
    println!("written to {}", file.display());
    Ok(())
}

fn remove_if_there(folder: &Path) -> Outcome<()> {
    if folder.is_dir() {
        remove_dir_all(folder)?;
    }
    Ok(())
}

/// Finds the chapter that marks the place for `name`.
fn chapter(course: &Path, name: &str) -> Outcome<PathBuf> {
    let mark = format!("<!-- {name}:begin -->");
    for entry in read_dir(course)? {
        let path = entry?.path();
        let is_page = path.extension().is_some_and(|extension| extension == "md");
        if is_page && read_to_string(&path)?.contains(&mark) {
            return Ok(path);
        }
    }
    Err(format!("no chapter in {} has the mark {mark}", course.display()).into())
}

/// `target/io_models`, in the target directory in use.
fn target() -> PathBuf {
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    temporary.parent().unwrap_or(temporary).join("io_models")
}
