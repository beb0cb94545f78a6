//! A claim that somebody has published, and how a run is judged by it. It measures nothing: a
//! benchmark has the experiments, and its run (`run.rs`) all samples.
//!
//! - [`rule`]: from an interval to a verdict
//! - [`page`]: claims, figures and verdicts as Markdown

pub mod page;
pub mod rule;

use crate::run::{Better, Experiment};
use crate::statistics::{Interval, Ratio};
use rule::{Rule, Verdict};

/// A published claim, with the experiment that measures it again.
pub struct Claim {
    /// The name of its experiment in a run.
    pub name: &'static str,
    /// The claim in one sentence.
    pub title: &'static str,
    /// The words of its source.
    pub quote: &'static str,
    pub source: Source,
    /// What is measured here.
    pub experiment: &'static str,
    pub figures: &'static [Figure],
    pub checks: &'static [Check],
    /// What could change the verdict, and what the experiment leaves out.
    pub changes: &'static str,
}

/// Where a claim is published.
pub struct Source {
    pub author: &'static str,
    pub year: &'static str,
    pub title: &'static str,
    pub url: &'static str,
}

/// A figure that the page shows of each contestant.
pub struct Figure {
    pub name: &'static str,
    pub title: &'static str,
    pub unit: &'static str,
    pub better: Better,
}

/// A part of a claim that one interval decides.
pub struct Check {
    pub title: &'static str,
    pub of: Of,
    /// The name of the figure.
    pub figure: &'static str,
    pub rule: Rule,
}

/// What a check looks at.
#[derive(Clone, Copy)]
pub enum Of {
    /// The figure of one contestant.
    One(&'static str),
    /// That of the first one divided by that of the second one, round by round.
    Ratio(&'static str, &'static str),
}

/// The step of all samples: claims have none.
pub const STEP: u64 = 0;

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finding {
    /// The median, if there is a sample.
    pub median: Option<f64>,
    /// `None` for fewer than 6 rounds.
    pub interval: Option<Interval>,
    pub verdict: Verdict,
}

impl Claim {
    /// Judges by all checks together. `None`: the claim was not measured.
    pub fn judge(&self, experiment: Option<&Experiment>) -> Verdict {
        let checks = self.checks.iter();
        Verdict::of_all(checks.map(|check| check.judge(experiment).verdict))
    }
}

impl Check {
    pub fn judge(&self, experiment: Option<&Experiment>) -> Finding {
        let ratio = experiment.and_then(|experiment| self.measured(experiment));
        let interval = ratio.and_then(|ratio| ratio.interval);
        Finding {
            median: ratio.map(|ratio| ratio.median),
            interval,
            verdict: match (ratio, interval) {
                (None, _) => Verdict::NotMeasured,
                (Some(_), None) => Verdict::NotShown,
                (Some(_), Some(interval)) => self.rule.judge(interval),
            },
        }
    }

    /// The median with its interval. `None` without a sample.
    pub fn measured(&self, experiment: &Experiment) -> Option<Ratio> {
        match self.of {
            Of::Ratio(above, below) => experiment.ratio(above, below, STEP, self.figure),
            Of::One(contestant) => {
                let summary = experiment.summary(contestant, STEP, self.figure)?;
                Some(Ratio {
                    median: summary.median,
                    interval: summary.interval,
                    pairs: summary.samples,
                })
            }
        }
    }
}
