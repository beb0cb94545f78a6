//! Who is there, and how what one says comes to the others.
//!
//! One lock holds them all: so all hear what happens in the same order. Nobody waits under it, for a message is only
//! left in the others' mailboxes; their threads or loops send it.

use crate::session::Mailbox;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many names are listed before the rest is only counted.
const NAMES_LISTED: usize = 100;

/// Those who are there.
#[derive(Default)]
pub(super) struct Room(Mutex<Members>);

#[derive(Default)]
struct Members {
    present: BTreeMap<u64, Member>,
    /// How many have ever come: the last one's number, which nobody else ever has.
    come: u64,
}

struct Member {
    name: String,
    mailbox: Arc<Mailbox>,
}

impl Room {
    /// Lets somebody in, who is told of as a guest with a number. Says what the number is in here, and the name.
    pub fn join(&self, mailbox: Arc<Mailbox>) -> (u64, String) {
        let mut members = self.members();
        members.come += 1;
        let id = members.come;
        let mut name = format!("guest{id}");
        while members.has(&name) {
            name.push('_');
        }
        members.tell(id, format!("* {name} joined\r\n"));
        let member = Member {
            name: name.clone(),
            mailbox,
        };
        members.present.insert(id, member);
        (id, name)
    }

    /// Lets somebody out, if he is still in.
    pub fn leave(&self, id: u64) {
        let mut members = self.members();
        if let Some(member) = members.present.remove(&id) {
            members.tell(id, format!("* {} left\r\n", member.name));
        }
    }

    /// Tells all others of a line.
    pub fn say(&self, id: u64, line: &str) {
        let mut members = self.members();
        if let Some(member) = members.present.get(&id) {
            let message = format!("{}: {line}\r\n", member.name);
            members.tell(id, message);
        }
    }

    /// Gives somebody another name, unless somebody else has it.
    pub fn rename(&self, id: u64, name: &str) -> bool {
        let mut members = self.members();
        if members.has(name) {
            return false;
        }
        if let Some(member) = members.present.get_mut(&id) {
            let before = std::mem::replace(&mut member.name, name.into());
            members.tell(id, format!("* {before} is now {name}\r\n"));
        }
        true
    }

    /// Who is there, as a sentence for one of them.
    pub fn names(&self, id: u64) -> String {
        let members = self.members();
        let others = members.present.iter().filter(|(other, _)| **other != id);
        let names: Vec<_> = others.map(|(_, member)| member.name.as_str()).collect();
        let listed = names[..names.len().min(NAMES_LISTED)].join(", ");
        match names.len() {
            0 => "nobody else is here".into(),
            count if count > NAMES_LISTED => {
                format!("here are {listed} and {} more", count - NAMES_LISTED)
            }
            1 => format!("{listed} is here"),
            _ => format!("here are {listed}"),
        }
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Members {
    fn has(&self, name: &str) -> bool {
        let mut members = self.present.values();
        members.any(|member| member.name.eq_ignore_ascii_case(name))
    }

    /// Leaves a message for all but one. Whose mailbox is full leaves, and all others are told that too.
    fn tell(&mut self, except: u64, message: String) {
        let mut news = VecDeque::from([(except, message)]);
        while let Some((except, message)) = news.pop_front() {
            let message: Arc<[u8]> = message.into_bytes().into();
            self.present.retain(|id, member| {
                let reached = *id == except || member.mailbox.put(&message);
                if !reached {
                    let message = format!("* {} left: too slow to hear all\r\n", member.name);
                    news.push_back((*id, message));
                }
                reached
            });
        }
    }
}
