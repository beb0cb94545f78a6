//! The load of a chat: a few members speak and all others listen. A speaker sends its next line
//! when all others have received the last one. Every byte received is compared.

use super::record::Record;
use super::{Begun, Orders, Seen, thread_cpu_ns};
use crate::Outcome;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

/// The number of speakers, if there are that many members.
const SPEAKERS: usize = 8;

/// The length of a received line, with its end.
const LINE_BYTES: usize = 64;

/// The timeout for joining.
const ENTRY_LIMIT: Duration = Duration::from_secs(10);

/// The largest read.
const SCRATCH_BYTES: usize = 128 * 1024;

/// The members: all listen, some also speak.
struct Room {
    members: Vec<Member>,
    speakers: Vec<Speaker>,
    record: Record,
    start: Instant,
}

struct Member {
    stream: TcpStream,
    /// The beginning of an incomplete line.
    part: Vec<u8>,
    has_heard: bool,
}

/// The state of the member with the same index.
struct Speaker {
    /// The line that all others must receive.
    line: Vec<u8>,
    number: u64,
    since_ns: u64,
    /// How many have not received it.
    left: usize,
}

/// Runs the load for its time.
///
/// # Errors
/// A member received a line that was not sent, or was dropped.
pub fn run(orders: &Orders, begun: Begun<'_>) -> Outcome<Seen> {
    let mut poll = Poll::new()?;
    let begin_ns = orders.warm_up.as_nanos() as u64;
    let end_ns = begin_ns + orders.run.as_nanos() as u64;
    let mut room = Room::enter(orders, Record::new(begin_ns, end_ns, false), &poll)?;
    let mut events = Events::with_capacity(1024);
    let mut scratch = vec![0; SCRATCH_BYTES];
    for index in 0..room.speakers.len() {
        room.speak(index)?;
    }
    let mut cpu_before = None;
    loop {
        let now = room.now_ns();
        if now >= end_ns {
            break;
        }
        if now >= begin_ns && cpu_before.is_none() {
            cpu_before = Some(thread_cpu_ns()?);
            begun()?;
        }
        poll.poll(&mut events, Some(Duration::ZERO))?;
        if events.is_empty() {
            let change = if now < begin_ns { begin_ns } else { end_ns };
            poll.poll(&mut events, Some(Duration::from_nanos(change - now)))?;
            room.record.idle(now, room.now_ns());
        }
        for event in &events {
            room.hear(event.token().0, &mut scratch)?;
        }
    }
    let cpu_ns = thread_cpu_ns()? - cpu_before.unwrap_or_default();
    Ok(Seen {
        clients_answered: room.members.iter().filter(|one| one.has_heard).count(),
        judged: 0,
        overdue: 0,
        unanswered: room.speakers.iter().map(|one| one.left as u64).sum(),
        ..room.record.seen(cpu_ns)
    })
}

impl Room {
    /// Lets all members join and take their names.
    fn enter(orders: &Orders, record: Record, poll: &Poll) -> Outcome<Room> {
        let mut members = Vec::new();
        for index in 0..orders.clients {
            let stream = std::net::TcpStream::connect_timeout(&orders.address, ENTRY_LIMIT)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(ENTRY_LIMIT))?;
            writeln!(&stream, "/nick m{index}")?;
            // No member speaks yet, so a read that takes too much loses no line.
            let mut lines = BufReader::new(&stream).lines();
            let own = format!("* you are now m{index}");
            while lines.next().ok_or("the server closed")?? != own {}
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry()
                .register(&mut stream, Token(index), Interest::READABLE)?;
            members.push(Member {
                stream,
                part: Vec::new(),
                has_heard: false,
            });
        }
        let speaker = |_| Speaker {
            line: Vec::new(),
            number: 0,
            since_ns: 0,
            left: 0,
        };
        Ok(Room {
            speakers: (0..members.len().min(SPEAKERS)).map(speaker).collect(),
            members,
            record,
            start: Instant::now(),
        })
    }

    fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn speak(&mut self, index: usize) -> Outcome<()> {
        let others = self.members.len() - 1;
        let since_ns = self.now_ns();
        let speaker = &mut self.speakers[index];
        speaker.number += 1;
        speaker.since_ns = since_ns;
        speaker.left = others;
        let mut line = format!("m{index}: {} ", speaker.number);
        let own = line.len() - line.trim_start_matches(|c| c != ' ').len() + 1;
        line.extend(std::iter::repeat_n('.', LINE_BYTES - 2 - line.len()));
        line.push_str("\r\n");
        speaker.line = line.into_bytes();
        // A socket always has room for one short line.
        Ok(self.members[index].stream.write_all(&speaker.line[own..])?)
    }

    /// Receives for a member.
    fn hear(&mut self, index: usize, scratch: &mut [u8]) -> Outcome<()> {
        loop {
            let member = &mut self.members[index];
            let count = match member.stream.read(scratch) {
                Ok(0) => return Err("a member was dropped".into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let mut part = std::mem::take(&mut member.part);
            part.extend_from_slice(&scratch[..count]);
            let mut rest = &part[..];
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let (line, others) = rest.split_at(end + 1);
                self.take(index, line)?;
                rest = others;
            }
            self.members[index].part = rest.to_vec();
            if count < scratch.len() {
                return Ok(());
            }
        }
    }

    /// Handles a line that a member has received.
    fn take(&mut self, index: usize, line: &[u8]) -> Outcome<()> {
        if line.starts_with(b"* ") {
            return Ok(());
        }
        let now_ns = self.now_ns();
        // The name of a speaker is `m` and one digit.
        let place = usize::from(line.get(1).map_or(0, |digit| digit.wrapping_sub(b'0')));
        let speaker = self.speakers.get_mut(place);
        let speaker = speaker.filter(|one| one.left > 0 && one.line == line);
        let Some(speaker) = speaker.filter(|_| place != index) else {
            let line = String::from_utf8_lossy(line);
            return Err(format!("member {index} received a line that was not sent: {line}").into());
        };
        self.members[index].has_heard = true;
        self.record.answered(speaker.since_ns, now_ns);
        speaker.left -= 1;
        if speaker.left == 0 {
            self.speak(place)?;
        }
        Ok(())
    }
}
