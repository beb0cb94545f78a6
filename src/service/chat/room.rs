//! The members of a chat, and how their messages reach each other.
//!
//! One lock protects the room, so all members receive all messages in the same order. No thread
//! waits for anything else while it holds the lock: a message goes into the [`Backlog`], and the
//! members' threads or loops send it.
//!
//! A member that sends faster than another one reads has to wait for it, within limits. While any
//! member is more than [`HIGH_WATER`] behind, members take turns, and together they may send
//! [`GUARANTEED_RATE`]. So a member that reads at that rate is never dropped. One that does not
//! read is dropped after (`BACKLOG_SIZE` - `HIGH_WATER`) / `GUARANTEED_RATE` = 8 seconds, if the
//! others send as fast as they may.

use super::backlog::{BACKLOG_SIZE, Backlog, cost};
use super::text::{fold_case, skeletons};
use crate::session::{Context, InboxState};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

/// How far a member may fall behind before the others have to wait for it, in bytes of the backlog.
const HIGH_WATER: u64 = BACKLOG_SIZE / 2;

/// How much all members together may send while one is that far behind, in bytes per second. Less
/// would let members that do not read hold up the others for longer; more would drop members on
/// slow connections.
const GUARANTEED_RATE: i64 = 64 * 1024;

/// The most that the budget can save up, in bytes: an eighth of a second.
const BURST: i64 = GUARANTEED_RATE / 8;

/// The most names in a list. Further ones are counted.
const MAX_LISTED_NAMES: usize = 100;

/// The author of messages that all members receive.
const NO_AUTHOR: u64 = 0;

/// The members and the messages that they have not received yet.
#[derive(Default)]
pub(super) struct Room(Mutex<State>);

#[derive(Default)]
struct State {
    members: BTreeMap<u64, Member>,
    /// How many members the others know of.
    announced_count: usize,
    /// Members by the skeletons of their names.
    names: HashMap<String, u64>,
    /// The number of the member that came last. Numbers are never used again.
    last_id: u64,
    backlog: Backlog,
    /// How many members are more than [`HIGH_WATER`] behind.
    behind_count: usize,
    /// Members that wait to send, by ticket, with the cost of the message.
    queue: BTreeMap<u64, (u64, u64)>,
    /// The last ticket.
    last_ticket: u64,
    /// What may be sent while a member is behind, in bytes. Negative after a message that cost more
    /// than was left.
    budget: i64,
    budget_filled_at: Option<Instant>,
    /// Members that have left, but whose departure was not announced yet.
    departed: Departures,
    /// The same for members that were dropped.
    dropped: Departures,
}

struct Member {
    name: String,
    /// The others know of it, and it receives their messages.
    is_announced: bool,
    /// Its position in the backlog.
    position: u64,
    waker: Option<Waker>,
    /// Its ticket, if it waits to send.
    ticket: Option<u64>,
    /// It has waited, and may send one message.
    may_send_once: bool,
}

/// Departed members, announced together in one message.
#[derive(Default)]
struct Departures {
    names: Vec<String>,
    more: usize,
}

/// The result of a `/nick` command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RenameResult {
    /// The others were told.
    Done,
    /// Another member has this name.
    Taken,
    /// Another member has a name that looks the same.
    LooksAlike,
    /// Some members are too far behind: try again later.
    MustWait,
}

impl Room {
    /// Adds a member without announcing it. Returns its number.
    pub fn add(&self) -> u64 {
        let mut state = self.state();
        state.last_id += 1;
        let id = state.last_id;
        let member = Member {
            name: String::new(),
            is_announced: false,
            position: 0,
            waker: None,
            ticket: None,
            may_send_once: false,
        };
        state.members.insert(id, member);
        id
    }

    /// Announces a new member as a guest with a number, and returns its name. Returns `None` if
    /// that has to wait: the member is woken when it may go on, but should also retry from time to
    /// time.
    pub fn announce_arrival(&self, id: u64, now: Instant) -> Option<String> {
        let mut state = self.state();
        let mut name = format!("guest{id}");
        while state.is_taken(&name, id) {
            name.push('_');
        }
        let message = format!("* {name} joined\r\n");
        // This pays for the announcement of its departure too, which cannot wait.
        if !state.may_send(id, 2 * cost(message.len()), now) {
            return None;
        }
        state.announce(id, message);
        let position = state.backlog.end();
        state.set_name(id, &name);
        state.announced_count += 1;
        if let Some(member) = state.members.get_mut(&id) {
            member.is_announced = true;
            member.position = position;
        }
        Some(name)
    }

    /// Removes a member, if it was not dropped before.
    pub fn remove(&self, id: u64) {
        let mut state = self.state();
        if let Some(member) = state.remove(id)
            && member.is_announced
        {
            state.departed.add(member.name);
            if state.may_broadcast() {
                state.announce_departures();
            }
        }
    }

    /// Sends a line to all other members. Returns false if that has to wait.
    pub fn broadcast(&self, id: u64, line: &str, now: Instant) -> bool {
        let mut state = self.state();
        let Some(member) = state.members.get(&id) else {
            return true;
        };
        let message = format!("{}: {line}\r\n", member.name);
        let may = state.may_send(id, cost(message.len()), now);
        if may {
            state.announce(id, message);
        }
        may
    }

    /// Changes a member's name and announces that.
    pub fn rename(&self, id: u64, name: &str, now: Instant) -> RenameResult {
        let mut state = self.state();
        if let Some(other) = state.member_with_similar_name(name, id) {
            return match fold_case(&other.name) == fold_case(name) {
                true => RenameResult::Taken,
                false => RenameResult::LooksAlike,
            };
        }
        let Some(member) = state.members.get(&id) else {
            return RenameResult::Done;
        };
        let message = format!("* {} is now {name}\r\n", member.name);
        if !state.may_send(id, cost(message.len()), now) {
            return RenameResult::MustWait;
        }
        state.set_name(id, name);
        state.announce(id, message);
        RenameResult::Done
    }

    /// True if a member that had to wait may retry.
    pub fn may_retry(&self, id: u64, now: Instant) -> bool {
        let mut state = self.state();
        state.grant_turns(now);
        let member = state.members.get(&id);
        state.behind_count == 0 || member.is_none_or(|member| member.may_send_once)
    }

    /// Puts out the messages that a member has not received yet, as far as there is room, and adds
    /// their bytes to `sent`. Sets `sent` to 0 when none is pending. A member that is not in the
    /// room was dropped.
    pub fn deliver(&self, id: u64, sent: &mut usize, cx: &mut Context<'_>) -> InboxState {
        let state = &mut *self.state();
        let Some(member) = state.members.get_mut(&id) else {
            return InboxState::Overflowed;
        };
        if !member.is_announced {
            return InboxState::Open;
        }
        let was_behind = member.is_behind(&state.backlog);
        let mut count = 0;
        while let Some(message) = state.backlog.at(member.position) {
            if message.from != id {
                if message.text.len() > cx.room() {
                    break;
                }
                count += cx.put(&message.text);
            }
            member.position = message.end();
        }
        *sent += count;
        if member.position == state.backlog.end() {
            *sent = 0;
        }
        if was_behind && !member.is_behind(&state.backlog) {
            state.member_caught_up();
        }
        InboxState::Open
    }

    /// Sets the waker for when messages are pending or the member may go on.
    pub fn set_waker(&self, id: u64, waker: Waker) {
        let state = &mut *self.state();
        match state.members.get_mut(&id) {
            Some(member) => {
                if member.is_announced && member.position < state.backlog.end() {
                    waker.wake_by_ref();
                }
                member.waker = Some(waker);
            }
            None => waker.wake(),
        }
    }

    /// A sentence for one member that names the others.
    pub fn describe_members(&self, id: u64) -> String {
        let state = self.state();
        let others = state.members.iter().filter(|(other, _)| **other != id);
        let names = others
            .map(|(_, member)| member)
            .filter(|member| member.is_announced)
            .map(|member| member.name.as_str());
        let listed: Vec<_> = names.take(MAX_LISTED_NAMES).collect();
        let own = state.members.get(&id).filter(|own| own.is_announced);
        // Subtracts instead of counting: a member may ask again and again.
        let more = state.announced_count - usize::from(own.is_some()) - listed.len();
        let text = listed.join(", ");
        match (listed.len(), more) {
            (0, _) => "nobody else is here".into(),
            (1, 0) => format!("{text} is here"),
            (_, 0) => format!("{text} are here"),
            (_, more) => format!("{text} and {more} more are here"),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Another member with a name that looks the same.
    fn member_with_similar_name(&self, name: &str, id: u64) -> Option<&Member> {
        let skeletons = skeletons(name);
        let ids = skeletons
            .iter()
            .filter_map(|skeleton| self.names.get(skeleton));
        let other = ids.copied().find(|other| *other != id)?;
        self.members.get(&other)
    }

    fn is_taken(&self, name: &str, id: u64) -> bool {
        self.member_with_similar_name(name, id).is_some()
    }

    fn set_name(&mut self, id: u64, name: &str) {
        if let Some(member) = self.members.get_mut(&id) {
            let before = std::mem::replace(&mut member.name, name.into());
            for skeleton in skeletons(&before) {
                self.names.remove(&skeleton);
            }
            let skeletons = skeletons(name).into_iter();
            self.names.extend(skeletons.map(|skeleton| (skeleton, id)));
        }
    }

    /// True if a message may be sent now.
    fn may_broadcast(&self) -> bool {
        self.behind_count == 0 || self.budget > 0
    }

    /// True if a member may send a message of this cost now. Else gives it a ticket.
    fn may_send(&mut self, id: u64, cost: u64, now: Instant) -> bool {
        self.grant_turns(now);
        let Some(member) = self.members.get_mut(&id) else {
            return true;
        };
        if std::mem::take(&mut member.may_send_once) || self.behind_count == 0 {
            if let Some(ticket) = member.ticket.take() {
                self.queue.remove(&ticket);
            }
            return true;
        }
        if self.queue.is_empty() && self.budget > 0 {
            self.budget -= cost.cast_signed();
            return true;
        }
        if member.ticket.is_none() {
            self.last_ticket += 1;
            member.ticket = Some(self.last_ticket);
            self.queue.insert(self.last_ticket, (id, cost));
        }
        false
    }

    /// Refills the budget, and lets the members go on that have waited longest.
    fn grant_turns(&mut self, now: Instant) {
        let since = *self.budget_filled_at.get_or_insert(now);
        let elapsed = now.saturating_duration_since(since).as_micros();
        let gained = elapsed.saturating_mul(GUARANTEED_RATE as u128) / 1_000_000;
        if gained > 0 {
            let gained = i64::try_from(gained).unwrap_or(i64::MAX);
            self.budget = self.budget.saturating_add(gained).min(BURST);
            self.budget_filled_at = Some(now);
        }
        while self.behind_count > 0
            && self.budget > 0
            && let Some((_, (id, cost))) = self.queue.pop_first()
        {
            self.budget -= cost.cast_signed();
            if let Some(member) = self.members.get_mut(&id) {
                member.ticket = None;
                member.may_send_once = true;
                member.wake();
            }
        }
    }

    /// Sends a message to all members but `from`, with the announcements of departures that are
    /// due.
    fn announce(&mut self, from: u64, message: String) {
        self.announce_departures();
        self.push(from, message);
        if self.may_broadcast() {
            self.announce_departures();
        }
    }

    fn announce_departures(&mut self) {
        for (text, how) in [
            (self.departed.take(), ""),
            (self.dropped.take(), ": too slow to receive all messages"),
        ] {
            if let Some(names) = text {
                let message = format!("* {names} left{how}\r\n");
                if self.behind_count > 0 {
                    self.budget -= cost(message.len()).cast_signed();
                }
                self.push(NO_AUTHOR, message);
            }
        }
    }

    /// Adds a message for all members but `from`. Drops members that would miss a message by that.
    fn push(&mut self, from: u64, message: String) {
        let before = self.backlog.end();
        self.backlog.push(from, message);
        let (start, end) = (self.backlog.start(), self.backlog.end());
        let mut slow = Vec::new();
        let mut slowest = end;
        self.behind_count = 0;
        for (id, member) in self.members.iter_mut().filter(|(_, one)| one.is_announced) {
            if member.position < start {
                slow.push(*id);
                continue;
            }
            // A member with earlier messages pending was woken for those.
            if member.position == before {
                match *id == from {
                    true => member.position = end,
                    false => member.wake(),
                }
            }
            slowest = slowest.min(member.position);
            self.behind_count += usize::from(member.is_behind(&self.backlog));
        }
        for id in slow {
            if let Some(member) = self.remove(id) {
                member.wake();
                self.dropped.add(member.name);
            }
        }
        self.backlog.drop_before(slowest);
        if self.behind_count == 0 {
            self.wake_waiting();
        }
    }

    fn remove(&mut self, id: u64) -> Option<Member> {
        let member = self.members.remove(&id)?;
        if let Some(ticket) = member.ticket {
            self.queue.remove(&ticket);
        }
        if member.is_announced {
            self.announced_count -= 1;
            for skeleton in skeletons(&member.name) {
                self.names.remove(&skeleton);
            }
            // A member that missed messages was removed from the count before.
            let has_all = member.position >= self.backlog.start();
            if has_all && member.is_behind(&self.backlog) {
                self.member_caught_up();
            }
        }
        Some(member)
    }

    /// One member fewer is behind.
    fn member_caught_up(&mut self) {
        self.behind_count = self.behind_count.saturating_sub(1);
        if self.behind_count == 0 {
            self.wake_waiting();
            self.announce_departures();
        }
    }

    /// No member is behind any more: wakes all that wait. They keep their tickets, since others
    /// may be faster.
    fn wake_waiting(&self) {
        let waiting = self.queue.values();
        let waiting = waiting.filter_map(|(id, _)| self.members.get(id));
        waiting.for_each(Member::wake);
    }
}

impl Member {
    fn is_behind(&self, backlog: &Backlog) -> bool {
        backlog.end() - self.position > HIGH_WATER
    }

    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

impl Departures {
    fn add(&mut self, name: String) {
        match self.names.len() < MAX_LISTED_NAMES {
            true => self.names.push(name),
            false => self.more += 1,
        }
    }

    /// Takes the names as part of a sentence; `None` if there are none.
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
