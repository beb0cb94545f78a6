//! Makes each measurement once, and once more if something disturbed it or it failed. It says at the
//! end how often that was. It measures nothing itself.

use crate::disturbance::Met;
use crate::late::Late;
use crate::run::{Experiment, Gap, Run};
use crate::{Fault, Outcome};

/// A disturbed measurement is made once more, unless so many are disturbed that it would not help.
const REPEATED_SHARE: f64 = 0.2;

/// A run is unfit if more measurements than this part of them are disturbed in the end.
const UNFIT_SHARE: f64 = 0.05;

/// A run names so many failed measurements.
const NAMED_FAILURES: usize = 20;

/// All measurements of a run, as they are made.
#[derive(Default)]
pub struct Attempts {
    may_repeat: bool,
    made: u32,
    repeated: u32,
    repeated_after_failure: u32,
    disturbed: u32,
    /// The last one's disturbance.
    why: String,
    /// Every failure, also of those that succeeded when they were made again.
    failures: Vec<String>,
    /// Measurements without a result, because they failed twice.
    lost: Vec<Lost>,
}

struct Lost {
    experiment: String,
    gap: Gap,
}

/// What is measured.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    pub contestant: &'a str,
    pub step: u64,
    pub round: u32,
}

impl Attempts {
    /// `may_repeat`: there is time to make again what was disturbed or late.
    pub fn new(may_repeat: bool) -> Attempts {
        Attempts {
            may_repeat,
            ..Attempts::default()
        }
    }

    /// Makes a measurement by `once`. Returns `None` if it has no result; the experiment then has a
    /// gap with the reason.
    pub fn make<T>(
        &mut self,
        subject: Subject<'_>,
        part: &mut Experiment,
        mut once: impl FnMut() -> (Outcome<T>, Met),
    ) -> Option<(T, Met)> {
        self.made += 1;
        let (mut outcome, mut met) = once();
        let often = f64::from(self.repeated) > REPEATED_SHARE * f64::from(self.made.max(20));
        if self.note_failure(subject, part, &outcome) {
            self.repeated_after_failure += 1;
            (outcome, met) = once();
            self.note_failure(subject, part, &outcome);
        } else if met.disturbed.is_some() && self.may_repeat && !often {
            self.repeated += 1;
            (outcome, met) = once();
            self.note_failure(subject, part, &outcome);
        }
        match outcome {
            Ok(result) => {
                if let Some(why) = &met.disturbed {
                    self.disturbed += 1;
                    self.why.clone_from(why);
                }
                Some((result, met))
            }
            Err(fault) => {
                self.lose(subject, part, &fault, met.disturbed);
                None
            }
        }
    }

    /// Notes a failure. Returns true if the measurement should be made again. On a busy machine it is
    /// no failure that something did not come in time.
    fn note_failure<T>(&mut self, of: Subject<'_>, part: &Experiment, result: &Outcome<T>) -> bool {
        let Err(fault) = result else {
            return false;
        };
        if Late::is_cause_of(fault) {
            return self.may_repeat;
        }
        let Subject {
            contestant,
            step,
            round,
        } = of;
        let name = &part.name;
        self.failures.push(format!(
            "{name} at {step}, round {round}, {contestant}: {fault}"
        ));
        true
    }

    fn lose(&mut self, of: Subject<'_>, part: &mut Experiment, fault: &Fault, met: Option<String>) {
        let gap = Gap {
            contestant: of.contestant.to_owned(),
            step: of.step,
            why: match met {
                None => fault.to_string(),
                Some(disturbed) => format!("{fault}, while {disturbed}"),
            },
        };
        if !Late::is_cause_of(fault) {
            self.lost.push(Lost {
                experiment: part.name.clone(),
                gap: gap.clone(),
            });
        }
        part.leave_gap(gap);
    }

    /// Tells the run what was disturbed and what failed. It is a fault if a contestant has failed at a
    /// step and has no figure there.
    pub fn sum_up(self, run: &mut Run) {
        run.note(
            "measurements",
            &format!(
                "{}, of which {} were disturbed and made again, {} failed and were made again, and {} are \
                 marked as disturbed",
                self.made, self.repeated, self.repeated_after_failure, self.disturbed
            ),
        );
        if let Some(failures) = shortened(&self.failures) {
            run.note("failed measurements", &failures);
        }
        let made = self.made.max(1);
        if f64::from(self.disturbed) > UNFIT_SHARE * f64::from(made) {
            run.unfit.push(format!(
                "{} of {made} measurements were disturbed: in the last of them {}",
                self.disturbed, self.why
            ));
        }
        for Lost { experiment, gap } in self.lost {
            let (contestant, step) = (&gap.contestant, gap.step);
            let part = run.experiment(&experiment);
            let fault = format!(
                "{experiment} at {step}: {contestant} has no figure: {}",
                gap.why
            );
            let has_none = part.is_none_or(|part| part.rounds(contestant, step) == 0);
            if has_none && !run.faults.contains(&fault) {
                run.faults.push(fault);
            }
        }
    }
}

/// The failures as one text. `None` without any.
fn shortened(failures: &[String]) -> Option<String> {
    let named = failures.iter().take(NAMED_FAILURES);
    let named = named.map(String::as_str).collect::<Vec<_>>().join("; ");
    match failures.len().saturating_sub(NAMED_FAILURES) {
        _ if failures.is_empty() => None,
        0 => Some(named),
        more => Some(format!("{named}; and {more} more")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Attempts, Subject};
    use crate::disturbance::Met;
    use crate::late::Late;
    use crate::report::made_up;
    use crate::run::{Experiment, Run, Sample};
    use crate::{Fault, Outcome};
    use std::collections::BTreeMap;

    /// The result of a measurement, and what disturbed it.
    type Scripted = (Result<f64, &'static str>, Option<&'static str>);

    const WELL: Scripted = (Ok(1.0), None);
    const DISTURBED: Scripted = (Ok(1.0), Some("other programs ran"));
    const RESET: Scripted = (Err("connection reset"), None);
    const LATE: Scripted = (Err("late"), None);

    fn once((result, disturbed): Scripted) -> (Outcome<f64>, Met) {
        let fault = |why: &str| -> Fault {
            match why {
                "late" => Late(why.to_owned()).into(),
                _ => why.into(),
            }
        };
        let met = Met {
            disturbed: disturbed.map(str::to_owned),
            core_to_core_ns: None,
        };
        (result.map_err(fault), met)
    }

    /// Makes measurements of one contestant at one step. Each has the results that it would get one
    /// after the other. Returns the run, and how often each was made.
    fn play(may_repeat: bool, measurements: &[&[Scripted]]) -> (Run, Vec<usize>) {
        let mut attempts = Attempts::new(may_repeat);
        let mut part = Experiment {
            samples: Vec::new(),
            gaps: Vec::new(),
            ..made_up::run(1).experiments[0].clone()
        };
        let mut times = Vec::new();
        for (round, results) in (1..).zip(measurements) {
            let (contestant, step) = ("poll", 64);
            let subject = Subject {
                contestant,
                step,
                round,
            };
            let mut results = results.iter();
            let all = results.len();
            let made = attempts.make(subject, &mut part, || once(*results.next().expect("one")));
            times.push(all - results.len());
            part.samples.extend(made.map(|(value, met)| Sample {
                contestant: contestant.to_owned(),
                step,
                round,
                values: BTreeMap::from([("requests_per_s".to_owned(), value)]),
                disturbed: met.disturbed,
            }));
        }
        let mut run = Run {
            experiments: vec![part],
            environment: Vec::new(),
            unfit: Vec::new(),
            faults: Vec::new(),
            ..made_up::run(1)
        };
        attempts.sum_up(&mut run);
        (run, times)
    }

    #[test]
    fn a_failed_measurement_is_made_again_and_counted() {
        for may_repeat in [false, true] {
            let (run, times) = play(may_repeat, &[&[WELL], &[RESET, WELL]]);
            assert_eq!(times, [1, 2]);
            let part = &run.experiments[0];
            assert_eq!((part.samples.len(), part.gaps.len()), (2, 0));
            assert_eq!(run.faults, [""; 0]);
            let measurements = run.fact("measurements").expect("a note");
            assert!(
                measurements.contains("2, of which 0 were disturbed"),
                "{measurements}"
            );
            assert!(
                measurements.contains(" 1 failed and were made again"),
                "{measurements}"
            );
            let failed = run.fact("failed measurements").expect("a note");
            assert!(
                failed.ends_with(" at 64, round 2, poll: connection reset"),
                "{failed}"
            );
        }
    }

    #[test]
    fn what_fails_twice_is_a_gap_and_no_fault_beside_another_sample() {
        let (run, times) = play(true, &[&[RESET, RESET], &[WELL]]);
        assert_eq!(times, [2, 1]);
        let gap = &run.experiments[0].gaps[0];
        assert_eq!((gap.step, gap.why.as_str()), (64, "connection reset"));
        assert_eq!(run.faults, [""; 0]);
        let failed = run.fact("failed measurements").expect("a note");
        assert_eq!(failed.matches("connection reset").count(), 2);
    }

    #[test]
    fn a_step_without_a_figure_is_one_fault() {
        let (run, _) = play(true, &[&[RESET, RESET], &[RESET, RESET]]);
        let [fault] = &run.faults[..] else {
            panic!("{:?}", run.faults);
        };
        assert!(
            fault.ends_with(" at 64: poll has no figure: connection reset"),
            "{fault}"
        );
    }

    #[test]
    fn what_is_late_is_a_gap_and_made_again_only_if_there_is_time() {
        for (may_repeat, expected) in [(false, 1), (true, 2)] {
            let (run, times) = play(may_repeat, &[&[LATE, LATE]]);
            assert_eq!(times, [expected]);
            assert_eq!(run.experiments[0].gaps[0].why, "late");
            assert_eq!(run.faults, [""; 0]);
            assert_eq!(run.fact("failed measurements"), None);
        }
    }

    #[test]
    fn what_was_disturbed_is_made_again_unless_too_much_is() {
        let one: &[Scripted] = &[DISTURBED, WELL];
        let (run, times) = play(true, &[one]);
        assert_eq!((times, run.unfit.len()), (vec![2], 0));
        let (run, times) = play(false, &[one]);
        assert_eq!((times, run.unfit.len()), (vec![1], 1));
        let (run, times) = play(true, &[[DISTURBED, DISTURBED].as_slice(); 50]);
        assert!(times.contains(&1) && times[0] == 2, "{times:?}");
        assert!(run.unfit[0].starts_with("50 of 50 measurements were disturbed"));
    }

    #[test]
    fn a_run_names_a_bounded_number_of_failures() {
        let (run, _) = play(true, &[[RESET, WELL].as_slice(); 30]);
        let failed = run.fact("failed measurements").expect("a note");
        assert!(failed.ends_with("; and 10 more"), "{failed}");
    }
}
