use super::*;
use crate::recording::{EVENT_SIZE, End, HEADER_SIZE, Part, Reason, Syscall};

fn at(at: u64, event: Event) -> [u64; 4] {
    Event { at, ..event }.to_words()
}

fn text(bytes: &[u8]) -> Event {
    let mut both = [0; TEXT_SIZE];
    both[..bytes.len()].copy_from_slice(bytes);
    let (words, _) = both.as_chunks::<8>();
    Event {
        code: bytes.len() as u8,
        value: u64::from_le_bytes(words[0]) as i64,
        extra: u64::from_le_bytes(words[1]),
        ..Event::new(Kind::Text, 7)
    }
}

/// Two threads, of which one serves two connections with the same descriptor, one after the other.
fn example() -> Contents {
    let opened = |number| Event {
        value: number,
        ..Event::new(Kind::Opened, 7)
    };
    let closed = Event {
        code: End::PeerEnded as u8,
        ..Event::new(Kind::Closed, 7)
    };
    let request = Event {
        detail: 200,
        ..Event::new(Kind::Request, 7)
    };
    let waits = Event {
        code: Syscall::EpollWait as u8,
        value: -1,
        ..Event::new(Kind::Waits, -1)
    };
    let stop = Event {
        code: Reason::Receive as u8,
        extra: 99,
        ..Event::new(Kind::Stop, 7)
    };
    let mut contents = Contents {
        wall_clock: 1_700_000_000_000_000_000,
        written_at: 100,
        lost: 3,
        complete_since: 5,
        process: 12,
        facts: vec![("model".into(), "epoll".into())],
        parts: vec![
            Part {
                process: 12,
                thread: 12,
                events: vec![at(10, opened(1)), at(12, request)],
            },
            Part {
                process: 12,
                thread: 13,
                events: vec![at(11, waits)],
            },
            Part {
                process: 12,
                thread: 12,
                events: vec![
                    at(12, text(b"GET /a-long-targ")),
                    at(12, text(b"et")),
                    at(13, stop),
                    at(14, closed),
                    at(15, stop),
                    at(16, opened(2)),
                    at(17, stop),
                ],
            },
        ],
        ..Contents::default()
    };
    contents.add_fixed_names();
    contents
        .names
        .insert((Table::States, 1), "reading request".into());
    contents
}

#[test]
fn a_recording_is_read_as_it_was_written() {
    let contents = example();
    let bytes = contents.to_bytes();
    assert_eq!(Contents::from_bytes(&bytes), Ok(contents));
    let recording = Recording::parse(&bytes).expect("it is one");
    assert_eq!(recording.fact("model"), Some("epoll"));
    assert_eq!(recording.name(Table::Kinds, Kind::Stop as u8), "stop");
    assert_eq!(recording.name(Table::States, 1), "reading request");
    let shown = recording.events.iter().map(|one| {
        let event = one.event;
        (event.at, event.kind, one.thread, one.connection)
    });
    let expected = [
        (10, Kind::Opened, 12, Some(1)),
        (11, Kind::Waits, 13, None),
        (12, Kind::Request, 12, Some(1)),
        (13, Kind::Stop, 12, Some(1)),
        (14, Kind::Closed, 12, Some(1)),
        (15, Kind::Stop, 12, None),
        (16, Kind::Opened, 12, Some(2)),
        (17, Kind::Stop, 12, Some(2)),
    ];
    assert_eq!(shown.collect::<Vec<_>>(), expected);
    assert_eq!(recording.events[2].text, b"GET /a-long-target");
}

#[test]
fn no_bytes_make_the_reader_panic() {
    let bytes = example().to_bytes();
    for length in 0..bytes.len() {
        assert!(Recording::parse(&bytes[..length]).is_err(), "{length}");
    }
    let mut refused = 0;
    for at in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            refused += usize::from(Recording::parse(&bytes).is_err());
        }
    }
    assert!(refused > HEADER_SIZE, "{refused}");
    let mut bytes = bytes;
    bytes.extend([0; EVENT_SIZE]);
    assert!(Recording::parse(&bytes).is_ok(), "more behind the end");
}

#[test]
fn what_is_wrong_is_told() {
    let bytes = example().to_bytes();
    let shown = |bytes: &[u8]| Recording::parse(bytes).err().map(|error| error.to_string());
    let mut later = bytes.clone();
    later[8] = 2;
    let mut unknown = bytes.clone();
    let kind = bytes.len() - EVENT_SIZE + 8;
    unknown[kind] = 200;
    for (bytes, expected) in [
        (&b"GET / HTTP/1.1"[..], "this is no recording of evserve"),
        (
            &later,
            "its format has version 2, and this evserve reads version 1",
        ),
        (
            &bytes[..bytes.len() - 1],
            "it ends too early: it is still being written, or was cut off",
        ),
        (&unknown, "it has a Kind with the unknown number 200"),
    ] {
        assert_eq!(shown(bytes).as_deref(), Some(expected));
    }
}

#[test]
fn the_json_for_perfetto_has_turns_states_and_requests() {
    let turn = Event::new(Kind::Turn, 7);
    let step = Event {
        code: 1,
        ..Event::new(Kind::Step, 7)
    };
    let mut contents = example();
    contents.parts[0].events.push(at(12, step));
    contents.parts[2].events.insert(0, at(12, turn));
    let recording = Recording::parse(&contents.to_bytes()).expect("it is one");
    let mut json = Vec::new();
    crate::recording::write_trace_json(&recording, &mut json).expect("written");
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    let events = json["traceEvents"].as_array().expect("an array").iter();
    let shown = events.map(|one| {
        let phase = one["ph"].as_str().expect("a phase");
        format!(
            "{phase} {} {}",
            one["name"].as_str().expect("a name"),
            one["ts"]
        )
    });
    let expected = [
        "M process_name null",
        "b reading request 0.012",
        "i GET /a-long-target 0.012",
        "X connection 1 0.012",
        "e reading request 0.014",
    ];
    let mut shown: Vec<_> = shown.collect();
    shown.sort();
    let mut expected = expected.map(String::from);
    expected.sort();
    assert_eq!(shown, expected);
}
