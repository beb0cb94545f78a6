//! A run: every measurement of a benchmark, with what it depends on, as a file of JSON.
//!
//! The file describes itself, so that a later version can show and compare it: it holds the titles
//! and units of its figures, and every sample. docs/io-models/results/README.md describes it for
//! other programs.

use crate::Outcome;
use crate::core_to_core::{self, Distance};
use crate::statistics::{Interval, Ratio, median, sequential_interval};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::{read_to_string, rename, write};
use std::path::Path;

/// The version of the format. It changes when a reader of the old one would misread the new one.
pub const FORMAT: u32 = 1;

/// All measurements of a benchmark.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    pub format: u32,
    /// The benchmark that made it, such as `io_models`.
    pub benchmark: String,
    /// What the figures depend on: commit, kernel, processor, versions, load.
    pub environment: Vec<Fact>,
    /// How it was measured, such as `quick` or `full`.
    pub pace: String,
    /// A step is repeated until half of the interval of each ratio is within this part of it. In per
    /// cent.
    #[serde(default = "usual_percent")]
    pub within_percent: f64,
    /// Why the figures are not to be believed, as sentences. Empty if they are.
    pub unfit: Vec<String>,
    /// The contestant that the others are compared with.
    pub baseline: String,
    pub contestants: Vec<Contestant>,
    pub experiments: Vec<Experiment>,
    /// Failures, as sentences.
    pub faults: Vec<String>,
}

fn usual_percent() -> f64 {
    5.0
}

/// Something that the figures depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    pub name: String,
    pub value: String,
}

/// What is compared.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Contestant {
    pub name: String,
    /// Its place among all contestants there are, which decides its colour and mark.
    pub kind: usize,
    /// The program's options that make it.
    pub options: String,
    /// The contestant that it is compared with. `None`: with no other.
    #[serde(default)]
    pub against: Option<String>,
}

/// The measurements of one experiment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Experiment {
    pub name: String,
    pub title: String,
    /// A sentence or two about the work.
    pub about: String,
    /// The meaning of the steps, with their unit.
    pub steps_are: String,
    /// The contestants of this experiment alone, the baseline first. Empty: those of the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contestants: Vec<Contestant>,
    /// The figures that are shown. The first one decides when a step has been repeated enough.
    pub figures: Vec<Figure>,
    pub samples: Vec<Sample>,
    pub gaps: Vec<Gap>,
}

/// The meaning of a figure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    pub name: String,
    pub title: String,
    pub unit: String,
    pub better: Better,
    /// Whether its axis is logarithmic.
    pub logarithmic: bool,
}

/// Which of two values is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    Higher,
    Lower,
}

/// One measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sample {
    pub contestant: String,
    pub step: u64,
    /// Samples of one round were taken one right after the other, so their ratios are steady.
    pub round: u32,
    /// Values by the names of their figures, also of figures that are not shown.
    pub values: BTreeMap<String, f64>,
    /// What disturbed it, as a phrase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disturbed: Option<String>,
}

/// The reason why a contestant has no samples at a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    pub contestant: String,
    pub step: u64,
    pub why: String,
}

/// A figure over all rounds.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    pub median: f64,
    /// `None` if there are too few samples for one.
    pub interval: Option<Interval>,
    pub samples: usize,
}

impl Run {
    /// Reads a file.
    ///
    /// # Errors
    /// It is no run, or one of a format that this version does not know.
    pub fn read(path: &Path) -> Outcome<Run> {
        let shown = path.display();
        let text = read_to_string(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let Version { format } = serde_json::from_str(&text)
            .map_err(|error| format!("{shown} is no result of a benchmark: {error}"))?;
        if format != FORMAT {
            return Err(format!(
                "{shown} has format {format}; this version reads format {FORMAT}: measure again, or use the \
                 version that wrote it"
            )
            .into());
        }
        let run: Run = serde_json::from_str(&text).map_err(|error| format!("{shown}: {error}"))?;
        if let Some(name) = run.names().find(|name| !is_plain(name)) {
            return Err(format!("{shown}: `{name}` is no name").into());
        }
        Ok(run)
    }

    /// Names that become names of files.
    fn names(&self) -> impl Iterator<Item = &String> {
        let experiments = self.experiments.iter();
        experiments.flat_map(|one| {
            let figures = one.figures.iter().map(|figure| &figure.name);
            [&one.name].into_iter().chain(figures)
        })
    }

    /// Writes a file. One that cannot be written whole leaves the old one as it is.
    ///
    /// # Errors
    /// Errors of the file system.
    pub fn write(&self, path: &Path) -> Outcome<()> {
        let new = path.with_extension("json.new");
        write(&new, serde_json::to_string(self)? + "\n")?;
        Ok(rename(new, path)?)
    }

    pub fn experiment(&self, name: &str) -> Option<&Experiment> {
        self.experiments.iter().find(|one| one.name == name)
    }

    /// Who takes part in an experiment: its own contestants, or those of the run.
    pub fn contestants_of<'a>(&'a self, experiment: &'a Experiment) -> &'a [Contestant] {
        match &experiment.contestants[..] {
            [] => &self.contestants,
            own => own,
        }
    }

    /// The one that the others of an experiment are compared with.
    pub fn baseline_of<'a>(&'a self, experiment: &'a Experiment) -> &'a str {
        let own = experiment.contestants.first();
        own.map_or(&self.baseline, |first| &first.name)
    }

    pub fn fact(&self, name: &str) -> Option<&str> {
        let fact = self.environment.iter().find(|fact| fact.name == name)?;
        Some(&fact.value)
    }

    /// Adds a fact.
    pub fn note(&mut self, name: &str, value: &str) {
        self.environment.push(Fact {
            name: name.to_owned(),
            value: value.to_owned(),
        });
    }

    /// Returns every value of every measurement, one per line.
    pub fn csv(&self) -> String {
        let mut text = "experiment,contestant,step,round,figure,value\n".to_owned();
        for experiment in &self.experiments {
            for sample in &experiment.samples {
                let (name, contestant) = (&experiment.name, &sample.contestant);
                let (step, round) = (sample.step, sample.round);
                for (figure, value) in &sample.values {
                    let _ = writeln!(
                        text,
                        "{name},{contestant},{step},{round},{figure},{value:.3}"
                    );
                }
            }
        }
        text
    }
}

fn usual_distance<'a>(samples: impl Iterator<Item = &'a Sample>) -> Option<Distance> {
    let distances: Vec<_> = samples.map(Sample::distance).collect();
    let count = |one: Option<Distance>| distances.iter().filter(|other| **other == one).count();
    let all = [None, Some(Distance::Far), Some(Distance::Near)];
    all.into_iter().max_by_key(|one| count(*one)).flatten()
}

fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    !name.is_empty() && name.bytes().all(plain)
}

impl Figure {
    /// The unit, and which values are better.
    pub fn measure(&self) -> String {
        let better = match self.better {
            Better::Higher => "higher",
            Better::Lower => "lower",
        };
        format!("{}; {better} is better", self.unit)
    }
}

impl Sample {
    /// How far apart the cores were. `None` if that is unknown.
    pub fn distance(&self) -> Option<Distance> {
        let time = self.values.get(core_to_core::FIGURE)?;
        Some(Distance::of(*time))
    }
}

impl Experiment {
    /// Notes a gap, once for all rounds.
    pub fn leave_gap(&mut self, gap: Gap) {
        let is_known = |one: &Gap| (&one.contestant, one.step) == (&gap.contestant, gap.step);
        if !self.gaps.iter().any(is_known) {
            self.gaps.push(gap);
        }
    }

    /// How many samples a contestant has at a step, whatever the distance of the cores.
    pub fn rounds(&self, contestant: &str, step: u64) -> usize {
        let is_one =
            |sample: &&Sample| (sample.contestant.as_str(), sample.step) == (contestant, step);
        self.samples.iter().filter(is_one).count()
    }

    /// The distance of the cores in most samples of a step. The others do not count. `None` if it is
    /// unknown in most.
    pub fn distance(&self, step: u64) -> Option<Distance> {
        usual_distance(self.samples.iter().filter(|sample| sample.step == step))
    }

    /// The same in one round.
    pub fn distance_in(&self, step: u64, round: u32) -> Option<Distance> {
        let samples = self.samples.iter();
        usual_distance(samples.filter(|sample| (sample.step, sample.round) == (step, round)))
    }

    /// All steps, in order.
    pub fn steps(&self) -> Vec<u64> {
        let samples = self.samples.iter().map(|sample| sample.step);
        let mut steps: Vec<_> = samples
            .chain(self.gaps.iter().map(|gap| gap.step))
            .collect();
        steps.sort_unstable();
        steps.dedup();
        steps
    }

    pub fn figure(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }

    /// The values of a figure, by round, of the samples that count: see [`Self::distance`].
    pub fn values<'a>(
        &'a self,
        contestant: &'a str,
        step: u64,
        figure: &'a str,
    ) -> impl Iterator<Item = (u32, f64)> + 'a {
        let distance = self.distance(step);
        self.samples
            .iter()
            .filter(move |sample| sample.contestant == contestant && sample.step == step)
            .filter(move |sample| sample.distance() == distance)
            .filter_map(move |sample| Some((sample.round, *sample.values.get(figure)?)))
    }

    /// A figure over all rounds. `None` without samples.
    pub fn summary(&self, contestant: &str, step: u64, figure: &str) -> Option<Summary> {
        let values: Vec<_> = self
            .values(contestant, step, figure)
            .map(|(_, value)| value)
            .collect();
        Some(Summary {
            median: median(&values)?,
            interval: sequential_interval(&values),
            samples: values.len(),
        })
    }

    /// A figure in terms of the baseline's, round by round. `None` where no round has both.
    pub fn ratio(
        &self,
        contestant: &str,
        baseline: &str,
        step: u64,
        figure: &str,
    ) -> Option<Ratio> {
        let below: BTreeMap<_, _> = self.values(baseline, step, figure).collect();
        let pairs: Vec<_> = self
            .values(contestant, step, figure)
            .filter_map(|(round, value)| Some(value / below.get(&round)?))
            .filter(|ratio| ratio.is_finite())
            .collect();
        Ratio::of(&pairs)
    }
}
