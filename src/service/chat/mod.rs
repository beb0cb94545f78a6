//! A group chat: each line goes to all other members.
//!
//! A line that begins with a slash is a command. The room keeps messages until all members have
//! received them. A member that sends faster than others read has to wait for them; one that does
//! not read is dropped when it falls too far behind.

mod backlog;
mod room;
mod text;

use super::{Service, Sharing};
use crate::config::{Config, StartError};
use crate::session::{
    ACCEPTED, CLOSED, Context, Inbox, InboxState, Session, Timeout, Transition, Wait,
};
use memchr::memchr;
use room::{RenameResult, Room};
use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Waker;
use text::{is_invisible, without_invisible};

/// The longest line, in bytes, without its line end.
const MAX_LINE: usize = 4096;

/// How many bytes of an overlong line are received and dropped before the connection is closed. A
/// client that sends no line ends could otherwise keep the server reading forever.
const MAX_OVERLONG: usize = 64 * 1024;

/// How many bytes a member is sent before its input gets a turn. Nothing is received while output
/// is pending, so a member whose connection is slower than the others' messages could otherwise
/// never send anything.
const MAX_SENT_AT_ONCE: usize = 256 * 1024;

/// The longest name, in characters.
const MAX_NAME: usize = 32;

/// The room that the longest reply to a command needs, in bytes: a hundred names of four bytes per
/// character.
const REPLY_ROOM: usize = 16 * 1024;

/// The service, with its one room.
struct Chat(Arc<Room>);

pub(super) fn start(_: &Config) -> Result<Arc<dyn Service>, StartError> {
    Ok(Arc::new(Chat(Arc::default())))
}

impl Service for Chat {
    fn session(&self, _peer: Option<IpAddr>) -> Box<dyn Session> {
        Box::new(ChatSession {
            membership: Membership {
                room: self.0.clone(),
                id: 0,
                sent: Cell::new(0),
            },
            state: State::Joining,
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
        "sends each line to all other members".into()
    }
}

/// A member's session.
struct ChatSession {
    membership: Membership,
    state: State,
    /// How many bytes of the current line were dropped because it is too long.
    dropped: usize,
}

/// A member's side of the room.
struct Membership {
    room: Arc<Room>,
    /// The member's number in the room. 0 until the session opens.
    id: u64,
    /// How many bytes it was sent since its input last had a turn.
    sent: Cell<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The others were not told yet that it joined: they are too far behind.
    Joining,
    /// It waits for messages and for its next line.
    Idle,
    /// It has sent a message. The others get a turn before its next line.
    HasSent,
    /// Its next line is a message, and has to wait because some members are too far behind.
    Throttled,
    /// It has left. The connection is about to close.
    Leaving,
    /// It was closed for sending no line end; its client may still be sending.
    Refused,
}

impl Session for ChatSession {
    fn open(&mut self, cx: &mut Context<'_>) {
        self.membership.id = self.membership.room.add();
        self.join(cx);
    }

    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        self.membership.sent.set(0);
        if cx.room() < REPLY_ROOM {
            return 0;
        }
        let Some(end) = memchr(b'\n', input) else {
            return self.take_partial_line(input, cx);
        };
        let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
        if std::mem::take(&mut self.dropped) > 0 || line.len() > MAX_LINE {
            reply(
                cx,
                &format!("not sent: a line has at most {MAX_LINE} bytes"),
            );
        } else {
            self.handle_line(&String::from_utf8_lossy(line), cx);
        }
        match self.state {
            // The line is taken again once it may be sent.
            State::Throttled => 0,
            _ => end + 1,
        }
    }

    fn proceed(&mut self, cx: &mut Context<'_>) {
        self.membership.sent.set(0);
        match self.state {
            State::Joining => self.join(cx),
            State::Throttled if !self.membership.may_retry(cx) => {}
            _ => self.state = State::Idle,
        }
    }

    fn closed(&mut self, _cx: &mut Context<'_>) {
        self.membership.room.remove(self.membership.id);
    }

    fn mailbox(&self) -> Option<&dyn Inbox> {
        Some(&self.membership)
    }

    fn waits_for(&self) -> Wait {
        match self.state {
            // A short wait for input, although messages are pending.
            State::Idle if self.membership.needs_pause() => Wait::Bytes(Timeout::Pause),
            State::Idle => Wait::Bytes(Timeout::Forever),
            State::HasSent => Wait::Turn,
            State::Joining | State::Throttled => Wait::Pause,
            State::Leaving => Wait::Linger,
            State::Refused => Wait::Linger,
        }
    }

    fn state(&self) -> &'static str {
        match self.state {
            State::Idle => "idle",
            State::HasSent => "broadcasting",
            State::Joining => "joining",
            State::Throttled => "throttled",
            State::Leaving | State::Refused => "leaving",
        }
    }
}

impl ChatSession {
    /// Announces the member to the others, and tells it who is there, as soon as the others can
    /// take that.
    fn join(&mut self, cx: &mut Context<'_>) {
        let Membership { room, id, .. } = &self.membership;
        if let Some(name) = room.announce_arrival(*id, cx.worker.time.now()) {
            let who = room.describe_members(*id);
            let text = format!("you are {name}; {who}; type a message, /nick NAME, /who or /quit");
            reply(cx, &text);
            self.state = State::Idle;
        }
    }

    /// Takes part of an incomplete line. Drops it if the line is too long.
    fn take_partial_line(&mut self, part: &[u8], cx: &mut Context<'_>) -> usize {
        // One byte more, since the line may end in a carriage return.
        if self.dropped == 0 && part.len() <= MAX_LINE + 1 {
            return 0;
        }
        self.dropped += part.len();
        if self.dropped > MAX_OVERLONG {
            self.membership.room.remove(self.membership.id);
            let text = format!("goodbye: received {MAX_OVERLONG} bytes without a line end");
            reply(cx, &text);
            self.state = State::Refused;
        }
        part.len()
    }

    /// Handles a line. A message stays in the input if it has to wait.
    fn handle_line(&mut self, line: &str, cx: &mut Context<'_>) {
        // On the raw line: a name with invisible characters is refused, not cleaned.
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        if command == "/nick" {
            return self.change_name(rest.trim(), cx);
        }
        let line = without_invisible(line);
        let line = line.trim_end();
        let command = line.split(' ').next().unwrap_or_default();
        match command {
            _ if line.is_empty() => {}
            "/quit" | "quit" if command == line => {
                // Before the reply: a client that has read it finds its name gone from the room.
                self.membership.room.remove(self.membership.id);
                reply(cx, "goodbye");
                self.state = State::Leaving;
            }
            "/who" => reply(
                cx,
                &self.membership.room.describe_members(self.membership.id),
            ),
            _ if command.starts_with('/') => reply(
                cx,
                &format!(
                    "unknown command {command:.32}; the commands are /nick NAME, /who and /quit"
                ),
            ),
            _ => {
                let Membership { room, id, .. } = &self.membership;
                self.state = match room.broadcast(*id, line, cx.worker.time.now()) {
                    true => State::HasSent,
                    false => State::Throttled,
                };
                cx.worker.counters.requests += u64::from(self.state == State::HasSent);
            }
        }
    }

    fn change_name(&mut self, name: &str, cx: &mut Context<'_>) {
        let fits = |c: char| (c.is_alphanumeric() && !is_invisible(c)) || matches!(c, '-' | '_');
        if name.is_empty() || !name.chars().all(fits) || name.chars().count() > MAX_NAME {
            let rule = format!("a name has 1 to {MAX_NAME} letters, digits, - or _");
            return reply(cx, &rule);
        }
        let Membership { room, id, .. } = &self.membership;
        match room.rename(*id, name, cx.worker.time.now()) {
            RenameResult::Done => {
                reply(cx, &format!("you are now {name}"));
                self.state = State::HasSent;
            }
            RenameResult::Taken => reply(cx, &format!("the name {name} is taken")),
            RenameResult::LooksAlike => {
                let text = format!("{name} looks like the name of another member");
                reply(cx, &text);
            }
            RenameResult::MustWait => self.state = State::Throttled,
        }
    }
}

impl Membership {
    fn may_retry(&self, cx: &Context<'_>) -> bool {
        self.room.may_retry(self.id, cx.worker.time.now())
    }

    fn needs_pause(&self) -> bool {
        self.sent.get() >= MAX_SENT_AT_ONCE
    }
}

impl Inbox for Membership {
    fn set_waker(&self, waker: Waker) {
        self.room.set_waker(self.id, waker);
    }

    fn take(&self, cx: &mut Context<'_>) -> InboxState {
        if self.needs_pause() {
            return InboxState::Open;
        }
        let mut sent = self.sent.get();
        let mail = self.room.deliver(self.id, &mut sent, cx);
        self.sent.set(sent);
        mail
    }
}

/// Sends a line to this member alone.
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
            panic!("a chat sends no files")
        };
        let part = bytes[..most.min(bytes.len())].to_vec();
        connection.sent(part.len(), worker);
        part
    }

    /// A member on a slow connection always has messages pending, and can send all the same.
    #[test]
    fn a_member_on_a_slow_connection_can_send() {
        let mut worker = Worker::new(Time::new(Instant::now(), SystemTime::now()));
        let service = start(&Config::default()).expect("it starts");
        let mut join = || Connection::open(service.session(None), 0, &mut worker);
        let (mut slow, mut fast) = (join(), join());
        let line = [vec![b'x'; 4000], b"\n".to_vec()].concat();
        let (mut said, mut sent) = (false, Vec::new());
        for _ in 0..10_000 {
            // The fast member sends what it may, and reads.
            for _ in 0..4 {
                match fast.next() {
                    Action::Send => sent.extend(send(&mut fast, usize::MAX, &mut worker)),
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
                    assert_eq!(slow.waiting().0, Timeout::Pause, "it has not sent all");
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
        let sent = String::from_utf8(sent).expect("text");
        assert!(sent.contains("guest1: may I say something?"), "{said}");
        assert!(!sent.contains("guest1 left"));
    }
}
