//! Decides which step is measured next, and when it has been measured enough. It reads no clock and
//! measures nothing.
//!
//! Every step gets the least number of rounds first, in turn. Then come those that can become
//! precise within the greatest number, as far as their spread tells; then all others. Who has the
//! fewest rounds is next.

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
    rounds: u32,
    state: State,
    /// How many rounds it takes altogether, as far as is known.
    expected: u32,
}

/// What becomes of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It has fewer rounds than the least.
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
    pub fn new(rule: Rule, steps: usize) -> Repetition {
        let step = Step {
            rounds: 0,
            state: State::Begun,
            expected: rule.least,
        };
        Repetition {
            rule,
            steps: vec![step; steps],
        }
    }

    /// Returns the step to measure next. `None` if all are done.
    pub fn next(&self) -> Option<usize> {
        let open = (0..self.steps.len()).filter(|index| self.is_open(*index));
        open.min_by_key(|index| (self.steps[*index].state, self.steps[*index].rounds, *index))
    }

    /// Notes a round of a step. `spreads` are half of the interval as a part of the median, for each
    /// comparison that the step has. Without an interval more rounds are needed.
    pub fn note(&mut self, step: usize, spreads: &[Option<f64>]) {
        let rule = self.rule;
        let step = &mut self.steps[step];
        step.rounds += 1;
        let widest = spreads.iter().map(|spread| spread.unwrap_or(f64::INFINITY));
        let widest = widest.fold(0.0, f64::max);
        // An interval becomes narrower with the root of the number of its values.
        let needed = f64::from(step.rounds) * (widest / rule.within).powi(2);
        step.state = match step.rounds {
            rounds if rounds < rule.least => State::Begun,
            _ if widest <= rule.within => State::Reached,
            rounds if rounds >= rule.most => State::Bound,
            _ if needed <= f64::from(rule.most) => State::Promising,
            _ => State::Wide,
        };
        step.expected = match step.state {
            State::Begun => rule.least,
            State::Promising => (needed.ceil() as u32).max(step.rounds + 1),
            State::Wide => rule.most,
            State::Reached | State::Bound => step.rounds,
        };
    }

    pub fn state(&self, step: usize) -> State {
        self.steps[step].state
    }

    pub fn rounds(&self, step: usize) -> u32 {
        self.steps[step].rounds
    }

    /// How many more rounds a step is expected to take.
    pub fn rest(&self, step: usize) -> u32 {
        let step = self.steps[step];
        step.expected.saturating_sub(step.rounds)
    }

    fn is_open(&self, step: usize) -> bool {
        !matches!(self.steps[step].state, State::Reached | State::Bound)
    }
}

#[cfg(test)]
mod tests {
    use super::{Repetition, Rule, State};

    const RULE: Rule = Rule {
        least: 6,
        most: 24,
        within: 0.05,
    };

    /// Plays all rounds. Each step has a spread after each number of rounds.
    fn play(spread: impl Fn(usize, u32) -> Option<f64>, steps: usize) -> (Repetition, Vec<usize>) {
        let mut repetition = Repetition::new(RULE, steps);
        let mut order = Vec::new();
        while let Some(step) = repetition.next() {
            order.push(step);
            repetition.note(
                step,
                &[spread(step, repetition.rounds(step) + 1), Some(0.0)],
            );
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
        let mut repetition = Repetition::new(RULE, 1);
        assert_eq!(repetition.rest(0), 6);
        for _ in 0..6 {
            repetition.note(0, &[Some(0.08)]);
        }
        // 6 · (0.08 / 0.05)² = 15.4
        assert_eq!(repetition.rest(0), 10);
        repetition.note(0, &[Some(0.04)]);
        assert_eq!(repetition.rest(0), 0);
    }
}
