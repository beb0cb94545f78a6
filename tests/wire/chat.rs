//! Group chat: each line is delivered to all other members.

use crate::common::{
    Client, Evserve, PATIENCE, Program, limited_to, number, on_every_loop, on_every_model,
    on_every_shared_model, row,
};
use evserve::model::MODELS;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, recv};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::time::Instant;

fn chat(model: &str, options: &[&str]) -> Evserve {
    let options = [&["--mode", "chat", "--listen", "127.0.0.1:0"], options].concat();
    Evserve::start(model, &options)
}

/// Joins and takes a name. The other members get a notice of both.
fn join(evserve: &Evserve, name: &str) -> Client {
    let mut client = evserve.connect();
    assert!(client.line().starts_with("* you are guest"));
    client.send(format!("/nick {name}\n"));
    assert_eq!(client.line(), format!("* you are now {name}"));
    client
}

#[test]
fn members_join_talk_and_leave() {
    on_every_shared_model(|model| {
        let evserve = chat(model, &[]);
        let mut alice = evserve.connect();
        let greeting =
            "* you are guest1; nobody else is here; type a message, /nick NAME, /who or /quit";
        assert_eq!(alice.line(), greeting);
        alice.send("/nick Alice\r\n");
        assert_eq!(alice.line(), "* you are now Alice");
        let mut bob = evserve.connect();
        assert_eq!(alice.line(), "* guest2 joined");
        assert!(bob.line().starts_with("* you are guest2; Alice is here; "));
        for (says, hears) in [
            ("/nick alice", "* the name alice is taken"),
            ("/nick", "* a name has 1 to 32 letters, digits, - or _"),
            ("/nick a b", "* a name has 1 to 32 letters, digits, - or _"),
            (
                "/nick b\u{202e}b",
                "* a name has 1 to 32 letters, digits, - or _",
            ),
            (
                &format!("/nick {}", "b".repeat(33)),
                "* a name has 1 to 32 letters, digits, - or _",
            ),
            (
                "/dance",
                "* unknown command /dance; the commands are /nick NAME, /who and /quit",
            ),
            ("/nick Bøb", "* you are now Bøb"),
            ("/who", "* Alice is here"),
        ] {
            bob.send(format!("{says}\n"));
            assert_eq!(bob.line(), hears, "{model}: {says}");
        }
        assert_eq!(alice.line(), "* guest2 is now Bøb");
        alice.send("hello, Bøb\r\n\n  \nhow are you?\nI am ");
        assert_eq!(bob.line(), "Alice: hello, Bøb");
        assert_eq!(bob.line(), "Alice: how are you?");
        bob.send(b"f\xffine\x1b[2J\x07\x7f, \xc2\x9bthanks\n");
        assert_eq!(
            alice.line(),
            "Bøb: f\u{fffd}ine[2J, thanks",
            "nothing that moves a terminal"
        );
        alice.send("well\n");
        assert_eq!(bob.line(), "Alice: I am well", "a line may come in pieces");
        bob.send("quit\nnobody hears this\n");
        assert_eq!(bob.line(), "* goodbye");
        assert_eq!(bob.rest(), b"");
        drop(bob);
        assert_eq!(alice.line(), "* Bøb left");
        let mut carol = join(&evserve, "Carol");
        assert_eq!(alice.line(), "* guest3 joined");
        assert_eq!(alice.line(), "* guest3 is now Carol");
        drop(alice);
        assert_eq!(carol.line(), "* Alice left");
        carol.send("/who\n/quit\n");
        assert_eq!(carol.line(), "* nobody else is here");
        assert_eq!(carol.rest(), b"* goodbye\r\n");
        let ended = evserve.stop();
        assert!(
            ended.log.contains("served 4 requests on 3 connections"),
            "{}",
            ended.log
        );
    });
}

#[test]
fn the_longest_line_is_delivered_and_a_longer_one_is_not() {
    on_every_shared_model(|model| {
        let evserve = chat(model, &[]);
        let mut alice = join(&evserve, "alice");
        let mut bob = join(&evserve, "bob");
        assert_eq!(alice.line(), "* guest2 joined");
        assert_eq!(alice.line(), "* guest2 is now bob");
        let longest = "x".repeat(4096);
        for end in ["\n", "\r\n"] {
            alice.send(format!("{longest}{end}"));
            assert_eq!(bob.line(), format!("alice: {longest}"), "{model}");
            for length in [4097, 60_000] {
                let longer = "x".repeat(length);
                alice.send(format!("{longer}{end}/who\n"));
                assert_eq!(alice.line(), "* not sent: a line has at most 4096 bytes");
                assert_eq!(alice.line(), "* bob is here");
            }
        }
        // Each byte that is not text becomes three bytes.
        alice.send([vec![0xff; 4096], b"\n".to_vec()].concat());
        assert_eq!(bob.line(), format!("alice: {}", "\u{fffd}".repeat(4096)));
    });
}

/// Whatever the bytes are, a member that sends no end of line gets a message and is disconnected.
#[test]
fn a_line_without_end_disconnects_its_sender() {
    on_every_shared_model(|model| {
        let evserve = chat(model, &[]);
        let mut alice = join(&evserve, "alice");
        let farewell = "* goodbye: received 65536 bytes without a line end";
        for (number, bytes) in [
            vec![b'x'; 1_000_000],
            vec![0; 100_000],
            b"/nick ".repeat(20_000),
            // What telnet(1) negotiates: IAC WILL ECHO, IAC DO SUPPRESS-GO-AHEAD (RFC 854).
            b"\xff\xfb\x01\xff\xfd\x03".repeat(20_000),
        ]
        .into_iter()
        .enumerate()
        {
            let mut endless = evserve.connect();
            assert!(endless.line().starts_with("* you are guest"));
            endless.try_send(bytes);
            assert_eq!(endless.line(), farewell, "{model}");
            let name = format!("guest{}", number + 2);
            assert_eq!(alice.line(), format!("* {name} joined"));
            assert_eq!(alice.line(), format!("* {name} left"));
        }
        alice.send("/who\n");
        assert_eq!(alice.line(), "* nobody else is here");
        // The bound holds for bytes that come one by one, too. At most a line's length is kept of
        // them.
        let mut slow = evserve.connect();
        slow.line();
        for _ in 0..16 {
            slow.send([b'y'; 4096]);
        }
        slow.send("/who\nz");
        assert_eq!(slow.line(), "* not sent: a line has at most 4096 bytes");
        slow.send("\n/who\n");
        assert_eq!(slow.line(), "* alice is here");
    });
}

/// Removes characters that are invisible, reorder text or control a terminal. Refuses names that
/// look like another member's. The tables are in `src/service/chat/text.rs`.
#[test]
fn invisible_characters_are_not_delivered() {
    on_every_shared_model(|model| {
        let evserve = chat(model, &[]);
        let mut alice = join(&evserve, "alice");
        let mut bob = evserve.connect();
        bob.line();
        assert_eq!(alice.line(), "* guest2 joined");
        let rule = "* a name has 1 to 32 letters, digits, - or _";
        let alike = |name| format!("* {name} looks like the name of another member");
        for (name, answer) in [
            ("ali\u{200b}ce", rule.to_owned()),
            ("ali\u{200d}ce", rule.to_owned()),
            ("alice\u{202e}", rule.to_owned()),
            ("alice\u{3164}", rule.to_owned()),
            ("\u{feff}alice", rule.to_owned()),
            ("alice\u{7}", rule.to_owned()),
            ("alice\u{e0041}", rule.to_owned()),
            ("alice\u{a0}x", rule.to_owned()),
            ("alice\u{2028}x", rule.to_owned()),
            ("alice ", "* the name alice is taken".to_owned()),
            ("ALICE", "* the name ALICE is taken".to_owned()),
            ("\u{430}lice", alike("\u{430}lice")),
            ("aIice", alike("aIice")),
            ("bob", "* you are now bob".to_owned()),
            ("Bob", "* you are now Bob".to_owned()),
        ] {
            bob.send(format!("/nick {name}\n"));
            assert_eq!(bob.line(), answer, "{model}: {name:?}");
        }
        assert_eq!(alice.line(), "* guest2 is now bob");
        assert_eq!(alice.line(), "* bob is now Bob");
        bob.send("\u{200b}\u{202e}\n");
        for (line, expected) in [
            ("abc\u{202e}def\u{2066}\u{200f}", "abcdef"),
            ("\u{1b}]0;title\u{7}\u{9b}31m\u{85}x", "]0;title31mx"),
            ("a\u{2028}* carol joined\u{2029}b", "a* carol joinedb"),
            (
                "می\u{200c}خواهم \u{1f469}\u{200d}\u{1f680}",
                "می\u{200c}خواهم \u{1f469}\u{200d}\u{1f680}",
            ),
            ("\u{feff}x\u{e0041}\u{e007f}", "x"),
        ] {
            bob.send(format!("{line}\n"));
            assert_eq!(
                alice.line(),
                format!("Bob: {expected}"),
                "{model}: {line:?}"
            );
        }
        bob.send("/\u{202e}\u{1b}dance\n");
        assert_eq!(
            bob.line(),
            "* unknown command /dance; the commands are /nick NAME, /who and /quit"
        );
    });
}

/// A member that does not read is dropped, and lines that it sends later are not delivered. The
/// other members do not wait.
#[test]
fn a_member_that_does_not_read_is_dropped() {
    on_every_shared_model(|model| {
        let evserve = chat(model, &[]);
        let mut deaf = join(&evserve, "deaf");
        let mut alice = join(&evserve, "alice");
        let line = format!("{}\n", "x".repeat(4000));
        let started = Instant::now();
        let mut heard = Vec::new();
        // The kernel buffers several megabytes for a client that does not read, and its mailbox
        // holds one more.
        while !heard.ends_with(b"* deaf left: too slow to receive all messages\r\n") {
            assert!(
                started.elapsed() < PATIENCE,
                "{model}: no member is dropped"
            );
            alice.send(&line);
            let mut buffer = [0; 4096];
            if let Ok((count, _)) = recv(alice.stream(), &mut buffer, RecvFlags::DONTWAIT) {
                heard.extend_from_slice(&buffer[..count]);
            }
        }
        let memory = evserve.proc_status("VmHWM");
        assert!(memory < 40_000, "{model}: {memory} KiB");
        deaf.try_send("can you hear me?\n");
        let mut all = Vec::new();
        // The connection may end with a reset, because lines of the dropped member were unread.
        let _ = deaf.stream().read_to_end(&mut all);
        alice.send("/who\n");
        assert_eq!(alice.line(), "* nobody else is here");
    });
}

/// A member that counts the lines it receives, driven by events.
struct Listener {
    name: String,
    client: Client,
    to_say: Vec<u8>,
    part: Vec<u8>,
    /// How many lines each of the other members has sent.
    heard: BTreeMap<String, u32>,
}

impl Listener {
    fn say(&mut self) {
        match self.client.stream().write(&self.to_say) {
            Ok(count) => drop(self.to_say.drain(..count)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }

    fn hear(&mut self) {
        let mut buffer = [0; 65536];
        match self.client.stream().read(&mut buffer) {
            Ok(0) => panic!("{} was dropped", self.name),
            Ok(count) => self.part.extend_from_slice(&buffer[..count]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        let end = self.part.iter().rposition(|byte| *byte == b'\n');
        let whole: Vec<u8> = self.part.drain(..end.map_or(0, |at| at + 1)).collect();
        for line in String::from_utf8(whole).expect("text").lines() {
            let Some((name, number)) = line.split_once(": line ") else {
                assert!(line.starts_with("* "), "{line}");
                continue;
            };
            let heard = self.heard.entry(name.into()).or_default();
            assert_eq!(number, heard.to_string(), "{} from {name}", self.name);
            *heard += 1;
        }
    }
}

/// Each member that reads gets each line of every other member once and in order.
#[test]
fn every_member_gets_every_line_once_and_in_order() {
    let members = number("EVSERVE_MEMBERS").unwrap_or(200) as usize;
    let lines = 50;
    let run = |model: &str, options: &[&str]| {
        let evserve = chat(model, options);
        // They never read, so the test does not poll them.
        let deaf: Vec<_> = (0..5).map(|_| evserve.connect()).collect();
        let names: Vec<_> = (0..members)
            .map(|number| format!("member{number}"))
            .collect();
        let mut room: Vec<_> = names
            .iter()
            .map(|name| {
                let mut client = evserve.connect();
                client.line();
                client.send(format!("/nick {name}\n"));
                while client.line() != format!("* you are now {name}") {}
                client.stream().set_nonblocking(true).expect("a socket");
                let said = (0..lines).map(|number| format!("line {number}\n"));
                Listener {
                    name: name.clone(),
                    client,
                    to_say: said.collect::<String>().into_bytes(),
                    part: Vec::new(),
                    heard: BTreeMap::new(),
                }
            })
            .collect();
        let mut passing = 0;
        let mut memory = 0;
        let all = (members - 1) * lines as usize;
        let has_all = |one: &Listener| one.heard.values().sum::<u32>() as usize == all;
        while !room.iter().all(has_all) || passing < 20 {
            let mut watched: Vec<_> = room
                .iter()
                .map(|one| {
                    let flags = match one.to_say.is_empty() {
                        true => PollFlags::IN,
                        false => PollFlags::IN | PollFlags::OUT,
                    };
                    PollFd::new(one.client.stream(), flags)
                })
                .collect();
            let patience = Timespec::try_from(PATIENCE).expect("a time");
            let count = poll(&mut watched, Some(&patience)).expect("events");
            assert!(count > 0 || passing < 20, "{model}: nothing more comes");
            let ready: Vec<_> = watched.iter().map(PollFd::revents).collect();
            for (one, ready) in room.iter_mut().zip(ready) {
                if ready.contains(PollFlags::OUT) {
                    one.say();
                }
                if ready.contains(PollFlags::IN) {
                    one.hear();
                }
            }
            if passing < 20 {
                passing += 1;
                let mut guest = evserve.connect();
                assert!(guest.line().starts_with("* you are guest"));
                if passing % 2 == 0 {
                    guest.send("/quit\n");
                    while guest.line() != "* goodbye" {}
                }
            }
            memory = memory.max(evserve.proc_status("VmRSS"));
        }
        for one in &room {
            assert_eq!(one.heard.len(), members - 1);
            assert!(
                !one.heard.contains_key(&one.name),
                "a member does not get its own lines"
            );
        }
        eprintln!("{model} {options:?}: {memory} KiB");
        assert!(memory < 60_000, "{model}: {memory} KiB");
        drop(deaf);
        assert!(evserve.stop().status.success());
    };
    on_every_shared_model(|model| {
        let room = limited_to(model, 300.max(members + 50));
        run(model, &room.iter().map(String::as_str).collect::<Vec<_>>());
    });
    on_every_loop(|model| run(model, &["--workers", "3"]));
}

#[test]
fn all_addresses_share_one_room() {
    on_every_shared_model(|model| {
        let one = [
            "--mode",
            "chat",
            "--listen",
            "127.0.0.1:0",
            "--listen",
            "127.0.0.1:0",
        ];
        let evserve = Evserve::start(model, &one);
        let mut alice = Client::connect(evserve.addresses[0]);
        alice.line();
        let mut bob = Client::connect(evserve.addresses[1]);
        assert!(bob.line().contains("guest1 is here"));
        bob.send("hello\n");
        assert_eq!(alice.line(), "* guest2 joined");
        assert_eq!(alice.line(), "guest2: hello");
    });
}

#[test]
fn chat_is_refused_by_models_that_cannot_share_it() {
    on_every_model(|model| {
        let Some(why) = row(model).isolated_because else {
            return;
        };
        let said = Program::model(model, "--mode chat --listen 127.0.0.1:0").fails(1);
        let able = MODELS.iter().filter(|row| row.isolated_because.is_none());
        let able: Vec<_> = able.map(|row| row.name).collect();
        let able = able.join(", ");
        let expected = format!(
            "evserve: chat cannot be served with --model {model}: {why}; it can with {able}\n"
        );
        assert_eq!(said, expected);
    });
}
