//! From an interval to a verdict. An interval holds the true median in at least 95 of 100 cases, so
//! what the whole interval says is said.

use crate::statistics::Interval;
use std::fmt;

/// What must be true of a median for a claim to hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    AtLeast(f64),
    AtMost(f64),
    /// Both included.
    Between(f64, f64),
}

/// The verdict for one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Holds,
    DoesNotHold,
    /// The interval lies on both sides of the limit, or there are too few rounds for one.
    NotShown,
    NotMeasured,
}

impl Rule {
    /// The claim holds if all of the interval satisfies the rule. It does not hold if none of it
    /// does.
    pub fn judge(self, interval: Interval) -> Verdict {
        let Interval { low, high } = interval;
        let (least, most) = match self {
            Rule::AtLeast(least) => (least, f64::INFINITY),
            Rule::AtMost(most) => (f64::NEG_INFINITY, most),
            Rule::Between(least, most) => (least, most),
        };
        if least <= low && high <= most {
            Verdict::Holds
        } else if high < least || most < low {
            Verdict::DoesNotHold
        } else {
            Verdict::NotShown
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::AtLeast(least) => write!(f, "at least {least}"),
            Rule::AtMost(most) => write!(f, "at most {most}"),
            Rule::Between(least, most) => write!(f, "{least} to {most}"),
        }
    }
}

impl Verdict {
    /// A claim with several checks holds if all do. It does not hold if one does not. What was not
    /// measured decides before what was not shown.
    pub fn of_all(checks: impl Iterator<Item = Verdict>) -> Verdict {
        let all: Vec<_> = checks.collect();
        let decisive = [
            Verdict::DoesNotHold,
            Verdict::NotMeasured,
            Verdict::NotShown,
        ];
        let first = decisive.into_iter().find(|verdict| all.contains(verdict));
        first.unwrap_or(Verdict::Holds)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Holds => "holds here",
            Verdict::DoesNotHold => "does not hold here",
            Verdict::NotShown => "not shown",
            Verdict::NotMeasured => "not measured",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{DoesNotHold, Holds, NotMeasured, NotShown};

    fn judge(rule: Rule, low: f64, high: f64) -> Verdict {
        rule.judge(Interval { low, high })
    }

    #[test]
    fn the_whole_interval_decides() {
        let (least, most, between) = (
            Rule::AtLeast(1.2),
            Rule::AtMost(1.2),
            Rule::Between(0.9, 1.1),
        );
        for (rule, low, high, verdict) in [
            (least, 1.2, 1.5, Holds),
            (least, 1.19, 1.5, NotShown),
            (least, 1.0, 1.2, NotShown),
            (least, 1.0, 1.19, DoesNotHold),
            (most, 1.0, 1.2, Holds),
            (most, 1.0, 1.21, NotShown),
            (most, 1.2, 1.21, NotShown),
            (most, 1.21, 1.3, DoesNotHold),
            (between, 0.9, 1.1, Holds),
            (between, 0.89, 1.1, NotShown),
            (between, 0.8, 1.2, NotShown),
            (between, 0.8, 0.89, DoesNotHold),
            (between, 1.11, 1.2, DoesNotHold),
        ] {
            assert_eq!(judge(rule, low, high), verdict, "{rule}: {low} to {high}");
        }
    }

    #[test]
    fn one_check_that_fails_decides() {
        for (checks, verdict) in [
            (vec![Holds, Holds], Holds),
            (vec![Holds, NotShown], NotShown),
            (vec![NotShown, NotMeasured, Holds], NotMeasured),
            (vec![NotMeasured, DoesNotHold, Holds], DoesNotHold),
        ] {
            assert_eq!(Verdict::of_all(checks.into_iter()), verdict);
        }
    }
}
