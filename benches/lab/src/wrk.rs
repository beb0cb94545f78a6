//! Runs wrk on its own core, and reads its results.

use crate::Outcome;
use crate::cores::spawn_on;
use crate::server::ended_within;
use std::fmt::Write;
use std::fs::write;
use std::io::Read;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// How much longer than planned it may run.
const GRACE: Duration = Duration::from_secs(10);

/// wrk calls this at its end. Its own report is rounded, for people.
const DONE: &str = r#"
function done(summary, latency)
   local e = summary.errors
   io.write(string.format("\nlab %.0f %.0f %.0f %.0f %.0f %.0f %.0f\n",
      summary.requests, summary.bytes, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
      latency:percentile(50), latency:percentile(99)))
end
"#;

/// wrk on its core.
pub struct Wrk {
    core: usize,
    folder: PathBuf,
}

/// The load: requests, connections and time.
pub struct Load<'a> {
    pub address: SocketAddr,
    /// `http` or `https`.
    pub scheme: &'a str,
    pub method: &'a str,
    pub path: &'a str,
    /// Request fields beside Host, as `Name: value`.
    pub fields: &'a [String],
    pub connections: usize,
    /// The number of requests sent at once on a connection.
    pub pipelined: usize,
    pub seconds: u64,
    /// The expected status of every response.
    pub status: u16,
    /// The expected length of every response on the wire, with its head.
    pub response_bytes: RangeInclusive<usize>,
}

/// The results.
#[derive(Clone, Copy)]
pub struct Traffic {
    pub requests: u64,
    pub bytes: u64,
    pub time: Duration,
    /// Latencies, corrected by wrk for requests that a late response kept it from sending. The
    /// correction can leave it without a figure.
    pub p50: Option<Duration>,
    pub p99: Option<Duration>,
}

impl Wrk {
    /// wrk on this core, with a folder for its scripts.
    ///
    /// # Errors
    /// It is not installed.
    pub fn find(core: usize, folder: PathBuf) -> Outcome<Wrk> {
        let wrk = Wrk { core, folder };
        match wrk.version() {
            Some(_) => Ok(wrk),
            None => Err("wrk is needed to make the load: apt-get install wrk".into()),
        }
    }

    /// Its name and version.
    pub fn version(&self) -> Option<String> {
        let output = Command::new("wrk").arg("-v").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // `wrk debian/4.1.0-3+b2 [epoll] Copyright ..`
        Some(text.split(" [").next()?.trim().to_owned())
    }

    /// Runs the load.
    ///
    /// # Errors
    /// A connection failed or a response was wrong: the figures would mean nothing.
    pub fn run(&self, load: &Load<'_>) -> Outcome<Traffic> {
        let script = self.folder.join("load.lua");
        write(&script, load.script())?;
        let mut command = Command::new("wrk");
        command
            .args(["-t1", "--timeout", "5s"])
            .arg(format!("-c{}", load.connections))
            .arg(format!("-d{}s", load.seconds))
            .arg("-s")
            .arg(&script)
            .args(load.fields.iter().flat_map(|field| ["-H", field]))
            .arg(format!("{}://{}{}", load.scheme, load.address, load.path))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = spawn_on(self.core, &mut command)?;
        // Its output fits into a pipe, so it can be read at the end.
        let ended = ended_within(&mut child, Duration::from_secs(load.seconds) + GRACE)?;
        if ended.is_none() {
            child.kill()?;
            child.wait()?;
            return Err("wrk did not end in time".into());
        }
        let mut said = String::new();
        child
            .stdout
            .take()
            .expect("piped")
            .read_to_string(&mut said)?;
        load.judge(&said)
    }
}

impl Load<'_> {
    fn script(&self) -> String {
        let mut script = format!("wrk.method = \"{}\"\n", self.method);
        if self.pipelined > 1 {
            let repeated = format!("string.rep(wrk.format(), {})", self.pipelined);
            let _ = writeln!(script, "function init(args) all = {repeated} end");
            script.push_str("function request() return all end\n");
        }
        script + DONE
    }

    fn judge(&self, said: &str) -> Outcome<Traffic> {
        let line = said.lines().find_map(|line| line.strip_prefix("lab "));
        let figures: Option<Vec<u64>> = line.map(|line| {
            line.split(' ')
                .map_while(|word| word.parse().ok())
                .collect()
        });
        let Some([requests, bytes, time_us, bad, broken, p50_us, p99_us]) = figures.as_deref()
        else {
            return Err(format!("wrk printed no results: {said}").into());
        };
        if *broken > 0 {
            return Err(format!("{broken} connections failed").into());
        }
        if *requests == 0 {
            return Err("no request had a response".into());
        }
        // wrk counts every status from 400 on as bad.
        let expected = if self.status >= 400 { *requests } else { 0 };
        if *bad != expected {
            return Err(format!("{bad} of {requests} responses had a status from 400 on").into());
        }
        // wrk cannot tell a 304 from a 200, but their lengths differ. Responses under way at the
        // end count in the bytes and not in the requests.
        let (least, under_way) = (
            requests * *self.response_bytes.start() as u64,
            (self.connections * self.pipelined) as u64,
        );
        let most = (requests + under_way) * *self.response_bytes.end() as u64;
        if !(least..=most).contains(bytes) {
            return Err(format!(
                "{requests} responses came as {bytes} bytes, not as {least} to {most}"
            )
            .into());
        }
        Ok(Traffic {
            requests: *requests,
            bytes: *bytes,
            time: Duration::from_micros(*time_us),
            p50: latency(*p50_us),
            p99: latency(*p99_us),
        })
    }
}

impl Traffic {
    pub fn requests_per_second(&self) -> f64 {
        self.requests as f64 / self.time.as_secs_f64()
    }
}

/// wrk prints 0 if it has no figure.
fn latency(us: u64) -> Option<Duration> {
    (us > 0).then(|| Duration::from_micros(us))
}
