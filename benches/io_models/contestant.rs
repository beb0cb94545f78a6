//! The contestants: each row of `MODELS`, and the default model with two loops; or variants of the
//! baseline, which take part in one experiment.

use super::experiments::Variant;
use evserve::config::Config;
use evserve::model::{Executor, MODELS, ModelRow, find};
use evserve_lab::{Outcome, environment, run};
use std::path::PathBuf;
use std::str::FromStr;

/// Two loops on two threads, both on the server's one core.
const WORKERS: u32 = 2;

/// One way to start evserve.
#[derive(Clone)]
pub struct Contestant {
    /// Its name in the results.
    pub name: String,
    /// The row of `MODELS`.
    pub model: &'static str,
    /// Its index among all contestants, which decides its colour.
    pub kind: usize,
    pub program: PathBuf,
    /// The name of the one that it is compared with.
    pub against: Option<String>,
    pub workers: Option<u32>,
    /// The options of a variant, with spaces between them.
    pub variant: &'static str,
}

/// What a measurement needs from a server.
#[derive(Clone, Copy, Default)]
pub struct Needs {
    /// The number of connections that stay open. Some models need an option for it.
    pub connections: Option<u64>,
    /// The size of the pool, if the experiment sets it.
    pub threads: Option<u64>,
}

/// Another build of evserve, as the user names it.
#[derive(Clone, Debug)]
pub struct Build {
    pub name: String,
    pub program: PathBuf,
}

impl Build {
    /// # Errors
    /// It is no evserve.
    pub fn check(&self) -> Outcome<()> {
        let shown = self.program.display();
        match environment::version(&self.program.to_string_lossy(), "--version") {
            Some(said) if said.starts_with("evserve") => Ok(()),
            Some(_) => Err(format!("{shown} is no evserve").into()),
            None => Err(format!("cannot start {shown}").into()),
        }
    }
}

impl FromStr for Build {
    type Err = String;

    /// `NAME=PATH`
    fn from_str(text: &str) -> Result<Build, String> {
        let (name, path) = text.split_once('=').ok_or("not of the form NAME=PATH")?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_plain) {
            return Err("a name has letters, digits, `-`, `_` and `.`".to_owned());
        }
        Ok(Build {
            name: name.to_owned(),
            program: path.into(),
        })
    }
}

/// The build under test.
pub fn built() -> PathBuf {
    env!("CARGO_BIN_EXE_evserve").into()
}

impl Contestant {
    /// The name of the one that the others are compared with.
    pub const BASELINE: &str = "epoll";

    /// All contestants.
    pub fn all() -> Vec<Contestant> {
        let row = |(kind, model): (usize, &'static ModelRow)| Contestant {
            name: model.name.to_owned(),
            model: model.name,
            kind,
            program: built(),
            against: None,
            workers: None,
            variant: "",
        };
        let mut all: Vec<_> = MODELS.iter().enumerate().map(row).collect();
        let default = find(&Config::default().model).expect("a model");
        all.push(Contestant {
            name: format!("{}-workers-{WORKERS}", default.name),
            model: default.name,
            kind: all.len(),
            program: built(),
            against: None,
            workers: Some(WORKERS),
            variant: "",
        });
        all
    }

    /// The one that other models are compared with.
    pub fn baseline() -> Contestant {
        let mut all = Contestant::all().into_iter();
        let found = all.find(|one| one.name == Contestant::BASELINE);
        found.expect("a model")
    }

    /// The contestants of an experiment that has its own.
    pub fn of_variants(variants: &[Variant]) -> Vec<Contestant> {
        let baseline = Contestant::baseline();
        let of = |(kind, variant): (usize, &Variant)| Contestant {
            name: variant.name.to_owned(),
            kind,
            variant: variant.options,
            ..baseline.clone()
        };
        variants.iter().enumerate().map(of).collect()
    }

    /// Its part of a run.
    pub fn begin(&self) -> run::Contestant {
        run::Contestant {
            name: self.name.clone(),
            kind: self.kind,
            options: self.options(Needs::default()).join(" "),
            against: self.against.clone(),
        }
    }

    fn row(&self) -> &'static ModelRow {
        find(self.model).expect("it is made of a row")
    }

    /// The options that these needs require.
    pub fn options(&self, needs: Needs) -> Vec<String> {
        let mut options = vec!["--model".to_owned(), self.model.to_owned()];
        options.extend(self.variant.split_whitespace().map(str::to_owned));
        let mut say =
            |option: &str, value: u64| options.extend([option.to_owned(), value.to_string()]);
        if let Some(workers) = self.workers {
            say("--workers", workers.into());
        }
        // The default limits allow as many as there are anyway.
        let limit = self
            .row()
            .limit_option
            .filter(|option| *option != "max-connections");
        let threads = needs.threads.filter(|_| limit == Some("threads"));
        if let (Some(option), Some(most)) = (limit, threads.or(needs.connections)) {
            say(&format!("--{option}"), most);
        }
        options
    }

    /// The reason if it cannot serve that many busy connections.
    pub fn cannot_watch(&self, connections: u64) -> Option<String> {
        let limit = self.row().poller?.fd_limit?;
        // The program has some descriptors of its own.
        let most = u64::try_from(limit).unwrap_or(0).saturating_sub(24);
        (connections > most).then(|| {
            format!(
                "{}(2) has no place for descriptors from {limit} on",
                self.model
            )
        })
    }

    /// The reason if it cannot run a server that the benchmark itself is.
    pub fn cannot_be_a_library(&self) -> Option<String> {
        (self.program != built())
            .then(|| "the handler is in the benchmark, not in a build".to_owned())
    }

    /// The reason if its connections cannot reach each other.
    pub fn cannot_share(&self) -> Option<&'static str> {
        self.row().isolated_because
    }

    /// The reason if it cannot keep that many idle connections.
    pub fn cannot_keep(&self, connections: u64) -> Option<String> {
        let (limit, why) = match self.row().executor {
            _ if self.row().serves_one_at_a_time() => (
                0,
                "it closes a connection after its first response, so there are no idle ones",
            ),
            Executor::Process => (500, "a process for each: more than 500 are not tried"),
            Executor::Thread => (4000, "a thread for each: more than 4,000 are not tried"),
            Executor::Loop | Executor::Task => return self.cannot_watch(connections),
        };
        (connections > limit).then(|| why.to_owned())
    }
}
