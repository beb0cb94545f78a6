//! The page: it needs no other file, makes no request, and says so to the browser.

use super::cells::against;
use super::{Shown, findings, overview, shown, tables};
use crate::chart::{palette, style};
use crate::comparison;
use crate::run::{Contestant, Experiment, Run};
use crate::statistics::Verdict;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The report of a run.
pub fn page(run: &Run) -> String {
    let style = format!("{STYLE}{}", style(&palette::all(), ".chart"));
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; img-src data:; base-uri 'none'; form-action 'none'",
        hash(&style),
        hash(SCRIPT)
    );
    let experiments: Vec<_> = run
        .experiments
        .iter()
        .map(|one| (one, shown(run, one)))
        .collect();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                // Otherwise the browser asks a server for one.
                link rel="icon" href="data:,";
                title { (title(run)) }
                style { (PreEscaped(&style)) }
            }
            body {
                header {
                    h1 { (title(run)) }
                    (origin(run))
                    (belief(run))
                    (contents(run))
                }
                main {
                    (summary(run, &experiments))
                    (how_to_read(run))
                    @for (experiment, figures) in &experiments { (section(run, experiment, figures)) }
                    (machine(run))
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// The source of a style or script, for the policy.
fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(text)))
}

fn title(run: &Run) -> String {
    match run.benchmark.as_str() {
        "io_models" => "I/O models compared".to_owned(),
        other => format!("Results of {other}"),
    }
}

/// What was measured where, in a line.
fn origin(run: &Run) -> Markup {
    let facts = ["date", "processor", "kernel"]
        .iter()
        .filter_map(|name| run.fact(name));
    let facts: Vec<_> = facts.collect();
    html! { p.origin { "A " (run.pace) " run. " (facts.join(" · ")) } }
}

/// Whether the figures are to be believed.
fn belief(run: &Run) -> Markup {
    let is_quick = run.pace.contains("quick");
    html! {
        @if is_quick {
            div.box.doubt role="note" {
                strong { "A quick run: not to be believed. " }
                "It shows that everything works. Its measurements are too short and too few to compare anything by."
            }
        }
        @if !run.unfit.is_empty() {
            div.box.doubt role="note" {
                strong { "Not to be believed:" }
                ul { @for why in &run.unfit { li { (why) } } }
            }
        }
        @if !run.faults.is_empty() {
            div.box.doubt role="note" {
                strong { "Failed:" }
                ul { @for fault in &run.faults { li { (fault) } } }
            }
        }
        @if !is_quick && run.unfit.is_empty() {
            p.box.fit { "The run found no reason to doubt its figures: see " a href="#machine" { "the machine and the run" } "." }
        }
    }
}

fn contents(run: &Run) -> Markup {
    html! {
        nav aria-label="Contents" {
            a href="#summary" { "Summary" }
            a href="#reading" { "How to read" }
            @for experiment in &run.experiments { a href=(format!("#{}", experiment.name)) { (experiment.name) } }
            a href="#machine" { "The machine and the run" }
        }
    }
}

fn summary(run: &Run, experiments: &[(&Experiment, Vec<Shown<'_>>)]) -> Markup {
    html! {
        section #summary {
            h2 { "Summary" }
            @if run.experiments.iter().any(|one| one.contestants.is_empty()) {
                (how_many_times(run))
            }
            h3 { "The findings in short" }
            ul.short {
                @for (experiment, figures) in experiments {
                    @if let Some(first) = figures.first() {
                        li {
                            a href=(format!("#{}", experiment.name)) { (experiment.title) } ". "
                            (findings::of_all(figures).unwrap_or_else(|| findings::of(first).headline))
                        }
                    }
                }
            }
        }
    }
}

/// The experiments of all contestants in one table.
fn how_many_times(run: &Run) -> Markup {
    let baseline = &run.baseline;
    let is_other = |one: &Contestant| {
        against(&run.contestants, baseline, one).is_some_and(|other| other != baseline)
    };
    let is_usual = !run.contestants.iter().any(is_other);
    html! {
        h3 { @if is_usual { "How many times as good as " (baseline) "?" } @else { "How many times as good?" } }
        p {
            "Each row is an experiment at its last step. "
            @if is_usual {
                strong { "Above 1 is better than " (baseline) ", below 1 is worse" }
            } @else {
                "Each column is a contestant, and after the slash the one it is compared with. "
                strong { "Above 1 is better, below 1 is worse" }
            }
            ", whichever way the figure counts. "
            span.key { span.better2 { "better" } span.worse2 { "worse" } span.same { "= no difference shown" }
                span.unclear { "≈ unclear" } span.gap { "– not measured" } }
        }
        (overview::of(run))
    }
}

fn how_to_read(run: &Run) -> Markup {
    html! {
        section #reading {
            details open[run.pace.contains("quick")] {
                summary { h2 { "How to read this" } }
                ul {
                    li { "Points are medians. A broad bar at a point is an interval: it holds the true median in at least 95 of 100 \
                          cases. It takes 6 samples; with fewer, a thin line reaches from the least to the greatest." }
                    li { "A ratio is that of measurements that were made one right after the other, and is the median over all rounds. "
                         (Verdict::RULE) " Beside the figures, higher or lower is told as better or worse. Without an interval, "
                         em { "seems better" } " and " em { "seems worse" } " mean a ratio of at least 1.25, or of 2 for a single sample; "
                         em { "unclear" } " means less." }
                    li { "Contestants at one step stand a little beside each other, so that all can be seen. Lines that coincide share \
                          their dashes." }
                    li { "A value of 0 has no place on a logarithmic axis. It stands apart, before a break." }
                    li { "Point at a chart, touch it, or move with the arrow keys in it: it tells the figures." }
                }
            }
        }
    }
}

fn section(run: &Run, experiment: &Experiment, figures: &[Shown<'_>]) -> Markup {
    let gaps = tables::gaps(experiment);
    let wide = comparison::not_reached_in(run, &experiment.name);
    html! {
        section id=(experiment.name) {
            h2 { (experiment.title) }
            p { (with_code(&experiment.about)) }
            @if let Some(all) = findings::of_all(figures) { p.finding { (all) } }
            div.grid { @for one in figures { (figure(one)) } }
            @if figures.is_empty() { p.soft { "Nothing was measured." } }
            @if !wide.is_empty() {
                details.gaps {
                    summary { "Less precise than wanted, by the first figure" }
                    ul { @for one in wide { li { (one) "." } } }
                }
            }
            @if !gaps.is_empty() {
                details.gaps open[gaps.len() <= 3] {
                    summary { "Not measured, and why" }
                    ul { @for gap in gaps { li { (gap) } } }
                }
            }
        }
    }
}

/// Text with `code` in it.
fn with_code(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

fn figure(one: &Shown<'_>) -> Markup {
    html! {
        article {
            p.finding { (findings::of(one).text()) }
            figure {
                (one.draw().inline())
                figcaption { (one.caption()) }
            }
            details { summary { "Figures as a table: " (one.figure.unit) } (tables::html(one)) }
        }
    }
}

fn machine(run: &Run) -> Markup {
    html! {
        section #machine {
            h2 { "The machine and the run" }
            dl { @for fact in &run.environment { dt { (fact.name) } dd { (fact.value) } } }
            h3 { "What was compared" }
            (compared(&run.contestants))
            @for experiment in run.experiments.iter().filter(|one| !one.contestants.is_empty()) {
                h3 { "In " (experiment.name) " alone" }
                (compared(&experiment.contestants))
            }
        }
    }
}

fn compared(all: &[Contestant]) -> Markup {
    html! { dl { @for one in all { dt { (one.name) } dd { code { (one.options) } } } } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::made_up;

    #[test]
    fn the_page_loads_nothing_and_may_load_nothing() {
        let page = page(&made_up::run(8));
        assert!(page.contains("default-src &#39;none&#39;") || page.contains("default-src 'none'"));
        for outside in ["http://", "https://", "src=\"", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        // A style attribute would be refused.
        assert!(!page.contains(" style="));
    }

    #[test]
    fn the_page_says_when_it_is_not_to_be_believed() {
        assert!(page(&made_up::run(1)).contains("A quick run: not to be believed"));
        let mut run = made_up::run(8);
        assert!(!page(&run).contains("not to be believed"));
        run.unfit.push("the machine was busy".to_owned());
        assert!(page(&run).contains("<li>the machine was busy</li>"));
        assert!(!page(&run).contains("no reason to doubt"));
    }

    #[test]
    fn the_page_escapes_what_it_quotes() {
        assert!(page(&made_up::run(8)).contains("6.18 &lt;&amp;&gt;"));
    }
}
