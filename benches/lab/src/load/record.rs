//! What the generator has seen: latencies, its own delays, and whether it was the limit. It reads no
//! clock; all times are nanoseconds since the start of the load.

use super::{Generator, Seen};
use hdrhistogram::Histogram;

/// Latencies are kept to three digits, up to ten minutes.
const GREATEST_NS: u64 = 600_000_000_000;

/// A percentile needs so many samples beyond it: 40 for the median, 2,000 for the 99th, 20,000 for
/// the 99.9th. With fewer it is the luck of a few requests.
pub const SAMPLES_BEYOND: f64 = 20.0;

/// In a closed loop, a request that has waited less than this at the end counts as under way.
const UNDER_WAY_NS: u64 = 50_000_000;

/// A request that was due so shortly before the end may still be answered in its time: whether it had
/// a response says nothing. In a shorter load that is its last half.
const ANSWER_LIMIT_NS: u64 = 1_000_000_000;

/// The generator is the limit if the 99th percentile of its lag is more than this part of the 99th
/// percentile of the latencies. A response waits about as long to be read as a request to be sent,
/// so half of the latencies are its own then. Some lag is unavoidable: to send a request takes about
/// as long as to answer it, and what is due meanwhile waits.
const LAG_SHARE: f64 = 0.25;

/// Or if it achieves less than this part of the offered load ...
const ACHIEVED_SHARE: f64 = 0.95;

/// ... although it was idle for less than this part of the time.
const IDLE_SHARE: f64 = 0.05;

/// Or, in an open loop, if it had less than this part of its core while it was awake: then somebody
/// else used the core.
const CORE_SHARE: f64 = 0.9;

/// The figures of one load, as they come in.
pub struct Record {
    begin_ns: u64,
    end_ns: u64,
    /// Requests that were due until then should have had a response at the end.
    judged_end_ns: u64,
    is_open_loop: bool,
    latencies: Histogram<u64>,
    lags: Histogram<u64>,
    responses: u64,
    answers_before: u64,
    unanswered: u64,
    judged: u64,
    overdue: u64,
    idle_ns: u64,
    asleep_ns: u64,
}

impl Record {
    /// Counts what happens between `begin` and `end`.
    pub fn new(begin_ns: u64, end_ns: u64, is_open_loop: bool) -> Record {
        let histogram = || Histogram::new_with_bounds(1, GREATEST_NS, 3).expect("valid bounds");
        Record {
            begin_ns,
            end_ns,
            judged_end_ns: end_ns - ANSWER_LIMIT_NS.min((end_ns - begin_ns) / 2),
            is_open_loop,
            latencies: histogram(),
            lags: histogram(),
            responses: 0,
            answers_before: 0,
            unanswered: 0,
            judged: 0,
            overdue: 0,
            idle_ns: 0,
            asleep_ns: 0,
        }
    }

    /// A request was sent, so late.
    pub fn sent(&mut self, due_ns: u64, lag_ns: u64) {
        if due_ns >= self.begin_ns {
            self.lags.saturating_record(lag_ns);
        }
    }

    /// The response to a request has come. In an open loop a latency counts if its request was due
    /// after the warm-up; in a closed loop, if its response came after it.
    pub fn answered(&mut self, due_ns: u64, now_ns: u64) {
        if now_ns < self.begin_ns {
            self.answers_before += 1;
        } else if now_ns > self.end_ns {
            self.unanswered(due_ns);
        } else {
            self.responses += 1;
            self.judged += u64::from(self.is_judged(due_ns));
            if !self.is_open_loop || due_ns >= self.begin_ns {
                self.latencies.saturating_record(now_ns - due_ns);
            }
        }
    }

    /// A request has no response at the end. It counts with the time it has waited: to leave it out
    /// would hide it.
    pub fn unanswered(&mut self, due_ns: u64) {
        let waited = self.end_ns.saturating_sub(due_ns);
        let counts = match self.is_open_loop {
            true => due_ns >= self.begin_ns && due_ns < self.end_ns,
            false => waited > UNDER_WAY_NS,
        };
        if counts {
            self.unanswered += 1;
            let is_overdue = u64::from(self.is_judged(due_ns));
            self.judged += is_overdue;
            self.overdue += is_overdue;
            self.latencies.saturating_record(waited);
        }
    }

    fn is_judged(&self, due_ns: u64) -> bool {
        (self.begin_ns..=self.judged_end_ns).contains(&due_ns)
    }

    /// The generator had nothing to do between these times.
    pub fn idle(&mut self, from_ns: u64, to_ns: u64) {
        self.idle_ns += self.within_run(from_ns, to_ns);
    }

    /// The generator slept between these times. They are part of those in which it was idle.
    pub fn asleep(&mut self, from_ns: u64, to_ns: u64) {
        self.asleep_ns += self.within_run(from_ns, to_ns);
    }

    fn within_run(&self, from_ns: u64, to_ns: u64) -> u64 {
        let (from, to) = (from_ns.max(self.begin_ns), to_ns.min(self.end_ns));
        to.saturating_sub(from)
    }

    /// The results. `cpu_ns` is the CPU time that the generator had.
    pub fn seen(&self, cpu_ns: u64) -> Seen {
        let run_ns = (self.end_ns - self.begin_ns) as f64;
        let idle_share = self.idle_ns as f64 / run_ns;
        let percentile = |quantile| percentile_us(&self.latencies, quantile);
        let lag = |quantile| percentile_us(&self.lags, quantile);
        Seen {
            responses: self.responses,
            bytes: 0,
            answers_before: self.answers_before,
            clients_answered: 0,
            seconds: run_ns / 1e9,
            latencies: self.latencies.len(),
            p50_us: percentile(0.5),
            p99_us: percentile(0.99),
            p999_us: percentile(0.999),
            greatest_us: self.latencies.max() as f64 / 1e3,
            unanswered: self.unanswered,
            judged: self.judged,
            overdue: self.overdue,
            broken: 0,
            generator: Generator {
                lag_p50_us: lag(0.5),
                lag_p99_us: lag(0.99),
                lag_p999_us: lag(0.999),
                idle_percent: 100.0 * idle_share,
                cpu_percent: 100.0 * cpu_ns as f64 / run_ns,
                limited: self.limited(idle_share, cpu_ns),
            },
            beside: None,
        }
    }

    /// Why the generator was the limit, if it was.
    fn limited(&self, idle_share: f64, cpu_ns: u64) -> Option<String> {
        if !self.is_open_loop {
            return (idle_share < IDLE_SHARE)
                .then(|| format!("it was idle for {:.1} % of the time", 100.0 * idle_share));
        }
        let awake_ns = self.end_ns - self.begin_ns - self.asleep_ns;
        let had = cpu_ns as f64 / awake_ns.max(1) as f64;
        if had < CORE_SHARE {
            return Some(format!("it had {:.0} % of its core", 100.0 * had));
        }
        let achieved = self.responses as f64 / self.latencies.len().max(1) as f64;
        if achieved < ACHIEVED_SHARE {
            // Then latencies show how long the queue is. That is the server's doing if the generator
            // could have done more.
            return (idle_share < IDLE_SHARE).then(|| {
                format!(
                    "it achieved {:.0} % of the offered load and was idle for {:.1} % of the time",
                    100.0 * achieved,
                    100.0 * idle_share
                )
            });
        }
        let (lag, latency) = (
            percentile_us(&self.lags, 0.99)?,
            percentile_us(&self.latencies, 0.99)?,
        );
        (lag > LAG_SHARE * latency)
            .then(|| format!("its lag is {lag:.0} µs of {latency:.0} µs, both as 99th percentiles"))
    }
}

/// A percentile in microseconds. `None` with less than [`SAMPLES_BEYOND`] samples beyond it.
fn percentile_us(values: &Histogram<u64>, quantile: f64) -> Option<f64> {
    let beyond = values.len() as f64 * (1.0 - quantile);
    // A thousandth of 20,000 is less than 20, in floating point.
    (beyond + 1e-6 >= SAMPLES_BEYOND).then(|| values.value_at_quantile(quantile) as f64 / 1e3)
}
