//! The command line.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::PathBuf;
use std::time::Duration;

pub const USAGE: &str = "\
fetch [OPTIONS] --into FOLDER [URL...]
  --into FOLDER           where the files go; it must exist
  --from FILE             more URLs, one a line
  --connections N         at most so many connections, on one thread [default: 64]
  --threads N             N threads with one connection each instead
  --per-host N            at most so many connections to one host [default: 6]
  --connect-timeout S     seconds until a connection must be made [default: 10]
  --timeout S             seconds for the head of a response, and then for each 4 KiB of a
                          file: a server may be slow, but not slower [default: 30]
  --max-bytes N           the longest file [default: 1073741824]
  --help                  print this

Exit status: 0 if all files are there, 1 if one has failed, 2 if the command line has a mistake.";

/// What the command line asks for.
pub enum Task {
    Fetch(Options),
    PrintUsage,
}

/// Descriptors besides those of connections: each of these has a socket and a file.
const OTHER_DESCRIPTORS: u64 = 32;

pub struct Options {
    pub urls: Vec<String>,
    pub into: PathBuf,
    pub connections: usize,
    pub threads: Option<usize>,
    pub per_host: usize,
    pub connect_timeout: Duration,
    pub timeout: Duration,
    pub max_bytes: u64,
}

impl Options {
    /// Parses the command line, and reads the list of URLs.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Task, String> {
        let mut options = Options {
            urls: Vec::new(),
            into: PathBuf::new(),
            connections: 64,
            threads: None,
            per_host: 6,
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(30),
            max_bytes: 1 << 30,
        };
        while let Some(word) = words.next() {
            if matches!(&*word, "-h" | "--help") {
                return Ok(Task::PrintUsage);
            }
            if !word.starts_with("--") {
                options.urls.push(word);
                continue;
            }
            let value = words.next().ok_or(format!("{word} needs a value"))?;
            options.set(&word, &value)?;
        }
        if options.urls.is_empty() {
            return Err("which URLs?".into());
        }
        if !options.into.is_dir() {
            return Err("--into must name a folder that exists".into());
        }
        options.allow_descriptors()?;
        Ok(Task::Fetch(options))
    }

    fn set(&mut self, option: &str, value: &str) -> Result<(), String> {
        let invalid = || format!("{option} {value}: not a number that makes sense");
        let count = || match value.parse() {
            Ok(0) | Err(_) => Err(invalid()),
            Ok(number) => Ok(number),
        };
        let seconds = || {
            let seconds = value.parse().map_err(|_| invalid())?;
            let time = Duration::try_from_secs_f64(seconds).map_err(|_| invalid())?;
            let is_time = !time.is_zero();
            is_time.then_some(time).ok_or_else(invalid)
        };
        match option {
            "--into" => self.into = value.into(),
            "--from" => {
                let list = std::fs::read_to_string(value);
                let list = list.map_err(|error| format!("{value}: {error}"))?;
                let lines = list.lines().map(str::trim).filter(|line| !line.is_empty());
                self.urls.extend(lines.map(String::from));
            }
            "--connections" => self.connections = count()?,
            "--threads" => self.threads = Some(count()?),
            "--per-host" => self.per_host = count()?,
            "--connect-timeout" => self.connect_timeout = seconds()?,
            "--timeout" => self.timeout = seconds()?,
            "--max-bytes" => self.max_bytes = value.parse().map_err(|_| invalid())?,
            _ => return Err(format!("there is no option {option}")),
        }
        Ok(())
    }

    /// Raises the limit of descriptors as far as this process may.
    fn allow_descriptors(&self) -> Result<(), String> {
        let connections = self.threads.unwrap_or(self.connections) as u64;
        let needed = connections.saturating_mul(2) + OTHER_DESCRIPTORS;
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current.is_none_or(|limit| limit >= needed) {
            return Ok(());
        }
        let limit = Rlimit {
            current: Some(needed),
            maximum,
        };
        setrlimit(Resource::Nofile, limit).map_err(|_| {
            format!(
                "{connections} connections need {needed} descriptors, more than ulimit -n allows"
            )
        })
    }
}
