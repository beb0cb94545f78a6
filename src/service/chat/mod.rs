//! A group chat by lines: each goes to all others who are there.
//!
//! A line that begins with a slash is a command. What others say lies in the member's mailbox until the peer reads it;
//! one that does not read leaves when that is full, and nobody ever waits for it.

mod room;

use super::Service;
use crate::config::{Config, StartError};
use crate::session::{ACCEPTED, CLOSED, Context, Mailbox, Session, Step, Timeout, Wait};
use room::Room;
use std::net::IpAddr;
use std::sync::Arc;

/// The longest line, in bytes, without its end.
const LONGEST_LINE: usize = 4096;

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
            room: self.0.clone(),
            mailbox: Arc::default(),
            id: 0,
            state: State::Listening,
            is_too_long: false,
        })
    }

    fn speaks_first(&self) -> bool {
        true
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn steps(&self) -> &'static [Step] {
        &[
            (ACCEPTED, "listening"),
            ("listening", "speaking"),
            ("speaking", "listening"),
            ("listening", "leaving"),
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
    room: Arc<Room>,
    mailbox: Arc<Mailbox>,
    /// The number in the room.
    id: u64,
    state: State,
    /// The line that comes is too long: its beginning has been dropped already.
    is_too_long: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// For others, and for the next line.
    Listening,
    /// A line has been said. The others hear it before the next one: who says many at once must not fill their
    /// mailboxes faster than they can be emptied.
    HasSpoken,
    /// It is over.
    Leaving,
}

impl Session for Member {
    fn open(&mut self, cx: &mut Context<'_>) {
        let (id, name) = self.room.join(self.mailbox.clone());
        self.id = id;
        let who = self.room.names(id);
        reply(
            cx,
            &format!("you are {name}; {who}; say /nick NAME, /who, /quit, or anything"),
        );
    }

    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        if cx.room() < ROOM_TO_ANSWER {
            return 0;
        }
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
            // One more, for the line may end with a carriage return.
            self.is_too_long |= input.len() > LONGEST_LINE + 1;
            return if self.is_too_long { input.len() } else { 0 };
        };
        let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
        if std::mem::take(&mut self.is_too_long) || line.len() > LONGEST_LINE {
            reply(
                cx,
                &format!("nobody heard that: a line has {LONGEST_LINE} bytes at most"),
            );
        } else {
            let line = String::from_utf8_lossy(line);
            let line: String = line.chars().filter(|c| !c.is_control()).collect();
            self.hear(line.trim_end(), cx);
        }
        end + 1
    }

    fn proceed(&mut self, _cx: &mut Context<'_>) {
        self.state = State::Listening;
    }

    fn closed(&mut self, _cx: &mut Context<'_>) {
        self.room.leave(self.id);
    }

    fn mailbox(&self) -> Option<&Mailbox> {
        Some(&self.mailbox)
    }

    fn waits_for(&self) -> Wait {
        match self.state {
            State::Listening => Wait::Bytes(Timeout::Forever),
            State::HasSpoken => Wait::Turn,
            State::Leaving => Wait::Close,
        }
    }

    fn state(&self) -> &'static str {
        match self.state {
            State::Listening => "listening",
            State::HasSpoken => "speaking",
            State::Leaving => "leaving",
        }
    }
}

impl Member {
    /// Takes a line from the peer.
    fn hear(&mut self, line: &str, cx: &mut Context<'_>) {
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        match command {
            "" if rest.is_empty() => {}
            "/quit" | "quit" if rest.is_empty() => {
                // Before the farewell: who has read that finds the room without him.
                self.room.leave(self.id);
                reply(cx, "good bye");
                self.state = State::Leaving;
            }
            "/who" => reply(cx, &self.room.names(self.id)),
            "/nick" => self.take_name(rest.trim(), cx),
            _ if command.starts_with('/') => reply(
                cx,
                &format!("there is no {command:.32}; there are /nick NAME, /who and /quit"),
            ),
            _ => {
                self.room.say(self.id, line);
                cx.worker.counters.requests += 1;
                self.state = State::HasSpoken;
            }
        }
    }

    fn take_name(&mut self, name: &str, cx: &mut Context<'_>) {
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() || !name.chars().all(fits) || name.chars().count() > LONGEST_NAME {
            let rule = format!("a name has 1 to {LONGEST_NAME} letters, digits, - or _");
            reply(cx, &rule);
        } else if self.room.rename(self.id, name) {
            reply(cx, &format!("you are now {name}"));
        } else {
            reply(cx, &format!("somebody is {name} already"));
        }
    }
}

/// Says something to the member alone.
fn reply(cx: &mut Context<'_>, text: &str) {
    cx.put(b"* ");
    cx.put(text.as_bytes());
    cx.put(b"\r\n");
}
