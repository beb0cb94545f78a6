//! Decides which step is measured next, and when it has been measured enough. It reads no clock and
//! measures nothing.
//!
//! Every step gets the least number of rounds first. Then come those that can become precise within
//! the greatest number, as far as their spread tells; then all others. Which has the fewest rounds
//! is next.
//!
//! Rounds are compared only with rounds at the same distance of the cores ([`core_to_core`]). So a
//! step that was begun at one distance goes on when the cores are at that distance again.
//!
//! [`core_to_core`]: crate::core_to_core

use crate::core_to_core::Distance;

/// How often a step is measured.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    pub least: u32,
    pub most: u32,
    /// A step is precise when half of every interval is within this part of the median.
    pub within: f64,
}

/// All steps of a benchmark.
pub struct Repetition {
    rule: Rule,
    steps: Vec<Step>,
}

#[derive(Clone, Copy)]
struct Step {
    /// Steps of one group are shown together.
    group: usize,
    /// How many rounds it has in all.
    made: u32,
    /// And how many at each distance of the cores. Only those at the distance with the most count.
    rounds: [u32; PLACES],
    state: State,
    /// How many rounds it takes altogether, as far as is known.
    expected: u32,
}

/// Near, far, unknown.
const PLACES: usize = 3;

/// What becomes of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It has fewer rounds than the least, or a comparison without an interval.
    Begun,
    /// More rounds can make it precise.
    Promising,
    /// It would take more rounds than the most.
    Wide,
    /// It is precise.
    Reached,
    /// It has the most rounds, and is not precise.
    Bound,
}

impl Repetition {
    /// The group of each step.
    pub fn new(rule: Rule, groups: impl IntoIterator<Item = usize>) -> Repetition {
        let step = |group| Step {
            group,
            made: 0,
            rounds: [0; PLACES],
            state: State::Begun,
            expected: rule.least,
        };
        Repetition {
            rule,
            steps: groups.into_iter().map(step).collect(),
        }
    }

    /// Returns the step to measure next, now that the cores are at this distance. `None` if all are
    /// done.
    pub fn next(&self, distance: Option<Distance>) -> Option<usize> {
        let now = place(distance);
        let open = (0..self.steps.len()).filter(|index| self.is_open(*index));
        open.min_by_key(|index| {
            let step = &self.steps[*index];
            let turn = match step.state {
                // One step is brought to the least number before another is begun: the cores may be
                // at this distance for a short time only.
                State::Begun => self.rule.least.saturating_sub(step.rounds[now]),
                _ => step.rounds[now],
            };
            (self.rank(step, now), turn, *index)
        })
    }

    /// The order of steps. Those that have rounds at another distance would lose them.
    fn rank(&self, step: &Step, now: usize) -> u32 {
        let mut group = self.steps.iter().filter(|one| one.group == step.group);
        let is_elsewhere = |one: &Step| one.made > 0 && one.place() != now;
        match (step.state, is_elsewhere(step)) {
            (State::Begun, false) if step.made > 0 => 0,
            // Steps that are shown together had better be at one distance.
            (State::Begun, false) => 1 + u32::from(group.any(is_elsewhere)),
            (State::Promising, false) => 3,
            (State::Begun, true) => 4,
            (State::Wide, false) => 5,
            (State::Promising, true) => 6,
            _ => 7,
        }
    }

    /// Notes a round of a step at this distance. `spreads` are half of the interval as a part of the
    /// median, for each comparison that the step has. Without an interval more rounds are needed.
    pub fn note(&mut self, step: usize, distance: Option<Distance>, spreads: &[Option<f64>]) {
        let rule = self.rule;
        let step = &mut self.steps[step];
        step.made += 1;
        step.rounds[place(distance)] += 1;
        let rounds = step.rounds[step.place()];
        let lacks_interval = spreads.iter().any(Option::is_none);
        let widest = spreads.iter().flatten().copied().fold(0.0, f64::max);
        // An interval becomes narrower with the root of the number of its values.
        let needed = f64::from(rounds) * (widest / rule.within).powi(2);
        step.state = match rounds {
            rounds if rounds >= rule.least && !lacks_interval && widest <= rule.within => {
                State::Reached
            }
            rounds if rounds >= rule.most => State::Bound,
            rounds if rounds < rule.least || lacks_interval => State::Begun,
            _ if needed <= f64::from(rule.most) => State::Promising,
            _ => State::Wide,
        };
        step.expected = match step.state {
            State::Begun => rule.least.max(rounds + 1),
            State::Promising => (needed.ceil() as u32).max(rounds + 1),
            State::Wide => rule.most,
            State::Reached | State::Bound => rounds,
        };
    }

    pub fn state(&self, step: usize) -> State {
        self.steps[step].state
    }

    /// How many rounds a step has, at whatever distance.
    pub fn made(&self, step: usize) -> u32 {
        self.steps[step].made
    }

    /// How many rounds of a step count.
    pub fn rounds(&self, step: usize) -> u32 {
        let step = &self.steps[step];
        step.rounds[step.place()]
    }

    /// How many more rounds a step is expected to take.
    pub fn rest(&self, step: usize) -> u32 {
        self.steps[step].expected.saturating_sub(self.rounds(step))
    }

    fn is_open(&self, step: usize) -> bool {
        !matches!(self.steps[step].state, State::Reached | State::Bound)
    }
}

impl Step {
    /// The distance at which it has the most rounds.
    fn place(&self) -> usize {
        let most = self.rounds.iter().max();
        let is_most = |rounds: &u32| Some(rounds) == most;
        self.rounds.iter().position(is_most).unwrap_or(0)
    }
}

fn place(distance: Option<Distance>) -> usize {
    match distance {
        Some(Distance::Near) => 0,
        Some(Distance::Far) => 1,
        None => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::{Repetition, Rule, State};
    use crate::core_to_core::Distance::{Far, Near};

    const RULE: Rule = Rule {
        least: 6,
        most: 24,
        within: 0.05,
    };

    /// Plays all rounds. Each step has a spread after each number of rounds.
    fn play(spread: impl Fn(usize, u32) -> Option<f64>, steps: usize) -> (Repetition, Vec<usize>) {
        let mut repetition = Repetition::new(RULE, 0..steps);
        let mut order = Vec::new();
        while let Some(step) = repetition.next(None) {
            order.push(step);
            let spreads = [spread(step, repetition.rounds(step) + 1), Some(0.0)];
            repetition.note(step, None, &spreads);
        }
        (repetition, order)
    }

    #[test]
    fn a_precise_step_ends_after_the_least_rounds_and_a_wide_one_after_the_most() {
        let (ended, _) = play(|step, _| Some([0.01, 0.5][step]), 2);
        assert_eq!((ended.rounds(0), ended.state(0)), (6, State::Reached));
        assert_eq!((ended.rounds(1), ended.state(1)), (24, State::Bound));
    }

    #[test]
    fn time_goes_first_to_steps_that_can_become_precise() {
        let spread = |step: usize, rounds: u32| match step {
            0 => Some(0.5),
            _ => Some(0.2 / f64::from(rounds).sqrt()),
        };
        let (ended, order) = play(spread, 2);
        assert_eq!((ended.rounds(1), ended.state(1)), (16, State::Reached));
        let last_of_promising = order.iter().rposition(|step| *step == 1).unwrap_or(0);
        let wide_before = order[..last_of_promising].iter().filter(|step| **step == 0);
        assert_eq!(wide_before.count(), 6);
    }

    #[test]
    fn without_an_interval_a_step_goes_on_to_the_bound() {
        let (ended, _) = play(|_, _| None, 1);
        assert_eq!((ended.rounds(0), ended.state(0)), (24, State::Bound));
    }

    #[test]
    fn the_expected_rest_shrinks_to_nothing() {
        let mut repetition = Repetition::new(RULE, [0]);
        assert_eq!(repetition.rest(0), 6);
        for _ in 0..6 {
            repetition.note(0, None, &[Some(0.08)]);
        }
        // 6 · (0.08 / 0.05)² = 15.4
        assert_eq!(repetition.rest(0), 10);
        repetition.note(0, None, &[Some(0.04)]);
        assert_eq!(repetition.rest(0), 0);
    }

    #[test]
    fn a_step_goes_on_at_the_distance_at_which_it_began() {
        let mut repetition = Repetition::new(RULE, [0, 0, 1]);
        let narrow = [Some(0.01)];
        let mut round = |distance| {
            let step = repetition.next(Some(distance))?;
            repetition.note(step, Some(distance), &narrow);
            Some(step)
        };
        assert_eq!([round(Near), round(Near)], [Some(0); 2]);
        // Another group comes before a step that is shown beside those of another distance.
        assert_eq!([round(Far), round(Far)], [Some(2); 2]);
        for _ in 2..6 {
            assert_eq!(round(Near), Some(0));
        }
        assert_eq!(round(Near), Some(1));
        for _ in 2..6 {
            assert_eq!(round(Far), Some(2));
        }
        // Nothing else is left: it begins once more.
        for _ in 0..6 {
            assert_eq!(round(Far), Some(1));
        }
        assert_eq!(round(Near), None);
    }
}
