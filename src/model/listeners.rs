//! Decides which listeners to accept from, when to pause, and whose connections to close when
//! permits run out.
//!
//! Pure bookkeeping: time is an argument, and the model accepts and closes. Listeners and services
//! are known by their indices.

use super::StreamEndpoint;
use super::permits::Permits;
use crate::observe::throttled;
use std::fmt::Display;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long accepting pauses after it has failed. If descriptors, memory or threads ran out, the
/// close of a connection ends the pause.
pub const PAUSE: Duration = Duration::from_secs(1);

/// How often a refused accept is logged; it is retried once a second.
const REFUSED_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The listeners of a loop, a thread group or a forking parent.
pub struct Listeners {
    slots: Vec<ListenerSlot>,
    permits: Permits,
    /// For each service: true if clients wait for permits that its connections hold. Empty if none
    /// wait.
    crowded: Vec<bool>,
    /// Descriptors, memory or threads ran out: accepting pauses until this time or until a
    /// connection closes.
    exhausted_until: Option<Instant>,
    /// No connection could be closed yet: check again at this time.
    retry_at: Option<Instant>,
    /// How many connections were closed because the poller cannot watch their descriptors.
    unwatchable: u64,
}

/// The state of a listener.
#[derive(Clone, Copy, Debug, Default)]
struct ListenerSlot {
    /// The index of its service.
    service: usize,
    /// A connection may be waiting.
    ready: bool,
    /// An event has reported that, and no connection was accepted since.
    reported: bool,
    /// Other loops know that connections may be waiting which this one cannot accept.
    passed_on: bool,
    /// A connection is waiting for a permit.
    has_waiting: bool,
    /// accept4(2) was refused: this listener pauses until this time.
    refused_until: Option<Instant>,
}

/// What waiting connections need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Descriptors or memory: closing any connection helps.
    Resources,
    /// A permit of this service.
    Permits(usize),
}

impl Listeners {
    /// Listeners whose services share `limit` connections: see [`Permits`]. All listeners of a
    /// service share what is reserved for it.
    pub fn new(limit: usize, endpoints: &[StreamEndpoint]) -> Listeners {
        let mut services: Vec<&StreamEndpoint> = Vec::new();
        let mut indices = Vec::new();
        for one in endpoints {
            let is_same = |known: &&StreamEndpoint| Arc::ptr_eq(&known.service, &one.service);
            let known = services.iter().position(is_same);
            indices.push(known.unwrap_or(services.len()));
            if known.is_none() {
                services.push(one);
            }
        }
        let reservations: Vec<_> = services.iter().map(|one| one.reserved_permits).collect();
        Listeners::with(Permits::new(limit, &reservations), indices)
    }

    /// Listeners that have `limit` connections each.
    pub fn of_each(limit: usize, endpoints: &[StreamEndpoint]) -> Listeners {
        let number = endpoints.len();
        Listeners::with(Permits::of_each(limit, number), (0..number).collect())
    }

    fn with(permits: Permits, services: Vec<usize>) -> Listeners {
        let slot = |service| ListenerSlot {
            service,
            ..ListenerSlot::default()
        };
        Listeners {
            slots: services.into_iter().map(slot).collect(),
            permits,
            crowded: Vec::new(),
            exhausted_until: None,
            retry_at: None,
            unwatchable: 0,
        }
    }

    /// The permits of the services.
    pub fn permits(&mut self) -> &mut Permits {
        &mut self.permits
    }

    /// The index of a listener's service.
    pub fn service(&self, listener: usize) -> usize {
        self.slots[listener].service
    }

    /// Reports that connections may be waiting at a listener. Accepting is then tried until
    /// [`would_block`](Listeners::would_block).
    pub fn set_ready(&mut self, listener: usize) {
        if let Some(slot) = self.slots.get_mut(listener) {
            slot.ready = true;
            slot.passed_on = false;
        }
    }

    /// Does the same for an event of a listener.
    pub fn report(&mut self, listener: usize) {
        self.set_ready(listener);
        if let Some(slot) = self.slots.get_mut(listener) {
            slot.reported = true;
        }
    }

    /// Reports that connections may be waiting at all listeners. If this model has several loops, the
    /// others know.
    pub fn set_all_ready(&mut self) {
        for slot in &mut self.slots {
            slot.ready = true;
            slot.passed_on = true;
        }
    }

    /// Reports that a connection was accepted from a listener.
    pub fn accepted(&mut self, listener: usize) {
        self.slots[listener].reported = false;
    }

    /// Reports that no connection is waiting at a listener. Returns true if the last event was in
    /// vain: no connection was accepted since.
    pub fn would_block(&mut self, listener: usize) -> bool {
        let slot = &mut self.slots[listener];
        slot.ready = false;
        std::mem::take(&mut slot.reported)
    }

    /// True if a connection may be waiting at a listener and may be accepted.
    pub fn may_accept(&self, listener: usize) -> bool {
        self.may_accept_for_others(listener) && self.free(listener) > 0
    }

    /// True if a connection may be waiting at a listener and may be accepted, if there is a permit for
    /// it elsewhere.
    pub fn may_accept_for_others(&self, listener: usize) -> bool {
        let slot = &self.slots[listener];
        slot.ready && slot.refused_until.is_none() && self.exhausted_until.is_none()
    }

    /// How many more connections from a listener may exist. None, if listening has ended.
    pub fn free(&self, listener: usize) -> usize {
        let slot = self.slots.get(listener);
        slot.map_or(0, |slot| self.permits.free(slot.service))
    }

    /// Returns true if connections may be waiting at a listener that this loop `cannot_accept` now, and
    /// other loops do not know.
    pub fn take_stuck(&mut self, cannot_accept: impl Fn(&Listeners, usize) -> bool) -> bool {
        let mut is_stuck = false;
        for listener in 0..self.slots.len() {
            let slot = &self.slots[listener];
            if slot.ready && !slot.passed_on && cannot_accept(self, listener) {
                self.slots[listener].passed_on = true;
                is_stuck = true;
            }
        }
        is_stuck
    }

    /// True if [`may_accept`](Listeners::may_accept) is true for any listener.
    pub fn may_accept_any(&self) -> bool {
        (0..self.slots.len()).any(|listener| self.may_accept(listener))
    }

    /// Call this before accepting. Returns [`may_accept`](Listeners::may_accept), and forgets
    /// whether a connection is waiting for a permit.
    pub fn begin_accept(&mut self, listener: usize) -> bool {
        let may_accept = self.may_accept(listener);
        self.slots[listener].has_waiting &= !may_accept;
        may_accept
    }

    /// Call this before accepting a connection that gets its permit elsewhere: forgets whether one is
    /// waiting.
    pub fn begin_accept_for_others(&mut self, listener: usize) {
        self.slots[listener].has_waiting = false;
    }

    /// True if the poller should watch a listener: accepting does not pause, and no connection is
    /// known to wait for a permit. A level-triggered poller would report that one in every turn.
    pub fn is_watched(&self, listener: usize) -> bool {
        let slot = &self.slots[listener];
        self.exhausted_until.is_none() && slot.refused_until.is_none() && !slot.has_waiting
    }

    /// True if up to `count` connections may be accepted from a listener before
    /// [`begin_accept`](Listeners::begin_accept) is asked.
    pub fn may_accept_ahead(&self, listener: usize, count: usize) -> bool {
        let service = self.slots[listener].service;
        self.is_watched(listener) && self.permits.free(service) >= count
    }

    /// Reports that descriptors, memory or threads ran out. Accepting pauses; connections wait in
    /// the backlog.
    pub fn exhausted(&mut self, why: impl Display, now: Instant) {
        self.exhausted_until = Some(now + PAUSE);
        self.warn_connections_wait(why);
    }

    /// Reports that accept4(2) was refused and would be refused again. The listener pauses.
    pub fn refused(
        &mut self,
        listener: usize,
        place: impl Display,
        error: &io::Error,
        now: Instant,
    ) {
        self.slots[listener].refused_until = Some(now + PAUSE);
        warn_accept_refused(place, error);
    }

    /// Reports that the poller cannot watch this descriptor, so its connection is closed. Logged
    /// only once.
    pub fn unwatchable(&mut self, fd: RawFd) {
        self.unwatchable += 1;
        if self.unwatchable == 1 {
            log::warn!(
                "a connection is closed because this model cannot watch descriptor {fd}; others are served. \
                 --model poll and epoll have no such limit"
            );
        }
    }

    /// Logs that connections are waiting.
    pub fn warn_connections_wait(&self, why: impl Display) {
        let count = self.permits.taken_by_all();
        throttled!(
            Warn,
            "cannot accept more than {count} connections: {why}; new clients wait until one closes"
        );
    }

    /// Reports that a connection of a service has closed: its permit, its descriptor and its memory
    /// are free.
    pub fn release(&mut self, service: usize) {
        self.permits.release(service);
        self.exhausted_until = None;
    }

    /// Ends the pauses whose time has come.
    pub fn resume(&mut self, now: Instant) {
        let is_over = |until: &mut Instant| *until <= now;
        self.exhausted_until.take_if(is_over);
        for slot in &mut self.slots {
            slot.ready |= slot.refused_until.take_if(is_over).is_some();
        }
    }

    /// When to call [`resume`](Listeners::resume) and [`shortages`](Listeners::shortages) again,
    /// even without an event.
    pub fn deadline(&self) -> Option<Instant> {
        let refused = self.slots.iter().filter_map(|slot| slot.refused_until);
        let others = [self.exhausted_until, self.retry_at];
        refused.chain(others.into_iter().flatten()).min()
    }

    /// Returns one shortage for each listener at which connections wait. Marks each service that
    /// could end it as [crowded](Listeners::is_crowded).
    ///
    /// `waits(listener, known)` returns whether a connection is waiting at a listener that has no
    /// free permit; `known` is true if one was at the last call. `elsewhere(listener)` returns when to
    /// look again, if another loop has a permit for it: then nothing is short.
    pub fn shortages(
        &mut self,
        waits: impl Fn(usize, bool) -> bool,
        elsewhere: impl Fn(usize) -> Option<Instant>,
    ) -> Vec<Shortage> {
        self.retry_at = None;
        self.crowded.clear();
        if self.exhausted_until.is_some() {
            self.crowded.resize(self.permits.services(), true);
            return vec![Shortage::Resources];
        }
        if self.permits.has_common() {
            // This is the usual case.
            return Vec::new();
        }
        let mut shortages = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if !slot.ready || self.permits.has_free(slot.service) {
                continue;
            }
            // No event reports that the waiting connections have left or were accepted by another
            // process. A loop assumes that they still wait until it accepts again; a thread group
            // checks.
            slot.has_waiting = waits(index, slot.has_waiting);
            slot.ready = slot.has_waiting;
            if !slot.has_waiting {
                continue;
            }
            match elsewhere(index) {
                Some(later) => self.retry_at = Some(later),
                None => shortages.push(Shortage::Permits(slot.service)),
            }
        }
        if !shortages.is_empty() {
            let all = 0..self.permits.services();
            let holds = |from| shortages.iter().any(|to| self.helps(from, *to));
            self.crowded = all.map(holds).collect();
        }
        shortages
    }

    /// Sets when to call [`shortages`](Listeners::shortages) again, because no connection could be
    /// closed yet.
    pub fn retry_shortages_at(&mut self, at: Instant) {
        self.retry_at = Some(at);
    }

    /// True if closing a connection of service `from` helps against a shortage.
    pub fn helps(&self, from: usize, shortage: Shortage) -> bool {
        match shortage {
            Shortage::Resources => true,
            Shortage::Permits(to) => self.permits.helps(from, to),
        }
    }

    /// True if clients wait for permits that the connections of a service hold. Those close after
    /// their next response.
    pub fn is_crowded(&self, service: usize) -> bool {
        self.crowded.get(service).is_some_and(|crowded| *crowded)
    }

    /// Forgets all listeners, because the server is stopping. The permits stay.
    pub fn clear(&mut self) {
        if self.unwatchable > 0 {
            let count = self.unwatchable;
            log::warn!(
                "{count} connections were closed because this model could not watch their descriptors"
            );
        }
        self.slots.clear();
        self.exhausted_until = None;
        self.retry_at = None;
    }
}

/// Logs that accept4(2) is refused at an address.
pub fn warn_accept_refused(place: impl Display, error: &io::Error) {
    throttled!(
        every REFUSED_LOG_INTERVAL,
        Error,
        "cannot accept connections at {place}: {error}; retrying every second"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Two services with one reserved connection each and two common ones; the first service has
    /// two listeners.
    fn listeners() -> Listeners {
        use super::super::ReservedPermits::Equal;
        let mut listeners = Listeners::with(Permits::new(4, &[Equal, Equal]), vec![0, 0, 1]);
        listeners.set_all_ready();
        listeners
    }

    fn accept(listeners: &mut Listeners, listener: usize) {
        assert!(listeners.begin_accept(listener));
        let service = listeners.service(listener);
        listeners.permits().take(service);
    }

    #[test]
    fn a_listener_is_accepted_from_until_it_would_block() {
        let mut listeners = listeners();
        assert!((0..3).all(|one| listeners.may_accept(one)));
        listeners.would_block(0);
        assert!(!listeners.may_accept(0) && listeners.may_accept(1) && listeners.may_accept_any());
        listeners.would_block(1);
        listeners.would_block(2);
        assert!(!listeners.may_accept_any());
        listeners.set_ready(0);
        listeners.set_ready(99);
        assert!(listeners.may_accept(0));
    }

    #[test]
    fn connections_are_accepted_ahead_while_all_of_them_would_get_permits() {
        let mut listeners = listeners();
        assert!(listeners.may_accept_ahead(0, 3) && !listeners.may_accept_ahead(0, 4));
        accept(&mut listeners, 0);
        accept(&mut listeners, 0);
        assert!(listeners.may_accept_ahead(1, 1) && !listeners.may_accept_ahead(1, 2));
        assert!(listeners.may_accept_ahead(2, 2), "one of them is reserved");
        listeners.exhausted("a test", Instant::now());
        assert!(!listeners.may_accept_ahead(2, 1));
    }

    /// What one of several loops cannot accept, others learn once for each event.
    #[test]
    fn clients_are_passed_on_once() {
        let mut listeners = listeners();
        let stuck =
            |listeners: &mut Listeners| listeners.take_stuck(|all, one| !all.may_accept(one));
        (0..3).for_each(|_| accept(&mut listeners, 0));
        assert!(!stuck(&mut listeners), "the others know of these");
        listeners.report(2);
        assert!(!stuck(&mut listeners), "it can be accepted");
        listeners.report(1);
        assert!(stuck(&mut listeners) && !stuck(&mut listeners));
        listeners.report(1);
        assert!(stuck(&mut listeners));
        let later = Instant::now();
        let elsewhere = listeners.shortages(|_, _| true, |_| Some(later));
        assert!(elsewhere.is_empty() && listeners.deadline() == Some(later));
        assert!(!listeners.is_crowded(0), "another loop has room");
    }

    #[test]
    fn an_event_is_in_vain_if_no_connection_was_accepted() {
        let mut listeners = listeners();
        listeners.report(0);
        assert!(listeners.would_block(0) && !listeners.would_block(0));
        listeners.report(0);
        listeners.accepted(0);
        assert!(!listeners.would_block(0));
    }

    #[test]
    fn exhaustion_pauses_all_listeners_until_a_connection_closes_or_the_time_has_passed() {
        let (mut listeners, start) = (listeners(), Instant::now());
        accept(&mut listeners, 0);
        for closes in [false, true] {
            listeners.exhausted("a test", start);
            assert!(!listeners.may_accept_any() && !listeners.is_watched(2));
            assert_eq!(listeners.deadline(), Some(start + PAUSE));
            listeners.resume(start + PAUSE - MS);
            assert!(!listeners.may_accept_any());
            match closes {
                true => listeners.release(0),
                false => listeners.resume(start + PAUSE),
            }
            assert!(listeners.may_accept_any() && listeners.is_watched(2));
            assert_eq!(listeners.deadline(), None);
        }
    }

    #[test]
    fn a_refusal_pauses_one_listener() {
        let (mut listeners, start) = (listeners(), Instant::now());
        let error = io::Error::other("a test");
        listeners.refused(1, "a place", &error, start);
        assert!(listeners.may_accept(0) && !listeners.may_accept(1) && !listeners.is_watched(1));
        listeners.would_block(1);
        listeners.resume(start + PAUSE);
        assert!(listeners.may_accept(1), "it is ready without an event");
    }

    #[test]
    fn there_is_no_shortage_while_every_service_may_have_more() {
        let mut listeners = listeners();
        accept(&mut listeners, 0);
        accept(&mut listeners, 0);
        let none = listeners.shortages(|_, _| unreachable!("there is room"), |_| None);
        assert_eq!(none, []);
        assert!(!listeners.is_crowded(0));
    }

    #[test]
    fn services_that_hold_the_permits_waited_for_are_crowded() {
        let mut listeners = listeners();
        (0..3).for_each(|_| accept(&mut listeners, 0));
        assert!(!listeners.may_accept(1) && listeners.may_accept(2));
        let mut found = listeners.shortages(|one, is_known| one == 1 && !is_known, |_| None);
        assert_eq!(
            found,
            [Shortage::Permits(0)],
            "no client waits at the other listener"
        );
        assert!(listeners.is_crowded(0) && !listeners.is_crowded(1));
        assert!(!listeners.is_watched(1), "a waiting client is known");
        accept(&mut listeners, 2);
        found = listeners.shortages(|_, is_known| is_known, |_| None);
        assert_eq!(found, [Shortage::Permits(0)]);
        assert!(
            !listeners.is_crowded(1),
            "its connection is reserved for it"
        );
        listeners.set_ready(2);
        found = listeners.shortages(|_, _| true, |_| None);
        assert_eq!(found, [Shortage::Permits(0), Shortage::Permits(1)]);
        assert!(listeners.is_crowded(0) && listeners.is_crowded(1));
        listeners.release(0);
        assert!(listeners.begin_accept(1) && listeners.is_watched(1));
    }

    #[test]
    fn all_services_are_crowded_when_resources_ran_out() {
        let (mut listeners, now) = (listeners(), Instant::now());
        listeners.exhausted("a test", now);
        assert_eq!(
            listeners.shortages(|_, _| false, |_| None),
            [Shortage::Resources]
        );
        assert!(listeners.is_crowded(0) && listeners.is_crowded(1));
        listeners.retry_shortages_at(now + MS);
        assert_eq!(listeners.deadline(), Some(now + MS));
        listeners.resume(now + PAUSE);
        assert_eq!(listeners.shortages(|_, _| false, |_| None), []);
        assert_eq!(listeners.deadline(), None);
        assert!(!listeners.is_crowded(0));
    }

    #[test]
    fn without_listeners_there_is_no_deadline() {
        let (mut listeners, now) = (listeners(), Instant::now());
        accept(&mut listeners, 2);
        listeners.exhausted("a test", now);
        listeners.clear();
        assert!(!listeners.may_accept_any());
        assert_eq!(listeners.deadline(), None);
        listeners.release(1);
    }
}
