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

/// The columns of a page's source.
const COLUMNS: usize = 100;

/// A paragraph in lines of at most [`COLUMNS`], where its words allow, each with this prefix. No line
/// begins with what would be a list, a heading or a quotation there.
pub fn wrapped(text: &str, prefix: &str) -> String {
    let mut lines = prefix.to_owned();
    let mut column = 0;
    let columns = COLUMNS - prefix.len();
    let mut words = text.split(' ').peekable();
    while let Some(first) = words.next() {
        let mut word = first.to_owned();
        while let Some(next) = words.next_if(|next| begins_a_block(next)) {
            word = word + " " + next;
        }
        let width = word.chars().count();
        if column > 0 && column + 1 + width > columns {
            lines = lines + "\n" + prefix;
            column = 0;
        } else if column > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(&word);
        column += width;
    }
    lines
}

/// Whether a line of Markdown that begins with this word is no plain text.
fn begins_a_block(word: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_item = word.strip_suffix(['.', ')']).is_some_and(is_number);
    let is_rule = !word.is_empty() && word.bytes().all(|byte| b"-+*_=".contains(&byte));
    is_item || is_rule || word.starts_with(['#', '>'])
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

#[cfg(test)]
mod tests {
    use super::{COLUMNS, wrapped};

    #[test]
    fn a_paragraph_has_lines_of_100_columns_and_all_its_words() {
        let text =
            "Wörter und words of many lengths, with a\u{a0}space that does not break. ".repeat(9);
        let text = text.trim_end();
        let lines = wrapped(text, "");
        let count = lines.lines().count();
        assert!(lines.lines().all(|line| line.chars().count() <= COLUMNS));
        // No line has room for its next word.
        assert_eq!(count, text.chars().count().div_ceil(COLUMNS - 4));
        assert_eq!(lines.replace('\n', " "), text);
    }

    #[test]
    fn each_line_of_a_quotation_is_one() {
        let lines = wrapped(&"words ".repeat(40), "> ");
        assert!(lines.lines().count() > 2);
        assert!(
            lines
                .lines()
                .all(|line| line.starts_with("> ") && line.len() <= COLUMNS)
        );
    }

    #[test]
    fn no_line_of_a_paragraph_begins_a_list() {
        for item in ["-", "1.", "24)", "#", ">", "==="] {
            let text = format!("{} {item} rest", "x".repeat(COLUMNS - 3));
            assert!(!wrapped(&text, "").contains(&format!("\n{item}")), "{item}");
        }
    }
}
