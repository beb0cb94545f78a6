//! The members of a chat, and how what one says reaches the others.
//!
//! One lock holds the room, so all members hear everything in the same order. Nobody waits under it: a message goes into
//! the [`Backlog`], and the members' threads or loops send it.
//!
//! A member that speaks faster than another one reads has to wait for it, but not without end. While somebody is more than
//! [`HIGH_WATER`] behind, members take turns, and all of them together get [`GUARANTEED_RATE`]. So a member that reads at
//! that rate is never dropped, whatever the others do; and one that does not read is dropped after
//! (`BACKLOG_SIZE` - `HIGH_WATER`) / `GUARANTEED_RATE` = 8 seconds of others speaking as fast as they may.

use super::backlog::{BACKLOG_SIZE, Backlog, cost};
use super::text::{folded, shapes};
use crate::session::{Context, InboxState};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

/// How far a member may be behind before the others wait for it, in bytes of the backlog.
const HIGH_WATER: u64 = BACKLOG_SIZE / 2;

/// How much all members together may say while one is that far behind, in bytes a second. Less would let members that do
/// not read slow down the others for longer; more would drop those that read over slow lines.
const GUARANTEED_RATE: i64 = 64 * 1024;

/// How much of it may be saved up, in bytes: an eighth of a second.
const BURST: i64 = GUARANTEED_RATE / 8;

/// How many names are listed before the rest is only counted.
const NAMES_LISTED: usize = 100;

/// No member: all hear it.
const NOBODY: u64 = 0;

/// The members and what they have not heard yet.
#[derive(Default)]
pub(super) struct Room(Mutex<State>);

#[derive(Default)]
struct State {
    members: BTreeMap<u64, Member>,
    /// How many of them the others know of.
    announced: usize,
    /// The members by the shapes of their names.
    names: HashMap<String, u64>,
    /// How many have ever come: the last one's number, which nobody else ever has.
    come: u64,
    backlog: Backlog,
    /// How many are more than the high-water mark behind.
    behind: usize,
    /// Those who wait to say something, in the order in which they came, with what it counts.
    queue: BTreeMap<u64, (u64, u64)>,
    /// The last one's place in the queue.
    tickets: u64,
    /// What may still be said while somebody is behind, in bytes. Below zero if it has been overdrawn.
    allowance: i64,
    allowed_until: Option<Instant>,
    /// Those who have left, of whom the others have not heard yet.
    left: Departures,
    /// Those who were dropped.
    dropped: Departures,
}

struct Member {
    name: String,
    /// Others know of it, and it hears them.
    is_announced: bool,
    /// Its place in the backlog.
    place: u64,
    waker: Option<Waker>,
    /// Its place in the queue.
    ticket: Option<u64>,
    /// It has waited, and may say one thing.
    has_permit: bool,
}

/// Members that are gone, and told of in one message however many they are.
#[derive(Default)]
struct Departures {
    names: Vec<String>,
    more: usize,
}

/// What came of a wish for another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renamed {
    /// All others are told.
    Done,
    /// Another member has the name.
    Taken,
    /// Another member has a name that looks the same.
    Alike,
    /// Not yet.
    Wait,
}

impl Room {
    /// Gives somebody a number. Nobody is told yet.
    pub fn enter(&self) -> u64 {
        let mut state = self.state();
        state.come += 1;
        let id = state.come;
        let member = Member {
            name: String::new(),
            is_announced: false,
            place: 0,
            waker: None,
            ticket: None,
            has_permit: false,
        };
        state.members.insert(id, member);
        id
    }

    /// Tells all others of a newcomer, as a guest with a number; returns the name. `None` if that has to wait: the
    /// newcomer is woken, and is to ask again from time to time.
    pub fn arrive(&self, id: u64, now: Instant) -> Option<String> {
        let mut state = self.state();
        let mut name = format!("guest{id}");
        while state.has(&name, id) {
            name.push('_');
        }
        let news = format!("* {name} joined\r\n");
        // The departure is paid for with the arrival, for it cannot wait.
        if !state.permits(id, 2 * cost(news.len()), now) {
            return None;
        }
        state.announce(id, news);
        let place = state.backlog.end();
        state.take_name(id, &name);
        state.announced += 1;
        if let Some(member) = state.members.get_mut(&id) {
            member.is_announced = true;
            member.place = place;
        }
        Some(name)
    }

    /// Lets somebody out who is still in.
    pub fn leave(&self, id: u64) {
        let mut state = self.state();
        if let Some(member) = state.remove(id)
            && member.is_announced
        {
            state.left.add(member.name);
            if state.is_open() {
                state.tell_departures();
            }
        }
    }

    /// Tells all others of a line. False if that has to wait.
    pub fn say(&self, id: u64, line: &str, now: Instant) -> bool {
        let mut state = self.state();
        let Some(member) = state.members.get(&id) else {
            return true;
        };
        let message = format!("{}: {line}\r\n", member.name);
        let may = state.permits(id, cost(message.len()), now);
        if may {
            state.announce(id, message);
        }
        may
    }

    /// Gives somebody another name, and tells all others.
    pub fn rename(&self, id: u64, name: &str, now: Instant) -> Renamed {
        let mut state = self.state();
        if let Some(other) = state.other_like(name, id) {
            return match folded(&other.name) == folded(name) {
                true => Renamed::Taken,
                false => Renamed::Alike,
            };
        }
        let Some(member) = state.members.get(&id) else {
            return Renamed::Done;
        };
        let news = format!("* {} is now {name}\r\n", member.name);
        if !state.permits(id, cost(news.len()), now) {
            return Renamed::Wait;
        }
        state.take_name(id, name);
        state.announce(id, news);
        Renamed::Done
    }

    /// True if somebody who had to wait may try again.
    pub fn may_go_on(&self, id: u64, now: Instant) -> bool {
        let mut state = self.state();
        state.grant(now);
        let member = state.members.get(&id);
        state.behind == 0 || member.is_none_or(|member| member.has_permit)
    }

    /// Puts out what a member has not heard yet, as far as there is room, and adds to `heard` how much that was in bytes; 0
    /// is left in it once the member has heard all. One that is not in the room has missed something.
    pub fn take(&self, id: u64, heard: &mut usize, cx: &mut Context<'_>) -> InboxState {
        let state = &mut *self.state();
        let Some(member) = state.members.get_mut(&id) else {
            return InboxState::Overflowed;
        };
        if !member.is_announced {
            return InboxState::Open;
        }
        let was_behind = member.is_behind(&state.backlog);
        let mut count = 0;
        while let Some(message) = state.backlog.at(member.place) {
            if message.from != id {
                if message.text.len() > cx.room() {
                    break;
                }
                count += cx.put(&message.text);
            }
            member.place = message.end();
        }
        *heard += count;
        if member.place == state.backlog.end() {
            *heard = 0;
        }
        if was_behind && !member.is_behind(&state.backlog) {
            state.has_caught_up();
        }
        InboxState::Open
    }

    /// Registers what is woken when there is something to take, or the member may go on.
    pub fn set_waker(&self, id: u64, waker: Waker) {
        let state = &mut *self.state();
        match state.members.get_mut(&id) {
            Some(member) => {
                if member.is_announced && member.place < state.backlog.end() {
                    waker.wake_by_ref();
                }
                member.waker = Some(waker);
            }
            None => waker.wake(),
        }
    }

    /// Who is there, as a sentence for one of them.
    pub fn names(&self, id: u64) -> String {
        let state = self.state();
        let others = state.members.iter().filter(|(other, _)| **other != id);
        let names = others
            .map(|(_, member)| member)
            .filter(|member| member.is_announced)
            .map(|member| member.name.as_str());
        let listed: Vec<_> = names.take(NAMES_LISTED).collect();
        let own = state.members.get(&id).filter(|own| own.is_announced);
        // Not counted one by one: any member may ask again and again.
        let more = state.announced - usize::from(own.is_some()) - listed.len();
        let text = listed.join(", ");
        match (listed.len(), more) {
            (0, _) => "nobody else is here".into(),
            (1, 0) => format!("{text} is here"),
            (_, 0) => format!("here are {text}"),
            (_, more) => format!("here are {text} and {more} more"),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Another member whose name looks the same.
    fn other_like(&self, name: &str, id: u64) -> Option<&Member> {
        let shapes = shapes(name);
        let ids = shapes.iter().filter_map(|shape| self.names.get(shape));
        let other = ids.copied().find(|other| *other != id)?;
        self.members.get(&other)
    }

    fn has(&self, name: &str, id: u64) -> bool {
        self.other_like(name, id).is_some()
    }

    fn take_name(&mut self, id: u64, name: &str) {
        if let Some(member) = self.members.get_mut(&id) {
            let before = std::mem::replace(&mut member.name, name.into());
            for shape in shapes(&before) {
                self.names.remove(&shape);
            }
            let shapes = shapes(name).into_iter();
            self.names.extend(shapes.map(|shape| (shape, id)));
        }
    }

    /// True if something may be said now.
    fn is_open(&self) -> bool {
        self.behind == 0 || self.allowance > 0
    }

    /// True if a member may say something that counts so much. If not, it is put in the queue.
    fn permits(&mut self, id: u64, cost: u64, now: Instant) -> bool {
        self.grant(now);
        let Some(member) = self.members.get_mut(&id) else {
            return true;
        };
        if std::mem::take(&mut member.has_permit) || self.behind == 0 {
            if let Some(ticket) = member.ticket.take() {
                self.queue.remove(&ticket);
            }
            return true;
        }
        if self.queue.is_empty() && self.allowance > 0 {
            self.allowance -= cost.cast_signed();
            return true;
        }
        if member.ticket.is_none() {
            self.tickets += 1;
            member.ticket = Some(self.tickets);
            self.queue.insert(self.tickets, (id, cost));
        }
        false
    }

    /// Lets those go on who have waited longest, as far as the allowance goes.
    fn grant(&mut self, now: Instant) {
        let since = *self.allowed_until.get_or_insert(now);
        let elapsed = now.saturating_duration_since(since).as_micros();
        let gained = elapsed.saturating_mul(GUARANTEED_RATE as u128) / 1_000_000;
        if gained > 0 {
            let gained = i64::try_from(gained).unwrap_or(i64::MAX);
            self.allowance = self.allowance.saturating_add(gained).min(BURST);
            self.allowed_until = Some(now);
        }
        while self.behind > 0
            && self.allowance > 0
            && let Some((_, (id, cost))) = self.queue.pop_first()
        {
            self.allowance -= cost.cast_signed();
            if let Some(member) = self.members.get_mut(&id) {
                member.ticket = None;
                member.has_permit = true;
                member.wake();
            }
        }
    }

    /// Tells all but one, and of those who have left before.
    fn announce(&mut self, from: u64, message: String) {
        self.tell_departures();
        self.push(from, message);
        if self.is_open() {
            self.tell_departures();
        }
    }

    fn tell_departures(&mut self) {
        for (text, how) in [
            (self.left.take(), ""),
            (self.dropped.take(), ": too slow to hear all"),
        ] {
            if let Some(names) = text {
                let message = format!("* {names} left{how}\r\n");
                if self.behind > 0 {
                    self.allowance -= cost(message.len()).cast_signed();
                }
                self.push(NOBODY, message);
            }
        }
    }

    /// Adds a message for all but one. A member that would lose another one by that is dropped.
    fn push(&mut self, from: u64, message: String) {
        let before = self.backlog.end();
        self.backlog.push(from, message);
        let (start, end) = (self.backlog.start(), self.backlog.end());
        let mut slow = Vec::new();
        let mut slowest = end;
        self.behind = 0;
        for (id, member) in self.members.iter_mut().filter(|(_, one)| one.is_announced) {
            if member.place < start {
                slow.push(*id);
                continue;
            }
            // One that has not taken what was there before has been woken for that.
            if member.place == before {
                match *id == from {
                    true => member.place = end,
                    false => member.wake(),
                }
            }
            slowest = slowest.min(member.place);
            self.behind += usize::from(member.is_behind(&self.backlog));
        }
        for id in slow {
            if let Some(member) = self.remove(id) {
                member.wake();
                self.dropped.add(member.name);
            }
        }
        self.backlog.forget(slowest);
        if self.behind == 0 {
            self.release();
        }
    }

    fn remove(&mut self, id: u64) -> Option<Member> {
        let member = self.members.remove(&id)?;
        if let Some(ticket) = member.ticket {
            self.queue.remove(&ticket);
        }
        if member.is_announced {
            self.announced -= 1;
            for shape in shapes(&member.name) {
                self.names.remove(&shape);
            }
            // Those who have lost something are not counted any more.
            let has_all = member.place >= self.backlog.start();
            if has_all && member.is_behind(&self.backlog) {
                self.has_caught_up();
            }
        }
        Some(member)
    }

    /// One member less is behind.
    fn has_caught_up(&mut self) {
        self.behind = self.behind.saturating_sub(1);
        if self.behind == 0 {
            self.release();
            self.tell_departures();
        }
    }

    /// Nobody is behind: all who wait are to try again. They keep their places, for others may be faster.
    fn release(&self) {
        let waiting = self.queue.values();
        let waiting = waiting.filter_map(|(id, _)| self.members.get(id));
        waiting.for_each(Member::wake);
    }
}

impl Member {
    fn is_behind(&self, backlog: &Backlog) -> bool {
        backlog.end() - self.place > HIGH_WATER
    }

    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

impl Departures {
    fn add(&mut self, name: String) {
        match self.names.len() < NAMES_LISTED {
            true => self.names.push(name),
            false => self.more += 1,
        }
    }

    /// Their names, as part of a sentence. They are forgotten here.
    fn take(&mut self) -> Option<String> {
        let Departures { names, more } = std::mem::take(self);
        match (&names[..], more) {
            ([], _) => None,
            ([one], 0) => Some(one.clone()),
            ([all @ .., last], 0) => Some(format!("{} and {last}", all.join(", "))),
            (all, more) => Some(format!("{} and {more} more", all.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests;
