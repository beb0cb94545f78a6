//! Markdown tables, and the part of a page that a benchmark fills.

use crate::Outcome;
use std::fmt::Write;
use std::fs::{read_to_string, write};
use std::path::Path;

/// A table. Its first column is aligned left; all others, the figures, are aligned right.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = format!(
        "| {} |\n| --- |{}\n",
        head.join(" | "),
        " ---: |".repeat(head.len() - 1)
    );
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text
}

/// A figure with three significant digits, or a dash.
pub fn figure(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value >= 100.0 => thousands(value),
        Some(value) if value >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let groups: Vec<_> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(String::from_utf8_lossy)
        .collect();
    groups.join(",")
}

/// Writes `text` between the comments `<!-- NAME:begin -->` and `<!-- NAME:end -->` of a page.
///
/// # Errors
/// The page does not exist, or does not have the comments.
pub fn fill(page: &Path, name: &str, text: &str) -> Outcome<()> {
    let unmarked = || format!("{} has no place for {name}", page.display());
    let whole = read_to_string(page)?;
    let (begin, end) = (
        format!("<!-- {name}:begin -->\n"),
        format!("<!-- {name}:end -->"),
    );
    let (before, rest) = whole.split_once(&begin).ok_or_else(unmarked)?;
    let (_, after) = rest.split_once(&end).ok_or_else(unmarked)?;
    Ok(write(
        page,
        format!("{before}{begin}\n{text}\n{end}{after}"),
    )?)
}
