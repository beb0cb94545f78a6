//! The generator's rules against servers whose latencies are known: with a clock of its own, so that
//! a slow machine changes nothing.

use super::Seen;
use super::arrivals::Arrivals;
use super::dispatch::Dispatcher;
use super::record::Record;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;

/// A server and a generator.
struct Simulated {
    /// The server does nothing in the first `pause_ns` of each period.
    period_ns: u64,
    pause_ns: u64,
    /// One request after the other, each for so long.
    service_ns: u64,
    /// The generator's work for a request.
    cost_ns: u64,
    /// The part of its core that the generator had.
    had: f64,
    clients: usize,
    rate: Option<f64>,
    run_ns: u64,
}

const NO_PAUSES: Simulated = Simulated {
    period_ns: SECOND,
    pause_ns: 0,
    service_ns: 1000,
    cost_ns: 100,
    had: 1.0,
    clients: 64,
    rate: Some(10_000.0),
    run_ns: 20 * SECOND,
};

impl Simulated {
    /// When a request that arrives now is answered, by a server that is busy until `free_at`.
    fn answered_at(&self, now_ns: u64, free_at_ns: u64) -> u64 {
        let mut begin = now_ns.max(free_at_ns);
        if begin % self.period_ns < self.pause_ns {
            begin += self.pause_ns - begin % self.period_ns;
        }
        begin + self.service_ns
    }

    fn run(&self) -> Seen {
        let arrivals = self.rate.map(|rate| Arrivals::new(rate, 7));
        let mut dispatcher = Dispatcher::new(arrivals, self.clients);
        let mut record = Record::new(0, self.run_ns, self.rate.is_some());
        let mut answers = BinaryHeap::new();
        let (mut now, mut looked, mut free_at) = (0, 0, 0);
        while now < self.run_ns {
            let turn_began = now;
            while let Some(Reverse((at, client, due))) = answers.pop() {
                if at > turn_began {
                    answers.push(Reverse((at, client, due)));
                    break;
                }
                record.answered(due, now);
                dispatcher.release(client, looked);
            }
            while let Some(sending) = dispatcher.next(now) {
                record.sent(sending.due_ns, sending.lag_ns);
                now += self.cost_ns;
                free_at = self.answered_at(now, free_at);
                answers.push(Reverse((free_at, sending.client, sending.due_ns)));
            }
            looked = turn_began;
            if now == turn_began {
                let answer = answers.peek().map(|Reverse((at, _, _))| *at);
                let due = dispatcher.next_due_ns().filter(|due| *due > now);
                now = answer.into_iter().chain(due).min().unwrap_or(self.run_ns);
                looked = now;
                record.idle(turn_began, now);
            }
        }
        for Reverse((_, _, due)) in answers {
            record.unanswered(due);
        }
        while let Some(due) = dispatcher.take_waiting(self.run_ns) {
            record.unanswered(due);
        }
        record.seen((self.run_ns as f64 * self.had) as u64)
    }
}

/// The percentile of latencies that consist of the rest of a pause.
fn rest_of_pause_us(pause_ns: u64, period_ns: u64, quantile: f64) -> f64 {
    (pause_ns as f64 - (1.0 - quantile) * period_ns as f64) / 1e3
}

fn is_about(measured: Option<f64>, expected: f64) {
    let measured = measured.expect("enough samples");
    let near = (0.95 * expected)..(1.05 * expected);
    assert!(near.contains(&measured), "{measured} µs, not {expected} µs");
}

#[test]
fn pauses_come_out_as_they_are() {
    for (pause, period) in [(10 * MS, SECOND), (100 * MS, SECOND), (20 * MS, 100 * MS)] {
        let seen = Simulated {
            pause_ns: pause,
            period_ns: period,
            // Enough that no request waits for one.
            clients: 4096,
            ..NO_PAUSES
        }
        .run();
        is_about(seen.p999_us, rest_of_pause_us(pause, period, 0.999));
        match rest_of_pause_us(pause, period, 0.99) {
            // Exactly one request of a hundred meets a pause of 10 ms: the border between.
            rest if rest <= 0.0 => assert!(seen.p99_us.expect("enough samples") < 2000.0),
            rest => is_about(seen.p99_us, rest),
        }
        assert!(seen.p50_us.expect("enough samples") < 10.0);
        assert_eq!(seen.generator.limited, None);
        assert_eq!(seen.unanswered, 0);
    }
}

#[test]
fn requests_that_wait_for_a_connection_count_from_when_they_were_due() {
    let seen = Simulated {
        pause_ns: 100 * MS,
        clients: 1,
        ..NO_PAUSES
    }
    .run();
    is_about(seen.p99_us, 90_000.0);
    // The generator could not have sent them, so they are not late by its fault.
    assert!(seen.generator.lag_p99_us.expect("enough samples") < 10.0);
    assert_eq!(seen.generator.limited, None);
}

#[test]
fn a_closed_loop_hides_the_pauses() {
    let closed = Simulated {
        pause_ns: 100 * MS,
        service_ns: 100_000,
        clients: 1,
        rate: None,
        ..NO_PAUSES
    }
    .run();
    // A tenth of the time is a pause, and each pause meets one request.
    assert!(closed.p999_us.expect("enough samples") < 200.0);
    assert!(closed.greatest_us > 100_000.0);
}

#[test]
fn requests_without_an_answer_count() {
    // A pause that does not end before the load does.
    let seen = Simulated {
        pause_ns: 3 * SECOND,
        period_ns: 4 * SECOND,
        run_ns: 2 * SECOND,
        ..NO_PAUSES
    }
    .run();
    assert_eq!((seen.responses, seen.unanswered), (0, seen.latencies));
    is_about(seen.p50_us, 1e6);
    is_about(seen.p99_us, 1.98e6);
    assert_eq!(seen.answered_percent(), Some(0.0));
}

#[test]
fn requests_of_the_last_second_need_no_response() {
    let answered = |pause_ns, period_ns, run_ns| {
        let seen = Simulated {
            pause_ns,
            period_ns,
            run_ns,
            ..NO_PAUSES
        }
        .run();
        assert!(seen.unanswered > 0);
        seen.answered_percent()
    };
    // From 1.5 s on the server does nothing.
    assert_eq!(answered(500 * MS, 1500 * MS, 2 * SECOND), Some(100.0));
    // From 2 s on. What was due before 2.4 s has had time.
    is_about(
        answered(1500 * MS, 2 * SECOND, 3400 * MS),
        100.0 * 2.0 / 2.4,
    );
}

#[test]
fn percentiles_need_twenty_samples_beyond() {
    let with = |rate| {
        let run_ns = SECOND;
        let rate = Some(rate);
        Simulated {
            rate,
            run_ns,
            ..NO_PAUSES
        }
        .run()
    };
    let has = |seen: &Seen| {
        (
            seen.p50_us.is_some(),
            seen.p99_us.is_some(),
            seen.p999_us.is_some(),
        )
    };
    let cases = [
        (30.0, (false, false, false)),
        (1800.0, (true, false, false)),
        (2200.0, (true, true, false)),
        (19_000.0, (true, true, false)),
        (21_000.0, (true, true, true)),
    ];
    for (rate, expected) in cases {
        let seen = with(rate);
        assert_eq!(has(&seen), expected, "{} latencies", seen.latencies);
        assert_eq!(seen.too_few_for_p99().is_some(), !expected.1);
    }
}

#[test]
fn a_slow_generator_says_that_it_was_the_limit() {
    // It can send 200,000 requests a second, and the server could answer a million.
    let slow = Simulated {
        cost_ns: 5000,
        rate: Some(10e6),
        run_ns: SECOND,
        ..NO_PAUSES
    };
    let limited = slow.run().generator.limited.expect("it was the limit");
    assert!(limited.contains("offered load"), "{limited}");
    // It keeps up, but most of the latency is its own.
    let late = Simulated {
        rate: Some(180_000.0),
        ..slow
    };
    let limited = late.run().generator.limited.expect("it was the limit");
    assert!(limited.contains("its lag"), "{limited}");
}

#[test]
fn a_generator_without_its_core_says_so() {
    let with = |had| Simulated { had, ..NO_PAUSES }.run().generator.limited;
    assert_eq!(with(0.95), None);
    assert_eq!(with(0.5).as_deref(), Some("it had 50 % of its core"));
}

#[test]
fn a_slow_server_is_not_taken_for_a_slow_generator() {
    let seen = Simulated {
        service_ns: 10_000,
        rate: Some(200_000.0),
        run_ns: SECOND,
        ..NO_PAUSES
    }
    .run();
    assert_eq!(seen.generator.limited, None);
    assert_eq!(seen.responses, 99_999);
    assert!(seen.unanswered > 99_000);
}
