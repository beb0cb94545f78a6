//! A group chat by lines: each goes to all others who are there.
//!
//! A line that begins with a slash is a command. The room keeps what was said until all members have heard it. A member
//! that speaks faster than others read waits for them; one that does not read leaves when it is too far behind.

mod backlog;
mod room;
mod text;

use super::{Service, Sharing};
use crate::config::{Config, StartError};
use crate::session::{
    ACCEPTED, CLOSED, Context, Inbox, InboxState, Session, Timeout, Transition, Wait,
};
use memchr::memchr;
use room::{Renamed, Room};
use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Waker;
use text::{is_invisible, visible};

/// The longest line, in bytes, without its end.
const LONGEST_LINE: usize = 4096;

/// How much of a line without an end is received and dropped before its connection is closed, in bytes: a peer that sends
/// no line ends is no member, and would cost without end.
const LONGEST_ENDLESS: usize = 64 * 1024;

/// How much a member hears in one go, in bytes, before it is listened to for a moment. One whose line is slower than the
/// others speak never has heard all there is; it could never say anything, for nothing is received while there is
/// something to send.
const HEARD_AT_ONCE: usize = 256 * 1024;

/// The longest name, in characters.
const LONGEST_NAME: usize = 32;

/// Room for the longest answer to a command, in bytes: a hundred names of four bytes a character.
const ROOM_TO_ANSWER: usize = 16 * 1024;

/// The service: one room.
struct Chat(Arc<Room>);

pub(super) fn start(_: &Config) -> Result<Arc<dyn Service>, StartError> {
    Ok(Arc::new(Chat(Arc::default())))
}

impl Service for Chat {
    fn session(&self, _peer: Option<IpAddr>) -> Box<dyn Session> {
        Box::new(Member {
            seat: Seat {
                room: self.0.clone(),
                id: 0,
                heard: Cell::new(0),
            },
            state: State::Arriving,
            dropped: 0,
        })
    }

    fn speaks_first(&self) -> bool {
        true
    }

    fn sharing(&self) -> Sharing {
        Sharing::Messages
    }

    fn transitions(&self) -> &'static [Transition] {
        &[
            (ACCEPTED, "idle"),
            (ACCEPTED, "joining"),
            ("joining", "idle"),
            ("idle", "broadcasting"),
            ("broadcasting", "idle"),
            ("idle", "throttled"),
            ("throttled", "idle"),
            ("idle", "leaving"),
            ("leaving", CLOSED),
        ]
    }

    fn name(&self) -> &str {
        "chat"
    }

    fn about(&self) -> String {
        "each line to all others".into()
    }
}

/// One who is there.
struct Member {
    seat: Seat,
    state: State,
    /// How much has been dropped of the line that comes, for it is too long.
    dropped: usize,
}

/// A member's place in the room.
struct Seat {
    room: Arc<Room>,
    /// Its number in there, from its beginning on.
    id: u64,
    /// How many bytes it has heard without a chance to speak.
    heard: Cell<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The others cannot be told yet that it is there.
    Arriving,
    /// For others, and for the next line.
    Listening,
    /// All others have been told something. They hear it before the next line is looked at, as far as they read.
    HasSpoken,
    /// The next line is for all others, and some of them are too far behind to be told more.
    Waiting,
    /// It is over.
    Leaving,
    /// It is over, while the peer may still be sending.
    Refused,
}

impl Session for Member {
    fn open(&mut self, cx: &mut Context<'_>) {
        self.seat.id = self.seat.room.enter();
        self.arrive(cx);
    }

    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        self.seat.heard.set(0);
        if cx.room() < ROOM_TO_ANSWER {
            return 0;
        }
        let Some(end) = memchr(b'\n', input) else {
            return self.take_part(input, cx);
        };
        let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
        if std::mem::take(&mut self.dropped) > 0 || line.len() > LONGEST_LINE {
            reply(
                cx,
                &format!("nobody heard that: a line has {LONGEST_LINE} bytes at most"),
            );
        } else {
            self.hear(&String::from_utf8_lossy(line), cx);
        }
        match self.state {
            // It is looked at again then.
            State::Waiting => 0,
            _ => end + 1,
        }
    }

    fn proceed(&mut self, cx: &mut Context<'_>) {
        self.seat.heard.set(0);
        match self.state {
            State::Arriving => self.arrive(cx),
            State::Waiting if !self.seat.may_go_on(cx) => {}
            _ => self.state = State::Listening,
        }
    }

    fn closed(&mut self, _cx: &mut Context<'_>) {
        self.seat.room.leave(self.seat.id);
    }

    fn mailbox(&self) -> Option<&dyn Inbox> {
        Some(&self.seat)
    }

    fn waits_for(&self) -> Wait {
        match self.state {
            // For a moment: it has not heard all.
            State::Listening if self.seat.has_heard_much() => Wait::Bytes(Timeout::Pause),
            State::Listening => Wait::Bytes(Timeout::Forever),
            State::HasSpoken => Wait::Turn,
            State::Arriving | State::Waiting => Wait::Pause,
            State::Leaving => Wait::Linger,
            State::Refused => Wait::Linger,
        }
    }

    fn state(&self) -> &'static str {
        match self.state {
            State::Listening => "idle",
            State::HasSpoken => "broadcasting",
            State::Arriving => "joining",
            State::Waiting => "throttled",
            State::Leaving | State::Refused => "leaving",
        }
    }
}

impl Member {
    /// Tells the others of the newcomer, and the newcomer of the others, as soon as they can be told.
    fn arrive(&mut self, cx: &mut Context<'_>) {
        let Seat { room, id, .. } = &self.seat;
        if let Some(name) = room.arrive(*id, cx.worker.time.now()) {
            let who = room.names(*id);
            let text = format!("you are {name}; {who}; say /nick NAME, /who, /quit, or anything");
            reply(cx, &text);
            self.state = State::Listening;
        }
    }

    /// Takes a part of a line that has no end yet. Of one that is too long nothing is kept.
    fn take_part(&mut self, part: &[u8], cx: &mut Context<'_>) -> usize {
        // One more, for the line may end with a carriage return.
        if self.dropped == 0 && part.len() <= LONGEST_LINE + 1 {
            return 0;
        }
        self.dropped += part.len();
        if self.dropped > LONGEST_ENDLESS {
            self.seat.room.leave(self.seat.id);
            let text = format!("good bye: {LONGEST_ENDLESS} bytes came without the end of a line");
            reply(cx, &text);
            self.state = State::Refused;
        }
        part.len()
    }

    /// Takes a line from the peer, unless it is for all others and has to wait.
    fn hear(&mut self, line: &str, cx: &mut Context<'_>) {
        // Not of what cannot be seen: a name with that in it is refused.
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        if command == "/nick" {
            return self.take_name(rest.trim(), cx);
        }
        let line = visible(line);
        let line = line.trim_end();
        let command = line.split(' ').next().unwrap_or_default();
        match command {
            _ if line.is_empty() => {}
            "/quit" | "quit" if command == line => {
                // Before the farewell: who has read that finds the room without him.
                self.seat.room.leave(self.seat.id);
                reply(cx, "good bye");
                self.state = State::Leaving;
            }
            "/who" => reply(cx, &self.seat.room.names(self.seat.id)),
            _ if command.starts_with('/') => reply(
                cx,
                &format!("there is no {command:.32}; there are /nick NAME, /who and /quit"),
            ),
            _ => {
                let Seat { room, id, .. } = &self.seat;
                self.state = match room.say(*id, line, cx.worker.time.now()) {
                    true => State::HasSpoken,
                    false => State::Waiting,
                };
                cx.worker.counters.requests += u64::from(self.state == State::HasSpoken);
            }
        }
    }

    fn take_name(&mut self, name: &str, cx: &mut Context<'_>) {
        let fits = |c: char| (c.is_alphanumeric() && !is_invisible(c)) || matches!(c, '-' | '_');
        if name.is_empty() || !name.chars().all(fits) || name.chars().count() > LONGEST_NAME {
            let rule = format!("a name has 1 to {LONGEST_NAME} letters, digits, - or _");
            return reply(cx, &rule);
        }
        let Seat { room, id, .. } = &self.seat;
        match room.rename(*id, name, cx.worker.time.now()) {
            Renamed::Done => {
                reply(cx, &format!("you are now {name}"));
                self.state = State::HasSpoken;
            }
            Renamed::Taken => reply(cx, &format!("somebody is {name} already")),
            Renamed::Alike => {
                let text = format!("{name} looks like the name of somebody who is here");
                reply(cx, &text);
            }
            Renamed::Wait => self.state = State::Waiting,
        }
    }
}

impl Seat {
    fn may_go_on(&self, cx: &Context<'_>) -> bool {
        self.room.may_go_on(self.id, cx.worker.time.now())
    }

    fn has_heard_much(&self) -> bool {
        self.heard.get() >= HEARD_AT_ONCE
    }
}

impl Inbox for Seat {
    fn set_waker(&self, waker: Waker) {
        self.room.set_waker(self.id, waker);
    }

    fn take(&self, cx: &mut Context<'_>) -> InboxState {
        if self.has_heard_much() {
            return InboxState::Open;
        }
        let mut heard = self.heard.get();
        let mail = self.room.take(self.id, &mut heard, cx);
        self.heard.set(heard);
        mail
    }
}

/// Says something to the member alone.
fn reply(cx: &mut Context<'_>, text: &str) {
    cx.put(b"* ");
    cx.put(text.as_bytes());
    cx.put(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Action, Connection, Piece, Time, Worker};
    use std::time::{Duration, Instant, SystemTime};

    fn send(connection: &mut Connection, most: usize, worker: &mut Worker) -> Vec<u8> {
        let Piece::Bytes { bytes, .. } = connection.front() else {
            panic!("no files are sent in a chat")
        };
        let part = bytes[..most.min(bytes.len())].to_vec();
        connection.sent(part.len(), worker);
        part
    }

    /// A member whose line is slower than another speaks never has heard all, and is heard all the same.
    #[test]
    fn a_slow_line_does_not_silence() {
        let mut worker = Worker::new(Time::new(Instant::now(), SystemTime::now()));
        let service = start(&Config::default()).expect("it starts");
        let mut join = || Connection::open(service.session(None), 0, &mut worker);
        let (mut slow, mut fast) = (join(), join());
        let line = [vec![b'x'; 4000], b"\n".to_vec()].concat();
        let (mut said, mut heard) = (false, Vec::new());
        for _ in 0..10_000 {
            // The fast one says what it may, and reads.
            for _ in 0..4 {
                match fast.next() {
                    Action::Send => heard.extend(send(&mut fast, usize::MAX, &mut worker)),
                    Action::Receive => fast.received(&line, &mut worker),
                    Action::Proceed => fast.proceed(&mut worker),
                    Action::Wait => fast.expired(&mut worker),
                    action => panic!("{action:?}"),
                }
            }
            slow.woken(&mut worker);
            match slow.next() {
                Action::Send => drop(send(&mut slow, 6000, &mut worker)),
                Action::Receive if !said => {
                    slow.received(b"may I say something?\n", &mut worker);
                    said = true;
                }
                Action::Receive => {
                    assert_eq!(slow.waiting().0, Timeout::Pause, "it has not heard all");
                    slow.expired(&mut worker);
                }
                Action::Wait => slow.expired(&mut worker),
                Action::Proceed => slow.proceed(&mut worker),
                action => panic!("{action:?}"),
            }
            let (now, wall) = (worker.time.now(), worker.time.wall());
            let moment = Duration::from_millis(64);
            worker.time.set(now + moment, wall + moment);
            fast.woken(&mut worker);
        }
        for mut connection in [slow, fast] {
            connection.close(&mut worker);
            connection.release(&mut worker);
        }
        let heard = String::from_utf8(heard).expect("text");
        assert!(heard.contains("guest1: may I say something?"), "{said}");
        assert!(!heard.contains("guest1 left"));
    }
}
