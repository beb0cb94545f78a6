//! The deadlines of a loop's connections: one list per kind of wait, in the order in which the
//! waits began.
//!
//! All waits of a kind last equally long, so the front of each list expires first. Starting,
//! stopping and expiring a timer take constant time and allocate nothing. Times are stored in
//! ticks, so a connection that is active again within a tick is not moved.

use crate::config;
use crate::session::{Moment, TimeLimits, Timeout};
use enum_map::{EnumMap, enum_map};
use std::time::Duration;

/// The resolution of the timers. A wait lasts up to one tick too long.
pub const TICK: Duration = Duration::from_millis(TICK_MS);

const TICK_MS: u64 = 64;

const TICK_NS: u64 = TICK_MS * 1_000_000;

/// How long a session pauses before it checks again whether it may continue, unless it is woken
/// earlier. A shorter time would cost too much if thousands pause; a longer one would lower the
/// rate that they are guaranteed together.
const PAUSE: Duration = TICK;

/// No connection.
const NONE: u32 = u32::MAX;

/// The timers of one loop's connections.
pub struct TimerQueue {
    lists: EnumMap<Timeout, List>,
    links: Vec<Link>,
}

/// The list of waits of one kind.
#[derive(Clone, Copy)]
struct List {
    /// How long they may last, in nanoseconds. `None`: forever, so they are not in the list. A
    /// plain number, since every turn compares the deadlines of all lists.
    limit_ns: Option<u64>,
    first: u32,
    last: u32,
}

/// The place of one connection in a list.
#[derive(Clone, Copy)]
struct Link {
    previous: u32,
    next: u32,
    tick: u32,
    kind: Option<Timeout>,
}

impl TimerQueue {
    /// No timers yet.
    pub fn new(limits: &TimeLimits) -> TimerQueue {
        TimerQueue {
            lists: limits.map(|_, limit| List {
                limit_ns: limit.map(nanos),
                first: NONE,
                last: NONE,
            }),
            links: Vec::new(),
        }
    }

    /// Starts the timer of connection `key`, which has been waiting in this way since `since`.
    /// Replaces its previous timer. Waits of one kind must start in order, over all connections.
    pub fn start(&mut self, key: usize, kind: Timeout, since: Moment) {
        let tick = tick(since);
        if key >= self.links.len() {
            self.links.resize(key + 1, Link::FREE);
        }
        let link = self.links[key];
        if link.kind == Some(kind) && link.tick == tick {
            return;
        }
        self.stop(key);
        if self.lists[kind].limit_ns.is_some() {
            self.append(key as u32, kind, tick);
        }
    }

    /// Stops the timer of connection `key`.
    pub fn stop(&mut self, key: usize) {
        let link = self.links.get(key).copied().unwrap_or(Link::FREE);
        let Some(kind) = link.kind else { return };
        let list = &mut self.lists[kind];
        match link.previous {
            NONE => list.first = link.next,
            previous => self.links[previous as usize].next = link.next,
        }
        match link.next {
            NONE => list.last = link.previous,
            next => self.links[next as usize].previous = link.previous,
        }
        self.links[key] = Link::FREE;
    }

    /// The earliest deadline, if there is one.
    pub fn next_deadline(&self) -> Option<Moment> {
        self.lists.values().filter_map(|l| self.deadline(l)).min()
    }

    /// Returns a connection whose deadline has passed at `now`, and stops its timer.
    pub fn pop_expired(&mut self, now: Moment) -> Option<usize> {
        let list = self
            .lists
            .values()
            .find(|list| self.deadline(list).is_some_and(|end| end <= now))?;
        let key = list.first as usize;
        self.stop(key);
        Some(key)
    }

    /// The connections that wait in this way, the longest wait first.
    pub fn waiting(&self, kind: Timeout) -> impl Iterator<Item = usize> {
        let key = |key: u32| (key != NONE).then_some(key as usize);
        let first = key(self.lists[kind].first);
        std::iter::successors(first, move |one| key(self.links[*one].next))
    }

    fn append(&mut self, key: u32, kind: Timeout, tick: u32) {
        let list = &mut self.lists[kind];
        let previous = std::mem::replace(&mut list.last, key);
        match previous {
            NONE => list.first = key,
            last => self.links[last as usize].next = key,
        }
        self.links[key as usize] = Link {
            previous,
            next: NONE,
            tick,
            kind: Some(kind),
        };
    }

    fn deadline(&self, list: &List) -> Option<Moment> {
        let first = self.links.get(list.first as usize)?;
        let since = u64::from(first.tick) * TICK_NS;
        Some(Moment::from_nanos(since.saturating_add(list.limit_ns?)))
    }
}

/// Rounds a moment up to a tick.
fn tick(moment: Moment) -> u32 {
    u32::try_from(moment.as_nanos().div_ceil(TICK_NS)).unwrap_or(u32::MAX)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Link {
    const FREE: Link = Link {
        previous: NONE,
        next: NONE,
        tick: 0,
        kind: None,
    };
}

/// The time limit for each kind of wait.
pub fn time_limits(config: &config::Timeouts) -> TimeLimits {
    enum_map! {
        Timeout::Head => Some(config.head),
        Timeout::Body => Some(config.body),
        Timeout::First | Timeout::Idle => Some(config.idle),
        Timeout::Forever => None,
        Timeout::Send => Some(config.send),
        Timeout::Linger => Some(config.linger),
        Timeout::Pause => Some(PAUSE),
        Timeout::Files => Some(config.files),
        Timeout::Handshake => Some(config.handshake),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timers() -> TimerQueue {
        TimerQueue::new(&time_limits(&config::Timeouts::default()))
    }

    fn at(seconds: f64) -> Moment {
        Moment::default().after(Duration::from_secs_f64(seconds))
    }

    #[test]
    fn timers_expire_in_order_and_not_early() {
        let mut timers = timers();
        timers.start(0, Timeout::Idle, at(0.0));
        timers.start(1, Timeout::Idle, at(1.0));
        timers.start(2, Timeout::Head, at(1.0));
        timers.start(3, Timeout::Forever, at(0.0));
        assert!(timers.waiting(Timeout::Idle).eq([0, 1]));
        let head = timers.next_deadline().expect("a deadline");
        assert!(head >= at(11.0) && head < at(12.0));
        assert_eq!(timers.pop_expired(at(10.9)), None);
        assert_eq!(timers.pop_expired(head), Some(2));
        assert_eq!(timers.pop_expired(head), None);
        timers.start(0, Timeout::Idle, at(2.0));
        let late = at(100.0);
        assert_eq!(timers.pop_expired(late), Some(1), "0 has moved behind 1");
        assert_eq!(timers.pop_expired(late), Some(0));
        assert_eq!(
            timers.next_deadline(),
            None,
            "a wait without limit has no deadline"
        );
    }

    #[test]
    fn a_timer_can_be_stopped_at_any_place_of_its_list() {
        for leaving in 0..3 {
            let mut timers = timers();
            for key in 0..3 {
                timers.start(key, Timeout::Send, at(0.0));
            }
            timers.stop(leaving);
            timers.stop(leaving);
            timers.start(7, Timeout::Send, at(0.0));
            let mut left = Vec::new();
            while let Some(key) = timers.pop_expired(at(60.0)) {
                left.push(key);
            }
            let expected: Vec<_> = [0, 1, 2, 7].into_iter().filter(|&k| k != leaving).collect();
            assert_eq!(left, expected);
        }
    }
}
