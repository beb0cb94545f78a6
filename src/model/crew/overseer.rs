//! The thread that serves nobody: it waits for signals, and puts up what can be seen of the others.

use super::Crew;
use crate::model::bell::Bell;
use crate::model::{LOG_PAUSE, Signals, reopen};
use crate::observe::{Cell, Doers, Poster, View};
use crate::observe::{flush_standard_error, standard_error_is_behind};
use crate::poller::poll;
use rustix::event::{PollFd, PollFlags, Timespec};
use std::io;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// What it works with.
pub(super) struct Overseer<'a> {
    crew: &'a Crew,
    signals: &'a Signals,
    hangups: &'a Signals,
    poster: Option<Poster>,
    /// Rung when somebody wants to see something.
    bell: Arc<Bell>,
    rung: Vec<usize>,
}

impl<'a> Overseer<'a> {
    pub(super) fn new(
        crew: &'a Crew,
        signals: &'a Signals,
        hangups: &'a Signals,
    ) -> io::Result<Overseer<'a>> {
        let bell = Bell::new()?;
        let board = crew.board.as_ref();
        Ok(Overseer {
            crew,
            signals,
            hangups,
            poster: board.map(|board| board.poster(Some(bell.waker(0)))),
            bell,
            rung: Vec::new(),
        })
    }

    /// Waits for signals, for so long at most, or, while the server is stopping, for somebody to leave; says how many
    /// signals there were.
    pub(super) fn wait(&mut self, time: Option<Duration>) -> io::Result<usize> {
        let mut watched = [
            PollFd::new(self.signals, PollFlags::IN),
            PollFd::new(self.hangups, PollFlags::IN),
            PollFd::new(&self.crew.left_event, PollFlags::IN),
            PollFd::new(&self.bell, PollFlags::IN),
        ];
        if self.bell.begin_wait() {
            let poster = self.poster.as_ref();
            let look = poster.and_then(|poster| poster.patience(Instant::now()));
            let flush = standard_error_is_behind().then_some(LOG_PAUSE);
            let time = time.into_iter().chain(look).chain(flush).min();
            let time = time.and_then(|time| Timespec::try_from(time).ok());
            poll(&mut watched, time.as_ref())?;
        }
        if !watched[3].revents().is_empty() {
            self.bell.silence();
        }
        self.bell.end_wait(&mut self.rung);
        self.rung.clear();
        if standard_error_is_behind() {
            flush_standard_error();
        }
        let _ = rustix::io::read(&self.crew.left_event, &mut [0; 8]);
        if self.hangups.take() > 0 {
            reopen(&mut self.crew.log.lock().unwrap_or_else(PoisonError::into_inner));
        }
        self.post_if_wanted();
        Ok(self.signals.take())
    }

    fn post_if_wanted(&mut self) {
        if let Some(poster) = &mut self.poster
            && let Some(look) = poster.wanted(Instant::now())
        {
            let view = self.crew.view(poster, Instant::now());
            poster.post(&look, view, Instant::now());
        }
    }
}

impl Crew {
    /// What can be seen of the threads and their connections.
    fn view(&self, poster: &Poster, now: Instant) -> View {
        let members = self.members();
        let mut view = View {
            counters: members.counters,
            steps: members.steps.clone(),
            doers: Doers {
                kind: "threads",
                number: members.seats,
                busy: members.present.len(),
            },
            ..View::default()
        };
        let stride = poster.stride(members.present.len());
        for (key, member) in &members.present {
            let Some(shown) = member.shown() else {
                continue;
            };
            view.counters.add(&shown.counters);
            view.steps.add(&shown.steps);
            view.count(shown.state);
            if key % stride == 0 {
                view.cells.push(Cell {
                    key,
                    state: shown.state,
                    waits_for: shown.waits_for,
                    received: shown.counters.received,
                    sent: shown.counters.sent,
                    age: now.saturating_duration_since(shown.since),
                    left: shown.until.map(|end| end.saturating_duration_since(now)),
                });
            }
        }
        view
    }
}
