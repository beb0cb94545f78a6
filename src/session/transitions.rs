//! The steps that sessions take from one state to the next, counted for those who want to watch.

use std::ptr;

/// A step: the names of two different states, as [`Session::state`](super::Session::state) has them.
pub type Transition = (&'static str, &'static str);

/// What a connection is before its session has begun.
pub const ACCEPTED: &str = "accepted";

/// What it is in the end.
pub const CLOSED: &str = "closed";

/// What is called while conversations are traced.
#[derive(Debug)]
pub struct TraceHooks {
    /// A session has gone from one state to another, or stayed in it.
    pub transition: fn(&'static str, &'static str),
    /// A request has been answered.
    pub answered: fn(),
}

/// How often each step was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transitions(Vec<(Transition, u64)>);

impl Transitions {
    /// Counts a step; none if both states are the same.
    pub fn count(&mut self, from: &'static str, to: &'static str) {
        // States have few names, each of which is mostly the same bytes in memory: no need to read them.
        let is_same =
            |(known, _): &&mut (Transition, u64)| ptr::eq(known.0, from) && ptr::eq(known.1, to);
        if ptr::eq(from, to) {
            return;
        }
        match self.0.iter_mut().find(is_same) {
            Some((_, sum)) => *sum += 1,
            None if from == to => {}
            None => self.count_several((from, to), 1),
        }
    }

    /// Adds those that another one has counted.
    pub fn add(&mut self, other: &Transitions) {
        for (step, count) in &other.0 {
            self.count_several(*step, *count);
        }
    }

    /// Moves all to another one.
    pub fn move_to(&mut self, other: &mut Transitions) {
        for (step, count) in self.0.drain(..) {
            other.count_several(step, count);
        }
    }

    /// Each step that was ever taken, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (Transition, u64)> + '_ {
        self.0.iter().copied()
    }

    fn count_several(&mut self, step: Transition, count: u64) {
        match self.0.iter_mut().find(|(known, _)| *known == step) {
            Some((_, sum)) => *sum += count,
            None => self.0.push((step, count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted_and_standing_still_is_none() {
        let (mut steps, mut sum) = (Transitions::default(), Transitions::default());
        steps.count("a", "b");
        steps.count("b", "b");
        steps.count("a", "b");
        sum.count("b", "a");
        sum.add(&steps);
        steps.move_to(&mut sum);
        assert_eq!(steps, Transitions::default());
        let all: Vec<_> = sum.iter().collect();
        assert_eq!(all, [(("b", "a"), 1), (("a", "b"), 4)]);
    }
}
