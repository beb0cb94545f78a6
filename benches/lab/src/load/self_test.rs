//! The generator against a stub whose pauses are known: does it see them?

use super::arrivals::Arrivals;
use super::drive::{Drive, SEED};
use super::stub::{MESSAGE_BYTES, Pause, Pauses, Stub};
use super::{Asks, Orders, Seen};
use crate::Outcome;
use crate::cores::{Cores, stay_on};
use crate::page::table;
use std::time::{Duration, Instant};

/// The load of a test.
#[derive(Clone, Copy)]
struct Test {
    pauses: Pauses,
    clients: usize,
    /// `None`: a closed loop.
    rate: Option<f64>,
    run: Duration,
}

/// The result of a test.
struct Tested {
    seen: Seen,
    /// What the stub's pauses alone made each request wait, in microseconds, sorted: the requests'
    /// due times are known, and when the stub paused it has recorded. Empty in a closed loop.
    waits_us: Vec<f64>,
    /// How often the stub paused.
    pauses: usize,
}

impl Test {
    fn run(&self, cores: Option<Cores>) -> Outcome<Tested> {
        let stub = Stub::start(self.pauses, cores.map(|cores| cores.server))?;
        cores.map_or(Ok(()), |cores| stay_on(cores.load))?;
        let warm_up = Duration::from_millis(100);
        let mut drive = Drive::new(&Orders {
            address: stub.address,
            asks: Asks::Echo {
                bytes: MESSAGE_BYTES,
            },
            clients: self.clients,
            rate: self.rate,
            warm_up,
            run: self.run,
            beside: None,
        })?;
        let seen = drive.run(&mut || Ok(()))?;
        let (begin, pauses) = (drive.start(), stub.end()?);
        let waits_us = match self.rate {
            None => Vec::new(),
            Some(rate) => waits_us(rate, begin, warm_up, self.run, &pauses),
        };
        Ok(Tested {
            seen,
            waits_us,
            pauses: pauses.len(),
        })
    }
}

/// How long each request that is due in the run waits for the end of a pause.
fn waits_us(
    rate: f64,
    begin: Instant,
    warm_up: Duration,
    run: Duration,
    pauses: &[Pause],
) -> Vec<f64> {
    let mut arrivals = Arrivals::new(rate, SEED);
    let end = warm_up + run;
    let mut waits = Vec::new();
    loop {
        let due = Duration::from_nanos(arrivals.take());
        if due >= end {
            break;
        }
        if due >= warm_up {
            let at = begin + due;
            // The load does not wait longer than its end.
            let rest = |pause: &Pause| pause.to.min(begin + end).saturating_duration_since(at);
            let pause = pauses
                .iter()
                .find(|pause| pause.from <= at && at < pause.to);
            waits.push(pause.map_or(Duration::ZERO, rest).as_secs_f64() * 1e6);
        }
    }
    waits.sort_by(f64::total_cmp);
    waits
}

/// The value that this part of the sorted values does not exceed.
fn quantile(sorted: &[f64], quantile: f64) -> f64 {
    let index = (quantile * sorted.len() as f64).ceil() as usize;
    sorted[index.clamp(1, sorted.len()) - 1]
}

/// Runs the generator against the stub, and prints what the pauses must make the percentiles, and
/// what the generator has measured, in an open loop and in a closed one. Takes about 30 s.
///
/// # Errors
/// There are no two cores, or a test fails.
pub fn print() -> Outcome<()> {
    let cores = Cores::choose()?;
    let run = Duration::from_secs(3);
    let ms = Duration::from_millis;
    println!(
        "An echo server that pauses, on core {}; the generator on core {}.\n",
        cores.server, cores.load
    );
    let mut rows = Vec::new();
    let cases = [(0, 1000), (10, 1000), (100, 1000), (20, 100)];
    for (length, period) in cases {
        let pauses = Pauses {
            length: ms(length),
            period: ms(period),
        };
        let open = Test {
            pauses,
            clients: 64,
            rate: Some(10_000.0),
            run,
        };
        let closed = Test { rate: None, ..open };
        let tested = open.run(Some(cores))?;
        let name = format!("{length} ms in {period} ms");
        let waits = [0.5, 0.99, 0.999, 1.0].map(|part| quantile(&tested.waits_us, part));
        let what = format!("the stub's pauses, {}", tested.pauses);
        rows.push(row(&name, &what, &waits.map(Some), ""));
        rows.push(row_of(&name, "open loop, 10,000/s", &tested.seen));
        let seen = closed.run(Some(cores))?.seen;
        let load = format!("closed loop, {:.0}/s", seen.per_second());
        rows.push(row_of(&name, &load, &seen));
    }
    let too_fast = Test {
        pauses: Pauses {
            length: ms(0),
            period: ms(1000),
        },
        clients: 1024,
        rate: Some(10e6),
        run: ms(500),
    };
    let seen = too_fast.run(Some(cores))?.seen;
    rows.push(row_of("none", "open loop, 10,000,000/s", &seen));
    let head = [
        "pauses",
        "",
        "p50, ms",
        "p99, ms",
        "p99.9, ms",
        "longest, ms",
        "generator",
    ];
    println!("{}", table(&head, &rows));
    Ok(())
}

fn row_of(pauses: &str, what: &str, seen: &Seen) -> Vec<String> {
    let values = [
        seen.p50_us,
        seen.p99_us,
        seen.p999_us,
        Some(seen.greatest_us),
    ];
    let generator = &seen.generator;
    let lag = generator
        .lag_p99_us
        .map_or("unknown".to_owned(), |lag| format!("{lag:.0} µs"));
    let limited = generator
        .limited
        .as_ref()
        .map_or(String::new(), |why| format!("; THE LIMIT: {why}"));
    let (idle, cpu) = (generator.idle_percent, generator.cpu_percent);
    let generator = format!("lag p99 {lag}, idle {idle:.0} %, had {cpu:.0} % of its core{limited}");
    row(pauses, what, &values, &generator)
}

fn row(pauses: &str, what: &str, values_us: &[Option<f64>], generator: &str) -> Vec<String> {
    let shown = |us: &Option<f64>| us.map_or("none".to_owned(), |us| format!("{:.3}", us / 1e3));
    let head = [pauses.to_owned(), what.to_owned()];
    let values = values_us.iter().map(shown);
    head.into_iter()
        .chain(values)
        .chain([generator.to_owned()])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Pauses, SEED, Test, quantile};
    use crate::load::arrivals::Arrivals;
    use std::time::Duration;

    /// The resolution of the histogram: three digits.
    const DIGITS: f64 = 0.999;

    /// What a busy machine adds makes latencies longer, never shorter.
    #[test]
    fn no_pause_of_the_stub_is_missed() {
        for (length, period) in [(10, 100), (50, 250)] {
            let test = Test {
                pauses: Pauses {
                    length: Duration::from_millis(length),
                    period: Duration::from_millis(period),
                },
                clients: 16,
                rate: Some(4000.0),
                run: Duration::from_secs(1),
            };
            let tested = test.run(None).expect("it runs");
            let (seen, waits) = (tested.seen, tested.waits_us);
            let (p50, p99) = (seen.p50_us.expect("4,000"), seen.p99_us.expect("4,000"));
            assert!(p50 >= DIGITS * quantile(&waits, 0.5));
            assert!(p99 >= DIGITS * quantile(&waits, 0.99));
            assert!(seen.greatest_us >= DIGITS * quantile(&waits, 1.0));
            assert!(tested.pauses > 0);
        }
    }

    /// However late the generator is, it leaves out no request.
    #[test]
    fn every_request_that_was_due_counts() {
        for rate in [1000.0, 10e6] {
            let test = Test {
                pauses: Pauses {
                    length: Duration::ZERO,
                    period: Duration::from_secs(1),
                },
                clients: 4,
                rate: Some(rate),
                run: Duration::from_millis(200),
            };
            let seen = test.run(None).expect("it runs").seen;
            let mut arrivals = Arrivals::new(rate, SEED);
            let dues = std::iter::from_fn(|| Some(arrivals.take()));
            let due = dues.take_while(|due| *due < 300_000_000);
            let due = due.filter(|due| *due >= 100_000_000).count();
            assert_eq!(seen.latencies, due as u64);
            assert!(seen.generator.cpu_percent > 0.0);
        }
    }
}
