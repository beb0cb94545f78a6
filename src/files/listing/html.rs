//! The page of a listing around its rows.

use super::entries::Entries;
use super::filter::Filter;
use super::rows::visible;
use super::selection::Selection;
use super::{ListingOptions, SortKey};
use crate::files::RelativePath;
use crate::files::page::{ICONS, icon, page_begin};
use bytesize::ByteSize;
use maud::{Markup, PreEscaped, html};
use std::borrow::Cow;

/// The end of the rows.
pub(super) const ROWS_END: &[u8] = b"</tbody></table></form>";

/// The most superfluous slashes in a target for which the links upwards are exact.
const MAX_EXTRA_SLASHES: usize = 16;

/// A directory's path as the client sees it.
pub(super) struct Breadcrumbs {
    /// The names from the root to the directory.
    names: Vec<Vec<u8>>,
    /// How many levels to go up to the root and to each name. There are more levels than names if
    /// the target has superfluous slashes.
    ups: Vec<usize>,
}

/// Returns the page up to its rows.
///
/// Its only links lead upwards and to the entries. Headings are buttons of a form, which programs
/// that follow links do not press: a mirror asks for each directory once.
pub(super) fn head(
    breadcrumbs: &Breadcrumbs,
    entries: &Entries,
    options: &ListingOptions,
    selection: Option<&Selection>,
) -> String {
    let names: Vec<_> = breadcrumbs.names.iter().map(|name| visible(name)).collect();
    let title = format!("/{}", names.join("/"));
    let page = html! {
        (page_begin(&format!("Index of {title}")))
        (PreEscaped(ICONS))
        (breadcrumbs.html(&names))
        (PreEscaped("<form>"))
        div {
            p {
                @match selection {
                    None => (totals(entries)),
                    Some(selection) => {
                        (selection.count) " of " (entries.count) " names. "
                        a href={ "./" @if options.is_default_order() {} @else { "?sort=" (sort(options)) } } { "Show all" }
                    }
                }
            }
            @if entries.count > 0 {
                (search(options))
            }
        }
        (PreEscaped("<table><thead>"))
        tr {
            (heading(options, SortKey::Name, "Name"))
            (heading(options, SortKey::Size, "Size"))
            (heading(options, SortKey::Time, "Modified (UTC)"))
        }
        (PreEscaped("</thead><tbody>"))
    };
    page.into_string()
}

/// The field for a filter. Its button is the first of the form, so Enter presses it, and it keeps
/// the order.
fn search(options: &ListingOptions) -> Markup {
    let text = options.filter.as_ref().map(Filter::text);
    let sort = (!options.is_default_order()).then(|| sort(options));
    html! {
        input type="search" name="q" value=[text] placeholder="Filter names" aria-label="Filter names";
        button name=[sort.as_ref().map(|_| "sort")] value=[sort] { "Filter" }
    }
}

/// The order as a query names it: the key, with a minus sign if it is descending.
fn sort(options: &ListingOptions) -> String {
    let sign = if options.descending { "-" } else { "" };
    format!("{sign}{}", options.key.name())
}

/// A column's heading: a button that sorts by it, with an arrow if the page is sorted by it.
fn heading(options: &ListingOptions, key: SortKey, text: &str) -> Markup {
    let is_current = key == options.key;
    let sign = match is_current && !options.descending {
        true => "-",
        false => "",
    };
    let (mark, sort) = match (is_current, options.descending) {
        (false, _) => ("", None),
        (true, false) => (" \u{2191}", Some("ascending")),
        (true, true) => (" \u{2193}", Some("descending")),
    };
    html! {
        th aria-sort=[sort] {
            button name="sort" value={ (sign) (key.name()) } { (text) (mark) }
        }
    }
}

fn totals(entries: &Entries) -> String {
    let Entries {
        count,
        directories,
        bytes,
        ..
    } = entries;
    let (directories, files, bytes) = (*directories, count - directories, ByteSize(*bytes));
    let s = |number| if number == 1 { "" } else { "s" };
    match (directories > 0, files > 0) {
        (false, false) => "This folder is empty".into(),
        (true, false) => format!("{directories} folder{}", s(directories)),
        (false, true) => format!("{files} file{}, {bytes}", s(files)),
        (true, true) => format!(
            "{directories} folder{}, {files} file{}, {bytes}",
            s(directories),
            s(files)
        ),
    }
}

impl Breadcrumbs {
    pub fn new(path: &RelativePath, target: &[u8]) -> Breadcrumbs {
        let names: Vec<_> = path.names().map(<[u8]>::to_vec).collect();
        let segments = target.split(|&b| b == b'/').skip(1);
        let segments: Vec<_> = segments.collect();
        let depth = segments.len().saturating_sub(1);
        let full = segments.iter().enumerate().filter(|(_, s)| !s.is_empty());
        let mut ups = vec![depth];
        ups.extend(full.map(|(index, _)| depth.saturating_sub(index + 1)));
        if ups.len() != names.len() + 1 || depth > names.len() + MAX_EXTRA_SLASHES {
            // The target has dots, which clients resolve before sending, or so many slashes that
            // the links upwards would fill the page.
            ups = (0..=names.len()).rev().collect();
        }
        Breadcrumbs { names, ups }
    }

    /// The links upwards. They are relative, so they work behind a proxy that serves the root below
    /// a prefix.
    fn html(&self, names: &[Cow<'_, str>]) -> Markup {
        let last = names.len().saturating_sub(1);
        let up = |index: usize| "../".repeat(self.ups[index]);
        html! {
            nav {
                @if names.is_empty() {
                    (icon("h")) " Index"
                } @else {
                    a href=(up(0)) aria-label="Root" { (icon("h")) }
                }
                @for (index, name) in names.iter().enumerate() {
                    i { "/" }
                    @if index == last { (name) } @else {
                        a href=(up(index + 1)) { (name) }
                    }
                }
            }
        }
    }
}
