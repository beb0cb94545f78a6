//! The room on a clock of its own: members that read at some rate, or not at all, and others that never stop.

use super::*;
use crate::session::{BUFFER_SIZE, Output, Time, Worker};
use std::time::{Duration, SystemTime};

/// How much time passes between two looks, as for a session that pauses.
const STEP: Duration = Duration::from_millis(64);

struct World {
    room: Room,
    now: Instant,
    worker: Worker,
}

impl World {
    fn new() -> World {
        let now = Instant::now();
        World {
            room: Room::default(),
            now,
            worker: Worker::new(Time::new(now, SystemTime::now())),
        }
    }

    fn join(&self) -> u64 {
        let id = self.room.enter();
        self.room.arrive(id, self.now).expect("nobody is behind");
        id
    }

    /// What a member takes that reads so many bytes; `None` if it has been dropped.
    fn hear(&mut self, id: u64, bytes: usize) -> Option<String> {
        let mut output = Output::default();
        let (output, worker) = (&mut output, &mut self.worker);
        let mut cx = Context { output, worker };
        // There is only so much room.
        let filler = BUFFER_SIZE - bytes.min(BUFFER_SIZE);
        cx.put(&vec![0; filler]);
        let mail = self.room.take(id, &mut 0, &mut cx);
        let heard = String::from_utf8(output.bytes()[filler..].to_vec());
        (mail == InboxState::Open).then(|| heard.expect("text"))
    }

    /// All members have heard all.
    fn catch_up(&self) {
        let mut state = self.room.state();
        let end = state.backlog.end();
        state.members.values_mut().for_each(|one| one.place = end);
        state.behind = 0;
    }

    /// Says a line again and again, until that has to wait. Returns how often.
    fn flood(&self, id: u64, line: &str) -> usize {
        (0..100_000)
            .take_while(|_| self.room.say(id, line, self.now))
            .count()
    }

    fn behind(&self) -> usize {
        self.room.state().behind
    }
}

#[test]
fn a_member_that_reads_at_the_guaranteed_rate_stays() {
    for length in [1, 50, 4096] {
        let mut world = World::new();
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
fn one_that_does_not_read_is_dropped_and_slows_down_others_for_seconds() {
    for length in [1, 50, 4096] {
        let mut world = World::new();
        let (deaf, speaker) = (world.join(), world.join());
        let line = "x".repeat(length);
        let free = world.flood(speaker, &line);
        assert!(free as u64 * cost(length + 10) > HIGH_WATER - 8192);
        let mut time = Duration::ZERO;
        while world.hear(deaf, 0).is_some() {
            world.now += STEP;
            time += STEP;
            world.flood(speaker, &line);
            assert!(time < Duration::from_secs(10), "{length}: still there");
        }
        let heard = world.hear(speaker, BUFFER_SIZE).expect("it reads");
        assert!(heard.contains("* guest1 left: too slow to hear all\r\n"));
        assert_eq!(world.flood(speaker, &line), 100_000, "nobody is in the way");
    }
}

#[test]
fn those_who_wait_take_turns() {
    let mut world = World::new();
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
        !world.room.say(quiet, "at last", world.now),
        "it has to wait"
    );
    let mut said = 0;
    'wait: loop {
        world.now += STEP;
        for flooder in &flooders {
            if world.room.may_go_on(quiet, world.now) {
                break 'wait;
            }
            if world.room.may_go_on(*flooder, world.now) {
                said += usize::from(world.room.say(*flooder, "it is me", world.now));
                assert!(!world.room.say(*flooder, "it is me", world.now), "once");
            }
        }
    }
    assert!(said <= flooders.len() + 1, "{said} lines came before");
    assert!(world.room.say(quiet, "at last", world.now));
}

#[test]
fn one_that_waits_keeps_its_place_while_others_are_faster() {
    let mut world = World::new();
    let (reader, flooder, quiet) = (world.join(), world.join(), world.join());
    world.flood(flooder, "it is me again and again");
    assert!(
        !world.room.say(quiet, "at last", world.now),
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
        if world.room.may_go_on(quiet, world.now) {
            assert!(world.room.say(quiet, "at last", world.now));
            return;
        }
    }
    panic!("it could never say it");
}

#[test]
fn many_who_leave_at_once_drop_nobody() {
    let mut world = World::new();
    let reader = world.join();
    let mut all = Vec::new();
    for _ in 0..8000 {
        all.push(world.join());
        world.catch_up();
    }
    let line = "x".repeat(4000);
    while world.behind() == 0 {
        assert!(world.room.say(all[0], &line, world.now));
    }
    for one in all {
        world.room.leave(one);
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
    assert_eq!(world.room.names(reader), "nobody else is here");
    assert!(world.hear(reader, 1).is_some());
}

#[test]
fn nobody_is_told_of_those_who_go_before_they_could_be_announced() {
    let mut world = World::new();
    let (deaf, speaker) = (world.join(), world.join());
    while world.behind() == 0 || world.room.say(speaker, "a line of some length", world.now) {
        world.flood(speaker, "a line of some length");
    }
    let newcomers: Vec<_> = (0..1000).map(|_| world.room.enter()).collect();
    let arrived = newcomers
        .iter()
        .filter(|id| world.room.arrive(**id, world.now).is_some());
    assert_eq!(arrived.count(), 0);
    assert_eq!(world.room.names(speaker), "guest1 is here");
    newcomers.iter().for_each(|id| world.room.leave(*id));
    assert_eq!(world.room.state().members.len(), 2);
    assert_eq!(world.room.state().queue.len(), 1, "the speaker");
    let newcomer = world.room.enter();
    assert_eq!(world.room.arrive(newcomer, world.now), None);
    world.room.leave(deaf);
    let name = world.room.arrive(newcomer, world.now);
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
fn names_that_another_member_has_or_seems_to_have() {
    let world = World::new();
    let (one, other) = (world.join(), world.join());
    let cases = [
        (one, "alice", Renamed::Done),
        (other, "Alice", Renamed::Taken),
        (other, "al\u{456}ce", Renamed::Alike),
        (other, "a1ice", Renamed::Alike),
        (one, "Alice", Renamed::Done),
        (one, "bob", Renamed::Done),
        (other, "alice", Renamed::Done),
        (one, "guest2", Renamed::Done),
        (one, "guestZ", Renamed::Done),
    ];
    for (id, name, expected) in cases {
        assert_eq!(world.room.rename(id, name, world.now), expected, "{name}");
    }
    world.room.leave(other);
    assert_eq!(world.room.rename(one, "ALICE", world.now), Renamed::Done);
    let taken = world.room.rename(one, "guest3", world.now);
    assert_eq!(taken, Renamed::Done);
    let third = world.room.enter();
    let name = world.room.arrive(third, world.now);
    assert_eq!(name.as_deref(), Some("guest3_"), "guest3 is taken");
}
