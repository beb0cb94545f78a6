//! Transitions of sessions from one state to the next, counted for the status and the trace.

use std::ptr;

/// A transition: the names of two different states, as [`Session::state`](super::Session::state)
/// returns them.
pub type Transition = (&'static str, &'static str);

/// The state of a connection before its session begins.
pub const ACCEPTED: &str = "accepted";

/// The last state of a connection.
pub const CLOSED: &str = "closed";

/// Functions called while sessions are traced.
#[derive(Debug)]
pub struct TraceHooks {
    /// Called with the state before and after each call to a session; they may be the same.
    pub transition: fn(&'static str, &'static str),
    /// Called when a response is sent.
    pub answered: fn(),
    /// Called when the response to a request begins: with the method, a space and the target, and
    /// with the status.
    pub request: fn(&[u8], u16),
}

/// How often each transition happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transitions {
    counts: Vec<(Transition, u64)>,
    /// True until the first transition of a sample.
    is_sampling: bool,
    sampled: Option<&'static str>,
}

impl Transitions {
    /// Counts a transition, unless both states are the same.
    pub fn count(&mut self, from: &'static str, to: &'static str) {
        // Compare addresses first: nearly every name is a single constant, so its text need not be
        // read.
        let is_same =
            |(known, _): &&mut (Transition, u64)| ptr::eq(known.0, from) && ptr::eq(known.1, to);
        if ptr::eq(from, to) {
            return;
        }
        if self.is_sampling {
            self.is_sampling = false;
            self.sampled = Some(to);
        }
        match self.counts.iter_mut().find(is_same) {
            Some((_, sum)) => *sum += 1,
            None if from == to => {}
            None => self.add_count((from, to), 1),
        }
    }

    /// Begins a sample: the state to which the next transition leads.
    pub fn begin_sample(&mut self) {
        (self.is_sampling, self.sampled) = (true, None);
    }

    /// Ends the sample. `None` if there was no transition.
    pub fn end_sample(&mut self) -> Option<&'static str> {
        self.is_sampling = false;
        self.sampled.take()
    }

    /// Adds the counts of `other`.
    pub fn add(&mut self, other: &Transitions) {
        for (transition, count) in &other.counts {
            self.add_count(*transition, *count);
        }
    }

    /// Moves all counts to `other`.
    pub fn move_to(&mut self, other: &mut Transitions) {
        for (transition, count) in self.counts.drain(..) {
            other.add_count(transition, count);
        }
    }

    /// Each transition that happened, with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Transition, u64)> + '_ {
        self.counts.iter().copied()
    }

    fn add_count(&mut self, transition: Transition, count: u64) {
        match self
            .counts
            .iter_mut()
            .find(|(known, _)| *known == transition)
        {
            Some((_, sum)) => *sum += count,
            None => self.counts.push((transition, count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transitions_are_counted_and_staying_in_a_state_is_none() {
        let (mut transitions, mut sum) = (Transitions::default(), Transitions::default());
        transitions.count("a", "b");
        transitions.count("b", "b");
        transitions.count("a", "b");
        sum.count("b", "a");
        sum.add(&transitions);
        transitions.move_to(&mut sum);
        assert_eq!(transitions, Transitions::default());
        let all: Vec<_> = sum.iter().collect();
        assert_eq!(all, [(("b", "a"), 1), (("a", "b"), 4)]);
    }

    #[test]
    fn a_sample_is_the_first_state_that_a_session_enters() {
        let mut transitions = Transitions::default();
        transitions.begin_sample();
        transitions.count("a", "a");
        assert_eq!(transitions.end_sample(), None);
        transitions.begin_sample();
        for (from, to) in [("a", "b"), ("b", "c")] {
            transitions.count(from, to);
        }
        assert_eq!(transitions.end_sample(), Some("b"));
        transitions.count("c", "d");
        assert_eq!(transitions.end_sample(), None);
    }
}
