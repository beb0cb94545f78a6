//! The results for programs: CSV, with a line for each figure of each measurement, and JSON, with
//! the medians.

use super::experiments::Experiment;
use evserve_lab::lines::Point;
use evserve_lab::statistics::{greatest, least, median};
use serde_json::{Value, json};
use std::fmt::Write;

/// One figure of one measurement.
pub struct Record {
    pub experiment: &'static str,
    pub model: String,
    pub step: u64,
    pub round: u32,
    pub figure: &'static str,
    pub value: f64,
}

/// The reason why a model has no figures at a step.
#[derive(PartialEq)]
pub struct Gap {
    pub experiment: &'static str,
    pub model: String,
    pub step: u64,
    pub why: String,
}

/// The results of a run.
#[derive(Default)]
pub struct Results {
    /// Names and values.
    pub environment: Vec<(String, String)>,
    /// Names and colours of the models, in order.
    pub models: Vec<(String, usize)>,
    pub records: Vec<Record>,
    pub gaps: Vec<Gap>,
    /// Failures, as sentences.
    pub faults: Vec<String>,
}

impl Results {
    /// A figure over all rounds.
    pub fn point(&self, experiment: &str, model: &str, step: u64, figure: &str) -> Option<Point> {
        let values: Vec<_> = self.values(experiment, model, step, figure).collect();
        Some(Point {
            median: median(&values)?,
            least: least(&values)?,
            greatest: greatest(&values)?,
        })
    }

    /// Notes a gap, once for all rounds.
    pub fn leave_gap(&mut self, gap: Gap) {
        if !self.gaps.contains(&gap) {
            self.gaps.push(gap);
        }
    }

    /// The gaps of an experiment.
    pub fn gaps_of<'a>(&'a self, experiment: &'a str) -> impl Iterator<Item = &'a Gap> {
        self.gaps
            .iter()
            .filter(move |gap| gap.experiment == experiment)
    }

    fn values<'a>(
        &'a self,
        experiment: &'a str,
        model: &'a str,
        step: u64,
        figure: &'a str,
    ) -> impl Iterator<Item = f64> + 'a {
        let is_it = move |record: &&Record| {
            (
                record.experiment,
                record.model.as_str(),
                record.step,
                record.figure,
            ) == (experiment, model, step, figure)
        };
        self.records.iter().filter(is_it).map(|record| record.value)
    }

    /// Returns every figure of every measurement, one per line.
    pub fn csv(&self) -> String {
        let mut text = "experiment,model,step,round,figure,value\n".to_owned();
        for record in &self.records {
            let Record {
                experiment,
                model,
                step,
                round,
                figure,
                value,
            } = record;
            let _ = writeln!(
                text,
                "{experiment},{model},{step},{round},{figure},{value:.3}"
            );
        }
        text
    }

    /// Returns all results with their medians.
    pub fn json(&self, experiments: &[&Experiment]) -> Value {
        let environment: serde_json::Map<_, _> = self
            .environment
            .iter()
            .map(|(what, says)| (what.clone(), Value::from(says.as_str())))
            .collect();
        let experiments: Vec<_> = experiments
            .iter()
            .map(|experiment| self.experiment_json(experiment))
            .collect();
        json!({ "environment": environment, "experiments": experiments, "faults": self.faults })
    }

    fn experiment_json(&self, experiment: &Experiment) -> Value {
        let mut points = Vec::new();
        for record in self
            .records
            .iter()
            .filter(|record| record.experiment == experiment.name && record.round == 1)
        {
            let (model, step, figure) = (record.model.as_str(), record.step, record.figure);
            let Some(point) = self.point(experiment.name, model, step, figure) else {
                continue;
            };
            let values: Vec<_> = self.values(experiment.name, model, step, figure).collect();
            points.push(json!({
                "model": model, "step": step, "figure": figure, "median": point.median, "least": point.least,
                "greatest": point.greatest, "values": values,
            }));
        }
        let gaps: Vec<_> = self
            .gaps_of(experiment.name)
            .map(|gap| json!({ "model": gap.model, "step": gap.step, "why": gap.why }))
            .collect();
        json!({
            "name": experiment.name, "title": experiment.title, "about": experiment.about,
            "steps_are": experiment.steps_are, "points": points, "gaps": gaps,
        })
    }
}
