//! What a run shows: each contestant against the one that it is compared with, by the first figure
//! of each experiment.

use crate::run::Run;
use crate::statistics::{Ratio, Verdict};
use std::fmt::Write;

/// One contestant at one step of an experiment.
#[derive(Clone, Debug)]
pub struct Compared {
    pub experiment: String,
    pub figure: String,
    pub step: u64,
    pub contestant: String,
    pub against: String,
    pub ratio: Ratio,
}

impl Compared {
    /// Whether the ratio is known as well as the run wanted. `None` without an interval.
    pub fn is_within(&self, percent: f64) -> Option<bool> {
        Some(100.0 * self.ratio.spread()? <= percent)
    }
}

/// All comparisons of a run.
pub fn comparisons(run: &Run) -> Vec<Compared> {
    let mut all = Vec::new();
    for experiment in &run.experiments {
        let Some(figure) = experiment.figures.first() else {
            continue;
        };
        for step in experiment.steps() {
            for contestant in run.contestants_of(experiment) {
                let (name, Some(against)) = (&contestant.name, &contestant.against) else {
                    continue;
                };
                let ratio = experiment.ratio(name, against, step, &figure.name);
                all.extend(ratio.map(|ratio| Compared {
                    experiment: experiment.name.clone(),
                    figure: figure.name.clone(),
                    step,
                    contestant: name.clone(),
                    against: against.clone(),
                    ratio,
                }));
            }
        }
    }
    all
}

/// Which ratios are not known as well as the run wanted, as sentences: one for each experiment and
/// step. Without repetition there are none.
pub fn not_reached(run: &Run) -> Vec<String> {
    sentences(run, &comparisons(run))
}

/// Those of one experiment.
pub fn not_reached_in(run: &Run, experiment: &str) -> Vec<String> {
    let mut all = comparisons(run);
    all.retain(|one| one.experiment == experiment);
    sentences(run, &all)
}

fn sentences(run: &Run, all: &[Compared]) -> Vec<String> {
    let mut steps: Vec<(&str, u64, Vec<String>)> = Vec::new();
    for one in all
        .iter()
        .filter(|one| one.is_within(run.within_percent) == Some(false))
    {
        let spread = 100.0 * one.ratio.spread().unwrap_or_default();
        let said = format!(
            "{} ±{spread:.0} % after {} rounds",
            one.contestant, one.ratio.pairs
        );
        match steps.last_mut() {
            Some((name, step, list)) if (*name, *step) == (&*one.experiment, one.step) => {
                list.push(said);
            }
            _ => steps.push((&one.experiment, one.step, vec![said])),
        }
    }
    let sentence = |(name, step, list): (&str, u64, Vec<String>)| {
        let within = run.within_percent;
        format!(
            "{name} at {step}: not within {within} %: {}",
            list.join(", ")
        )
    };
    steps.into_iter().map(sentence).collect()
}

/// The run in a few lines: whether it is fit, how much is precise, and what the comparisons show.
/// Against another build each comparison has a line.
pub fn summary(run: &Run) -> String {
    let all = comparisons(run);
    let mut text = String::new();
    for why in &run.unfit {
        let _ = writeln!(text, "not to be believed: {why}");
    }
    // A build is compared with its partner, not with the baseline.
    let baseline = |one: &Compared| {
        let experiment = run.experiment(&one.experiment);
        experiment.map(|experiment| run.baseline_of(experiment))
    };
    let is_against_builds = all.iter().any(|one| {
        one.contestant.contains('@') || baseline(one).is_some_and(|own| own != one.against)
    });
    if is_against_builds {
        for one in &all {
            let _ = writeln!(text, "{}", line(one));
        }
    }
    let count = |test: &dyn Fn(&Compared) -> bool| all.iter().filter(|one| test(one)).count();
    let judged = count(&|one| one.ratio.interval.is_some());
    if judged == 0 {
        return text;
    }
    for sentence in not_reached(run) {
        let _ = writeln!(text, "{sentence}");
    }
    let within = count(&|one| one.is_within(run.within_percent) == Some(true));
    let none = count(&|one| one.ratio.verdict() == Verdict::NoDifference);
    let (all, percent) = (all.len(), run.within_percent);
    let _ = writeln!(
        text,
        "{all} ratios: {within} are within {percent} %, {} had too few rounds\n\
         no difference shown in {none} of {judged} steps",
        all - judged
    );
    text
}

fn line(one: &Compared) -> String {
    let Ratio {
        median, interval, ..
    } = one.ratio;
    let interval = interval.map_or(String::new(), |interval| {
        format!(" ({:.3} to {:.3})", interval.low, interval.high)
    });
    format!(
        "{} at {}, {}: {median:.3}{interval} of {}: {}",
        one.experiment,
        one.step,
        one.contestant,
        one.against,
        one.ratio.verdict().text()
    )
}

#[cfg(test)]
mod tests {
    use super::{comparisons, not_reached, summary};
    use crate::report::made_up;
    use crate::statistics::Verdict;

    #[test]
    fn each_contestant_is_compared_with_its_own_partner() {
        let run = made_up::with(8, &[("poll", [0.8, 1.0, 1.2])]);
        let all = comparisons(&run);
        let verdicts: Vec<_> = all.iter().map(|one| one.ratio.verdict()).collect();
        assert_eq!(
            verdicts,
            [Verdict::Lower, Verdict::NoDifference, Verdict::Higher]
        );
        assert!(all.iter().all(|one| one.against == "epoll"));
        assert!(summary(&run).contains("no difference shown in 1 of 3 steps"));
    }

    #[test]
    fn contestants_of_one_experiment_are_compared_with_its_first() {
        let run = made_up::with_own_contestants(8, [0.5; 3]);
        let mut all = comparisons(&run);
        all.retain(|one| one.experiment == "own");
        assert_eq!(all.len(), 3);
        assert!(all.iter().all(|one| one.against == "one"));
        assert!(!summary(&run).contains("own at 8, two"), "no other build");
    }

    #[test]
    fn what_is_not_precise_is_named_with_its_spread() {
        let mut run = made_up::with(8, &[("poll", [0.8; 3])]);
        assert!(not_reached(&run).is_empty());
        run.within_percent = 0.1;
        assert_eq!(not_reached(&run).len(), 3);
        assert!(not_reached(&run)[0].starts_with("rate at 1: not within 0.1 %: poll ±"));
    }

    #[test]
    fn a_line_for_each_step_is_there_for_another_build_only() {
        let build = made_up::with(8, &[("epoll@old", [0.95; 3])]);
        assert!(summary(&build).contains("rate at 8, epoll@old: 0.950"));
        let models = made_up::with(8, &[("poll", [0.95; 3])]);
        assert!(!summary(&models).contains("rate at 8, poll:"));
    }
}
