//! The contestants: each row of `MODELS`, and the default model with two loops.

use evserve::config::Config;
use evserve::model::{Executor, MODELS, ModelRow, find};
use evserve_lab::Outcome;
use evserve_lab::run;

/// Two loops on two threads, both on the server's one core.
const WORKERS: u32 = 2;

/// One way to start evserve.
pub struct Contestant {
    /// Its name in the results.
    pub name: String,
    /// The row of `MODELS`.
    pub model: &'static str,
    /// Its index among all contestants, which decides its colour.
    pub kind: usize,
    workers: Option<u32>,
}

/// What a measurement needs from a server.
#[derive(Clone, Copy, Default)]
pub struct Needs {
    /// The number of connections that stay open. Some models need an option for it.
    pub connections: Option<u64>,
    /// The size of the pool, if the experiment sets it.
    pub threads: Option<u64>,
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
            workers: None,
        };
        let mut all: Vec<_> = MODELS.iter().enumerate().map(row).collect();
        let default = find(&Config::default().model).expect("a model");
        all.push(Contestant {
            name: format!("{}-workers-{WORKERS}", default.name),
            model: default.name,
            kind: all.len(),
            workers: Some(WORKERS),
        });
        all
    }

    /// The contestants of these names, or all if there are no names.
    ///
    /// # Errors
    /// A name is unknown.
    pub fn chosen(names: &[String]) -> Outcome<Vec<Contestant>> {
        let all = Contestant::all();
        if let Some(unknown) = names
            .iter()
            .find(|name| all.iter().all(|one| one.name != **name))
        {
            let known: Vec<_> = all.iter().map(|one| one.name.as_str()).collect();
            return Err(format!("there is no model `{unknown}` among {}", known.join(", ")).into());
        }
        let wanted = |one: &Contestant| names.is_empty() || names.contains(&one.name);
        Ok(all.into_iter().filter(wanted).collect())
    }

    /// Its part of a run.
    pub fn begin(&self) -> run::Contestant {
        run::Contestant {
            name: self.name.clone(),
            kind: self.kind,
            options: self.options(Needs::default()).join(" "),
        }
    }

    fn row(&self) -> &'static ModelRow {
        find(self.model).expect("it is made of a row")
    }

    /// The options that these needs require.
    pub fn options(&self, needs: Needs) -> Vec<String> {
        let mut options = vec!["--model".to_owned(), self.model.to_owned()];
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
