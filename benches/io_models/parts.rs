//! The parts of a run: experiments, each with those who take part in it.

use super::contestant::{Build, Contestant};
use super::experiments::{EXPERIMENTS, Experiment};
use evserve_lab::{Outcome, run};

/// An experiment with its contestants. The baseline is the first of the experiment's own ones.
pub struct Part {
    pub experiment: &'static Experiment,
    pub contestants: Vec<Contestant>,
}

impl Part {
    /// The contestants of these names in each experiment, or all if there are no names, and the
    /// baseline, which they are compared with. The name of a model also stands for its variants.
    /// Experiments without a chosen contestant are left out. With other builds each of these is a
    /// contestant too, and is compared with the same one of the build under test.
    ///
    /// # Errors
    /// A name is unknown, a build does not exist, or nothing is left.
    pub fn choose(
        experiments: &[&'static Experiment],
        names: &[String],
        builds: &[Build],
    ) -> Outcome<Vec<Part>> {
        check(names)?;
        for build in builds {
            build.check()?;
        }
        let part = |experiment: &&'static Experiment| Part {
            experiment,
            contestants: with_builds(chosen(experiment, names, builds.is_empty()), builds),
        };
        let parts = experiments.iter().map(part);
        let parts: Vec<_> = parts.filter(|part| !part.contestants.is_empty()).collect();
        match parts.is_empty() {
            true => Err(format!("{} takes part in no such experiment", names.join(", ")).into()),
            false => Ok(parts),
        }
    }

    /// The models of a run. None if all its experiments have contestants of their own.
    pub fn models(parts: &[Part]) -> &[Contestant] {
        let of_models = parts.iter().find(|part| !part.has_variants());
        of_models.map_or(&[], |part| &part.contestants)
    }

    /// Its part of a run, without measurements yet.
    pub fn begin(&self) -> run::Experiment {
        let mut part = self.experiment.begin();
        if self.has_variants() {
            part.contestants = self.contestants.iter().map(Contestant::begin).collect();
        }
        part
    }

    fn has_variants(&self) -> bool {
        !self.experiment.variants.is_empty()
    }
}

/// Refuses names of no contestant.
fn check(names: &[String]) -> Outcome<()> {
    let variants = EXPERIMENTS.iter().flat_map(|one| one.variants);
    let variants = variants.map(|variant| variant.name.to_owned());
    let models = Contestant::all().into_iter().map(|one| one.name);
    let known: Vec<_> = models.chain(variants).collect();
    match names.iter().find(|name| !known.contains(name)) {
        Some(unknown) => {
            Err(format!("there is no model `{unknown}` among {}", known.join(", ")).into())
        }
        None => Ok(()),
    }
}

/// Those of these names, and the baseline if they are compared with it.
fn chosen(experiment: &Experiment, names: &[String], with_baseline: bool) -> Vec<Contestant> {
    let variants = experiment.variants;
    let (mut all, baseline) = match variants.first() {
        None => (Contestant::all(), Contestant::BASELINE),
        Some(first) => (Contestant::of_variants(variants), first.name),
    };
    let is_named = |name: &str| names.iter().any(|one| one == name);
    let wanted = |one: &Contestant| {
        let is_of_model = !variants.is_empty() && is_named(one.model);
        names.is_empty() || is_named(&one.name) || is_of_model
    };
    if !all.iter().any(wanted) {
        return Vec::new();
    }
    let is_partner = |one: &Contestant| with_baseline && one.name == baseline;
    all.retain(|one| wanted(one) || is_partner(one));
    if with_baseline {
        let others = all.iter_mut().filter(|one| one.name != baseline);
        others.for_each(|one| one.against = Some(baseline.to_owned()));
    }
    all
}

/// Adds each one again for each other build, and compares it with the first.
fn with_builds(mut all: Vec<Contestant>, builds: &[Build]) -> Vec<Contestant> {
    let mut others = Vec::new();
    for (index, build) in builds.iter().enumerate() {
        let kind = |one: &Contestant| one.kind + (index + 1) * Contestant::all().len();
        others.extend(all.iter().map(|one| Contestant {
            name: format!("{}@{}", one.name, build.name),
            kind: kind(one),
            program: build.program.clone(),
            against: Some(one.name.clone()),
            ..one.clone()
        }));
    }
    all.extend(others);
    all
}
