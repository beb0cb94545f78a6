//! Two runs beside each other, of two machines, commits or kernels: what differs in their facts, each
//! figure of the second in terms of the first, and whether both show the same.

use crate::page::{figure, table};
use crate::resample::ratio_of_medians;
use crate::run::{Experiment, Run};
use crate::statistics::{Interval, Verdict, median};
use maud::{DOCTYPE, Markup, html};
use std::collections::BTreeSet;
use std::fmt::Write;

const RULE: &str = "The ratio is the median of the second run in terms of the first one's. Its interval is a \
                    bootstrap of both. Higher or lower: the whole interval is above or below 1. No \
                    difference shown: it contains 1. Too few: a run has fewer than 6 values. Cores at another \
                    distance: in one run the two cores shared a cache, in the other they did not, so the ratio \
                    tells of the machine; the runs' verdicts against the baseline are compared all the same.";

const STYLE: &str = "body { font: 16px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; \
                     color-scheme: light dark } table { border-collapse: collapse; font-size: 14px; display: block; \
                     overflow-x: auto } td, th { padding: .1rem .6rem; border-bottom: 1px solid #8888; text-align: left }";

/// The comparison.
pub struct TwoRuns {
    /// Facts that differ: name, and the value of each run.
    facts: Vec<[String; 3]>,
    rows: Vec<Row>,
    agreement: Agreement,
}

/// A figure of a contestant at a step, in both runs.
#[derive(Clone, Debug)]
pub struct Row {
    pub experiment: String,
    pub figure: String,
    pub step: u64,
    pub contestant: String,
    pub first: f64,
    pub second: f64,
    /// Whether the cores were at another distance in the second run: then the ratio tells of them.
    pub is_apart: bool,
    /// `None` also if the cores were apart.
    pub interval: Option<Interval>,
}

/// What both runs show of contestants against those that they are compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    pub same: u32,
    /// One run shows a difference and the other one none.
    pub one_shows_none: u32,
    pub opposite: u32,
}

impl Row {
    pub fn verdict(&self) -> Verdict {
        self.interval
            .map_or(Verdict::TooFew, |interval| interval.verdict())
    }

    fn text(&self) -> &'static str {
        match self.is_apart {
            true => "cores at another distance",
            false => self.verdict().text(),
        }
    }
}

impl TwoRuns {
    pub fn of(first: &Run, second: &Run) -> TwoRuns {
        let mut both = TwoRuns {
            facts: facts(first, second),
            rows: Vec::new(),
            agreement: Agreement::default(),
        };
        for one in &first.experiments {
            if let Some(other) = second.experiment(&one.name) {
                both.add(first, one, other);
            }
        }
        both
    }

    fn add(&mut self, run: &Run, one: &Experiment, other: &Experiment) {
        for figure in &one.figures {
            for step in one.steps() {
                for contestant in run.contestants_of(one) {
                    let name = &contestant.name;
                    let values = |of: &Experiment| -> Vec<f64> {
                        let all = of.values(name, step, &figure.name);
                        all.map(|(_, value)| value).collect()
                    };
                    let (before, after) = (values(one), values(other));
                    let (Some(first), Some(second)) = (median(&before), median(&after)) else {
                        continue;
                    };
                    let is_apart = one.distance(step) != other.distance(step);
                    let interval = ratio_of_medians(&after, &before);
                    self.rows.push(Row {
                        experiment: one.name.clone(),
                        figure: figure.name.clone(),
                        step,
                        contestant: name.clone(),
                        first,
                        second,
                        is_apart,
                        interval: interval.filter(|_| !is_apart),
                    });
                    if let Some(against) = &contestant.against {
                        let verdict = |of: &Experiment| {
                            let ratio = of.ratio(name, against, step, &figure.name);
                            ratio.map_or(Verdict::TooFew, |ratio| ratio.verdict())
                        };
                        self.agreement.add(verdict(one), verdict(other));
                    }
                }
            }
        }
    }

    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub fn agreement(&self) -> Agreement {
        self.agreement
    }

    /// How the verdicts are distributed, and how far both runs agree, as sentences.
    fn sentences(&self) -> Vec<String> {
        let count = |verdict: Verdict| {
            let rows = self.rows.iter().filter(|row| !row.is_apart);
            rows.filter(|row| row.verdict() == verdict).count()
        };
        let all = [
            Verdict::NoDifference,
            Verdict::Higher,
            Verdict::Lower,
            Verdict::TooFew,
        ];
        let mut counts: Vec<_> = all
            .iter()
            .map(|verdict| format!("{} in {}", verdict.text(), count(*verdict)))
            .collect();
        let apart = self.rows.iter().filter(|row| row.is_apart).count();
        if apart > 0 {
            counts.push(format!("cores at another distance in {apart}"));
        }
        let Agreement {
            same,
            one_shows_none,
            opposite,
        } = self.agreement;
        let judged = same + one_shows_none + opposite;
        let agree = same + one_shows_none;
        let share = 100.0 * f64::from(agree) / f64::from(judged.max(1));
        let agreement = match judged {
            0 => "Against the baseline they have no verdicts in common: that takes 6 rounds."
                .to_owned(),
            _ => format!(
                "Against the baseline, the runs agree in {agree} of {judged} verdicts ({share:.1} %): {same} are the \
                 same, in {one_shows_none} one run shows no difference; {opposite} are opposite."
            ),
        };
        let counts = counts.join(", ");
        vec![
            format!("Of {} figures in both runs: {counts}.", self.rows.len()),
            agreement,
        ]
    }

    pub fn markdown(&self) -> String {
        let mut text = String::from("# Two runs\n\n");
        for sentence in self.sentences() {
            let _ = writeln!(text, "{sentence}\n");
        }
        let facts: Vec<_> = self.facts.iter().map(|fact| fact.to_vec()).collect();
        if !facts.is_empty() {
            let facts = table(&["what differs", "first", "second"], &facts);
            let _ = writeln!(text, "{}", facts.replace("---:", "---"));
        }
        let _ = writeln!(text, "{RULE}\n\n{}", table(HEAD, &self.cells()));
        text
    }

    pub fn html(&self) -> String {
        let facts: Vec<_> = self.facts.iter().map(|fact| fact.to_vec()).collect();
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { "Two runs" }
                    style { (STYLE) }
                }
                body {
                    h1 { "Two runs" }
                    @for sentence in self.sentences() { p { (sentence) } }
                    (html_table(&["what differs", "first", "second"], &facts))
                    p { (RULE) }
                    (html_table(HEAD, &self.cells()))
                }
            }
        };
        page.into_string()
    }

    fn cells(&self) -> Vec<Vec<String>> {
        let row = |row: &Row| {
            let interval = row.interval.map_or("–".to_owned(), |interval| {
                format!("{:.2} to {:.2}", interval.low, interval.high)
            });
            let ratio = row.second / row.first;
            let ratio = ratio.is_finite().then_some(ratio);
            vec![
                format!("{} at {}", row.experiment, row.step),
                row.figure.clone(),
                row.contestant.clone(),
                figure(Some(row.first)),
                figure(Some(row.second)),
                figure(ratio),
                interval,
                row.text().to_owned(),
            ]
        };
        self.rows.iter().map(row).collect()
    }
}

const HEAD: &[&str] = &[
    "step",
    "figure",
    "contestant",
    "first",
    "second",
    "ratio",
    "interval",
    "verdict",
];

impl Agreement {
    fn add(&mut self, one: Verdict, other: Verdict) {
        match (one, other) {
            (Verdict::TooFew, _) | (_, Verdict::TooFew) => {}
            _ if one == other => self.same += 1,
            (Verdict::NoDifference, _) | (_, Verdict::NoDifference) => self.one_shows_none += 1,
            _ => self.opposite += 1,
        }
    }
}

/// The facts that differ, in the order of the first run. A dash where one has no such fact.
fn facts(first: &Run, second: &Run) -> Vec<[String; 3]> {
    let all = first.environment.iter().chain(&second.environment);
    let mut known = BTreeSet::new();
    let value = |run: &Run, name: &str| run.fact(name).unwrap_or("–").to_owned();
    all.filter(|fact| known.insert(fact.name.clone()))
        .map(|fact| {
            let name = &fact.name;
            [name.clone(), value(first, name), value(second, name)]
        })
        .filter(|[_, one, other]| one != other)
        .collect()
}

fn html_table(head: &[&str], rows: &[Vec<String>]) -> Markup {
    html! {
        @if !rows.is_empty() {
            table {
                tr { @for cell in head { th { (cell) } } }
                @for row in rows { tr { @for cell in row { td { (cell) } } } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Agreement, TwoRuns};
    use crate::core_to_core::FIGURE;
    use crate::report::made_up;
    use crate::run::Run;
    use crate::statistics::Verdict;

    fn run(poll: f64) -> Run {
        made_up::with(8, &[("poll", [poll; 3])])
    }

    #[test]
    fn equal_runs_show_no_difference_and_agree() {
        let both = TwoRuns::of(&run(0.8), &run(0.8));
        assert_eq!(both.rows().len(), 6);
        let equal = |verdict| verdict == Verdict::NoDifference;
        assert!(both.rows().iter().all(|row| equal(row.verdict())));
        let agreement = Agreement {
            same: 3,
            ..Agreement::default()
        };
        assert_eq!(both.agreement(), agreement);
        assert!(both.markdown().contains("agree in 3 of 3 verdicts"));
    }

    #[test]
    fn a_difference_between_runs_has_a_verdict_and_opposite_ones_are_counted() {
        let both = TwoRuns::of(&run(0.8), &run(1.2));
        let verdicts: Vec<_> = both
            .rows()
            .iter()
            .filter(|row| row.contestant == "poll")
            .map(|row| row.verdict())
            .collect();
        assert_eq!(verdicts, [Verdict::Higher; 3]);
        assert_eq!(both.agreement().opposite, 3);
    }

    #[test]
    fn contestants_of_one_experiment_are_compared_too() {
        let with = |two| made_up::with_own_contestants(8, [two; 3]);
        let both = TwoRuns::of(&with(0.8), &with(1.2));
        let of_two = both.rows().iter().filter(|row| row.contestant == "two");
        assert_eq!(of_two.count(), 3);
        assert_eq!(both.agreement().opposite, 3);
    }

    #[test]
    fn runs_with_cores_at_other_distances_are_not_compared_figure_by_figure() {
        let at = |time: f64| {
            let mut run = run(0.8);
            for experiment in &mut run.experiments {
                for sample in &mut experiment.samples {
                    sample.values.insert(FIGURE.to_owned(), time);
                }
            }
            run
        };
        let both = TwoRuns::of(&at(45.0), &at(440.0));
        assert!(
            both.rows()
                .iter()
                .all(|row| row.is_apart && row.interval.is_none())
        );
        assert!(both.markdown().contains("cores at another distance in 6"));
        assert_eq!(both.agreement().same, 3);
    }

    #[test]
    fn too_few_values_have_no_verdict_and_only_facts_that_differ_are_listed() {
        let mut other = made_up::with(3, &[("poll", [0.8; 3])]);
        other.note("commit", "abc");
        let both = TwoRuns::of(&run(0.8), &other);
        let all = both.rows();
        assert!(all.iter().all(|row| row.verdict() == Verdict::TooFew));
        assert_eq!(both.agreement(), Agreement::default());
        assert!(both.markdown().contains("| commit | – | abc |"));
        assert!(!both.markdown().contains("kernel"));
        assert!(both.html().contains("<td>abc</td>"));
    }
}
