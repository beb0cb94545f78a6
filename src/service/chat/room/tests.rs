//! A room on a simulated clock: members that read at some rate or not at all, and others that send
//! without pause.

use super::*;
use crate::session::{BUFFER_SIZE, Output, Time, Worker};
use std::time::{Duration, SystemTime};

/// The time between two steps, the same as a session's pause.
const STEP: Duration = Duration::from_millis(64);

struct TestRoom {
    room: Room,
    now: Instant,
    worker: Worker,
}

impl TestRoom {
    fn new() -> TestRoom {
        let now = Instant::now();
        TestRoom {
            room: Room::default(),
            now,
            worker: Worker::new(Time::new(now, SystemTime::now())),
        }
    }

    fn join(&self) -> u64 {
        let id = self.room.add();
        self.room
            .announce_arrival(id, self.now)
            .expect("nobody is behind");
        id
    }

    /// What a member receives that reads so many bytes; `None` if it was dropped.
    fn hear(&mut self, id: u64, bytes: usize) -> Option<String> {
        let mut output = Output::default();
        let (output, worker) = (&mut output, &mut self.worker);
        let mut cx = Context { output, worker };
        // Fill the output up, so that only `bytes` fit.
        let filler = BUFFER_SIZE - bytes.min(BUFFER_SIZE);
        cx.put(&vec![0; filler]);
        let mail = self.room.deliver(id, &mut 0, &mut cx);
        let heard = String::from_utf8(output.bytes()[filler..].to_vec());
        (mail == InboxState::Open).then(|| heard.expect("text"))
    }

    /// Moves all members to the end of the backlog.
    fn catch_up(&self) {
        let mut state = self.room.state();
        let end = state.backlog.end();
        state
            .members
            .values_mut()
            .for_each(|one| one.position = end);
        state.behind_count = 0;
    }

    /// Sends a line until it has to wait. Returns how often.
    fn flood(&self, id: u64, line: &str) -> usize {
        (0..100_000)
            .take_while(|_| self.room.broadcast(id, line, self.now))
            .count()
    }

    fn behind(&self) -> usize {
        self.room.state().behind_count
    }
}

#[test]
fn a_member_that_reads_at_the_guaranteed_rate_stays() {
    for length in [1, 50, 4096] {
        let mut world = TestRoom::new();
        let reader = world.join();
        let flooders = [(); 5].map(|()| world.join());
        let line = "x".repeat(length);
        let (mut budget, mut heard) = (0, 0);
        for _ in 0..1000 {
            world.now += STEP;
            for flooder in flooders {
                world.flood(flooder, &line);
                while !world
                    .hear(flooder, BUFFER_SIZE)
                    .expect("it reads")
                    .is_empty()
                {}
            }
            budget += GUARANTEED_RATE as usize * STEP.as_millis() as usize / 1000;
            let text = world.hear(reader, budget).expect("it reads");
            budget -= text.len();
            heard += text.len();
        }
        assert!(heard > 2 * 1024 * 1024, "{heard} bytes of {length}");
    }
}

#[test]
fn a_member_that_does_not_read_holds_up_others_for_seconds_and_is_dropped() {
    for length in [1, 50, 4096] {
        let mut world = TestRoom::new();
        let (silent, speaker) = (world.join(), world.join());
        let line = "x".repeat(length);
        let free = world.flood(speaker, &line);
        assert!(free as u64 * cost(length + 10) > HIGH_WATER - 8192);
        let mut time = Duration::ZERO;
        while world.hear(silent, 0).is_some() {
            world.now += STEP;
            time += STEP;
            world.flood(speaker, &line);
            assert!(time < Duration::from_secs(10), "{length}: still there");
        }
        let heard = world.hear(speaker, BUFFER_SIZE).expect("it reads");
        assert!(heard.contains("* guest1 left: too slow to receive all messages\r\n"));
        assert_eq!(world.flood(speaker, &line), 100_000, "nobody is in the way");
    }
}

#[test]
fn waiting_members_take_turns() {
    let mut world = TestRoom::new();
    world.join();
    let flooders: Vec<_> = (0..100).map(|_| world.join()).collect();
    let quiet = world.join();
    world.catch_up();
    while world.behind() == 0 {
        world.flood(flooders[0], "it is me again and again");
    }
    for flooder in &flooders {
        world.flood(*flooder, "it is me again and again");
    }
    assert!(
        !world.room.broadcast(quiet, "at last", world.now),
        "it has to wait"
    );
    let mut said = 0;
    'wait: loop {
        world.now += STEP;
        for flooder in &flooders {
            if world.room.may_retry(quiet, world.now) {
                break 'wait;
            }
            if world.room.may_retry(*flooder, world.now) {
                said += usize::from(world.room.broadcast(*flooder, "it is me", world.now));
                assert!(
                    !world.room.broadcast(*flooder, "it is me", world.now),
                    "once"
                );
            }
        }
    }
    assert!(said <= flooders.len() + 1, "{said} lines came before");
    assert!(world.room.broadcast(quiet, "at last", world.now));
}

#[test]
fn a_waiting_member_keeps_its_turn_while_others_are_faster() {
    let mut world = TestRoom::new();
    let (reader, flooder, quiet) = (world.join(), world.join(), world.join());
    world.flood(flooder, "it is me again and again");
    assert!(
        !world.room.broadcast(quiet, "at last", world.now),
        "it has to wait"
    );
    for _ in 0..10 {
        while !world
            .hear(reader, BUFFER_SIZE)
            .expect("it reads")
            .is_empty()
        {}
        while !world.hear(quiet, BUFFER_SIZE).expect("it reads").is_empty() {}
        assert_eq!(world.behind(), 0, "it could say it now");
        world.flood(flooder, "it is me again and again");
        world.now += STEP;
        if world.room.may_retry(quiet, world.now) {
            assert!(world.room.broadcast(quiet, "at last", world.now));
            return;
        }
    }
    panic!("it could never say it");
}

#[test]
fn many_departures_at_once_drop_no_member() {
    let mut world = TestRoom::new();
    let reader = world.join();
    let mut all = Vec::new();
    for _ in 0..8000 {
        all.push(world.join());
        world.catch_up();
    }
    let line = "x".repeat(4000);
    while world.behind() == 0 {
        assert!(world.room.broadcast(all[0], &line, world.now));
    }
    for one in all {
        world.room.remove(one);
    }
    let mut heard = String::new();
    while let Some(text) = world
        .hear(reader, BUFFER_SIZE)
        .filter(|text| !text.is_empty())
    {
        heard += &text;
    }
    assert!(heard.contains("* guest2, guest3, "), "in one message");
    assert!(heard.ends_with(" more left\r\n"));
    assert_eq!(world.room.describe_members(reader), "nobody else is here");
    assert!(world.hear(reader, 1).is_some());
}

#[test]
fn members_that_leave_unannounced_are_not_mentioned() {
    let mut world = TestRoom::new();
    let (silent, speaker) = (world.join(), world.join());
    while world.behind() == 0
        || world
            .room
            .broadcast(speaker, "a line of some length", world.now)
    {
        world.flood(speaker, "a line of some length");
    }
    let newcomers: Vec<_> = (0..1000).map(|_| world.room.add()).collect();
    let arrived = newcomers
        .iter()
        .filter(|id| world.room.announce_arrival(**id, world.now).is_some());
    assert_eq!(arrived.count(), 0);
    assert_eq!(world.room.describe_members(speaker), "guest1 is here");
    newcomers.iter().for_each(|id| world.room.remove(*id));
    assert_eq!(world.room.state().members.len(), 2);
    assert_eq!(world.room.state().queue.len(), 1, "the speaker");
    let newcomer = world.room.add();
    assert_eq!(world.room.announce_arrival(newcomer, world.now), None);
    world.room.remove(silent);
    let name = world.room.announce_arrival(newcomer, world.now);
    assert_eq!(name.as_deref(), Some("guest1003"));
    let mut heard = String::new();
    while let Some(text) = world
        .hear(speaker, BUFFER_SIZE)
        .filter(|text| !text.is_empty())
    {
        heard += &text;
    }
    assert_eq!(heard, "* guest1 left\r\n* guest1003 joined\r\n");
}

#[test]
fn names_that_are_taken_or_look_alike() {
    let world = TestRoom::new();
    let (one, other) = (world.join(), world.join());
    let cases = [
        (one, "alice", RenameResult::Done),
        (other, "Alice", RenameResult::Taken),
        (other, "al\u{456}ce", RenameResult::LooksAlike),
        (other, "a1ice", RenameResult::LooksAlike),
        (one, "Alice", RenameResult::Done),
        (one, "bob", RenameResult::Done),
        (other, "alice", RenameResult::Done),
        (one, "guest2", RenameResult::Done),
        (one, "guestZ", RenameResult::Done),
    ];
    for (id, name, expected) in cases {
        assert_eq!(world.room.rename(id, name, world.now), expected, "{name}");
    }
    world.room.remove(other);
    assert_eq!(
        world.room.rename(one, "ALICE", world.now),
        RenameResult::Done
    );
    let taken = world.room.rename(one, "guest3", world.now);
    assert_eq!(taken, RenameResult::Done);
    let third = world.room.add();
    let name = world.room.announce_arrival(third, world.now);
    assert_eq!(name.as_deref(), Some("guest3_"), "guest3 is taken");
}
