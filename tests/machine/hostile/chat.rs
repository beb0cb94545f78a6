//! Arbitrary bytes from members of a chat: no panic, and each line is delivered whole or not at
//! all.

use super::{TOKENS, for_each_seed, new_worker};
use evserve::config::Config;
use evserve::service::Service;
use evserve::session::{Action, Connection, Piece, Worker};
use fastrand::Rng;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How many lines an ordinary run sends.
const LINES: u64 = 50_000;

/// The length of the longest line delivered: a byte that is not text becomes a sign of three bytes,
/// and the longest name and a separator precede it.
const LONGEST: usize = 4096 * 3 + 32 * 4 + 2;

/// The length of the longest notice about the room: a hundred names in a sentence.
const LONGEST_REPLY: usize = 100 * (32 * 4 + 2) + 200;

/// How long a pause lasts.
const PAUSE: Duration = Duration::from_millis(64);

/// Parts of lines with a meaning, valid or not.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"\x1b[31m",
    b"\x7f",
    b"\x85",
    b"\xff\xfe",
    b"\xf0\x9f",
    b"\xc2\x9b",
    b"/nick ",
    b"/nick a\n",
    b"/nick \xc3\xa9\n",
    b"/nick guest1\n",
    "/nick guest\u{202e}1\n".as_bytes(),
    "\u{200b}\u{200d}\u{fe0f}".as_bytes(),
    "\u{2067}\u{e0041}\u{2028}".as_bytes(),
    b"/who\n",
    b"/quit\r\n",
    b"/",
    b" ",
    b"*",
    b": ",
];

/// What is sent, line by line. Most lines contain their number and length at both ends.
fn script(random: &mut Rng) -> Vec<u8> {
    let mut said = Vec::new();
    let floods = random.u8(..100) == 0;
    for number in 0..if floods { 400 } else { random.u16(5..60) } {
        for _ in 0..random.usize(..8) {
            match random.u8(..20) {
                0..8 if !floods => said.extend_from_slice(random.choice(WORDS).expect("not empty")),
                8 => said.extend_from_slice(random.choice(TOKENS).expect("not empty").as_bytes()),
                9 => said.extend((0..random.usize(..40)).map(|_| random.u8(..))),
                10 => said.extend(vec![random.u8(..); random.usize(..5000)]),
                _ => {}
            }
        }
        let filler = match random.u8(..10) {
            _ if floods => 4000,
            0 => random.usize(..4200),
            _ => random.usize(..60),
        };
        let end = random.choice(["\n", "\r\n"]).expect("not empty");
        let text = "x".repeat(filler);
        said.extend(format!("<line {number} {filler} {text} {number}>{end}").bytes());
    }
    said
}

struct Member {
    connection: Connection,
    /// The rest of the line that it is sending.
    saying: VecDeque<u8>,
    heard: Vec<u8>,
    /// It does not read at present.
    sleeps: bool,
}

impl Member {
    fn join(service: &dyn Service, worker: &mut Worker) -> Member {
        Member {
            connection: Connection::open(service.session(None), 0, worker),
            saying: VecDeque::new(),
            heard: Vec::new(),
            sleeps: false,
        }
    }

    /// Takes one step. Returns false if there is nothing to do, or the connection has ended.
    fn act(
        &mut self,
        script: &mut VecDeque<Vec<u8>>,
        worker: &mut Worker,
        random: &mut Rng,
    ) -> bool {
        self.connection.woken(worker);
        match self.connection.next() {
            Action::Close { .. } => return false,
            Action::ShutdownWrite => self.connection.write_shut_down(),
            Action::Proceed => self.connection.proceed(worker),
            Action::Wait => {
                let (now, wall) = (worker.time.now() + PAUSE, worker.time.wall() + PAUSE);
                worker.time.set(now, wall);
                self.connection.expired(worker);
            }
            Action::Run | Action::Load => panic!("a chat asks nothing of a file system"),
            Action::Send if self.sleeps => return false,
            Action::Send => {
                let Piece::Bytes { bytes, .. } = self.connection.front() else {
                    panic!("no files are sent in a chat");
                };
                let count = random.usize(1..=bytes.len());
                self.heard.extend_from_slice(&bytes[..count]);
                self.connection.sent(count, worker);
            }
            Action::Receive => {
                if self.saying.is_empty() {
                    self.saying.extend(script.pop_front().unwrap_or_default());
                }
                let most = self.connection.room().min(self.saying.len());
                if most == 0 {
                    return false;
                }
                let part: Vec<u8> = self.saying.drain(..random.usize(1..=most)).collect();
                self.connection.received(&part, worker);
            }
        }
        true
    }

    /// Checks what was received on a connection that has ended.
    fn leave(mut self, may_be_cut: bool, worker: &mut Worker) {
        self.connection.close(worker);
        self.connection.release(worker);
        let heard = String::from_utf8_lossy(&self.heard);
        let (lines, rest) = heard.rsplit_once("\r\n").unwrap_or(("", &heard));
        assert!(may_be_cut || rest.is_empty(), "delivered in part: {rest:?}");
        for line in lines.split("\r\n") {
            check(line);
        }
    }
}

fn check(line: &str) {
    let hidden = |c: char| {
        let c = u32::from(c);
        let bidirectional =
            matches!(c, 0x61c | 0x200e..=0x200f | 0x2028..=0x202e | 0x2066..=0x2069);
        bidirectional || matches!(c, 0..=0x1f | 0x7f..=0x9f | 0x200b | 0xfeff | 0xe0000..=0xe0fff)
    };
    assert!(!line.chars().any(hidden), "{line:?}");
    if line.starts_with("* ") || line.is_empty() {
        assert!(line.len() <= LONGEST_REPLY, "{} bytes", line.len());
        return;
    }
    assert!(line.len() <= LONGEST, "{} bytes: {line:?}", line.len());
    let (name, text) = line.split_once(": ").expect("a name and a text");
    assert!((1..=32).contains(&name.chars().count()), "{name:?}");
    if let Some((_, marked)) = text.rsplit_once("<line ") {
        let mut words = marked.split(' ');
        let mut next = || words.next().unwrap_or_default();
        let (number, length, text, end) = (next(), next(), next(), next());
        assert_eq!(
            length,
            text.len().to_string(),
            "delivered in part: {line:?}"
        );
        assert_eq!(end, format!("{number}>"), "delivered in part: {line:?}");
    }
}

/// Several members send the lines of the script in turn. Returns the number of lines.
fn play(service: &dyn Service, worker: &mut Worker, script: &[u8], random: &mut Rng) -> u64 {
    let before = worker.counters.requests;
    let lines = script.split_inclusive(|byte| *byte == b'\n');
    let mut script: VecDeque<Vec<u8>> = lines.map(<[u8]>::to_vec).collect();
    let mut members: Vec<_> = (0..random.usize(2..6))
        .map(|_| Member::join(service, worker))
        .collect();
    // A member that did not read for too long is dropped, perhaps within a line.
    let mut slept = false;
    while !script.is_empty() {
        let index = random.usize(..members.len());
        let member = &mut members[index];
        if random.u8(..50) == 0 {
            member.sleeps = !member.sleeps;
            slept |= member.sleeps;
        }
        for _ in 0..random.usize(..20) {
            if !member.act(&mut script, worker, random) {
                break;
            }
        }
        if matches!(member.connection.next(), Action::Close { .. }) || random.u8(..200) == 0 {
            let leaver = std::mem::replace(member, Member::join(service, worker));
            leaver.leave(true, worker);
        }
        // A member uses one buffer to send and one to receive.
        assert!(worker.pool.lent() <= 2 * members.len());
    }
    // All receive the rest. This repeats, since each member that leaves causes notices for the
    // others.
    let mut goes_on = true;
    while std::mem::take(&mut goes_on) {
        for member in &mut members {
            member.sleeps = false;
            goes_on |= member.act(&mut script, worker, random);
        }
    }
    for member in members {
        member.leave(slept, worker);
    }
    assert_eq!(worker.pool.lent(), 0);
    worker.counters.requests - before
}

#[test]
fn chat_lines_are_delivered_whole_or_not_at_all() {
    let chat = evserve::service::find("chat").expect("a row");
    let mut worker = new_worker();
    for_each_seed(LINES, 256, script, |script, random| {
        let service: Arc<dyn Service> = (chat.start)(&Config::default()).expect("it starts");
        play(&*service, &mut worker, script, random)
    });
}
