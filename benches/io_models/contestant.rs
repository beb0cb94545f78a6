//! Who is compared: each row of `MODELS`, and the loop of the last one on two threads.

use super::lab::Outcome;
use evserve::model::{Executor, MODELS, ModelRow, find};

/// Two loops on two threads; here both of them on the server's one core.
const WORKERS: u32 = 2;

/// One way to start evserve.
pub struct Contestant {
    /// What it is called in results.
    pub name: String,
    /// The row of `MODELS`.
    pub model: &'static str,
    /// Its place among all contestants, which gives it its colour.
    pub kind: usize,
    workers: Option<u32>,
}

/// What a server must be able to do in a measurement.
#[derive(Clone, Copy, Default)]
pub struct Needs {
    /// Connections that stay, for which a model may have to be told that there will be so many.
    pub connections: Option<u64>,
    /// The size of the pool, if that is what is looked at.
    pub threads: Option<u64>,
}

impl Contestant {
    /// All that can be compared.
    pub fn all() -> Vec<Contestant> {
        let row = |(kind, model): (usize, &'static ModelRow)| Contestant {
            name: model.name.to_owned(),
            model: model.name,
            kind,
            workers: None,
        };
        let mut all: Vec<_> = MODELS.iter().enumerate().map(row).collect();
        if let Some(last) = MODELS
            .iter()
            .rev()
            .find(|model| model.options.contains(&"workers"))
        {
            all.push(Contestant {
                name: format!("{}-workers-{WORKERS}", last.name),
                model: last.name,
                kind: all.len(),
                workers: Some(WORKERS),
            });
        }
        all
    }

    /// Those of these names; all, if there are none.
    ///
    /// # Errors
    /// A name that is nobody's.
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

    fn row(&self) -> &'static ModelRow {
        find(self.model).expect("it is made of a row")
    }

    /// Which options make it able to do that.
    pub fn options(&self, needs: Needs) -> Vec<String> {
        let mut options = vec!["--model".to_owned(), self.model.to_owned()];
        let mut say =
            |option: &str, value: u64| options.extend([option.to_owned(), value.to_string()]);
        if let Some(workers) = self.workers {
            say("--workers", workers.into());
        }
        // As many connections as are there may well be had anyway.
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

    /// Why it cannot have so many busy connections, if that is so.
    pub fn cannot_watch(&self, connections: u64) -> Option<String> {
        let limit = self.row().poller?.fd_limit?;
        // It has some more of its own.
        let most = u64::try_from(limit).unwrap_or(0).saturating_sub(24);
        (connections > most).then(|| {
            format!(
                "{}(2) has no place for descriptors from {limit} on",
                self.model
            )
        })
    }

    /// Why its connections cannot hear each other, if that is so.
    pub fn cannot_share(&self) -> Option<&'static str> {
        self.row().isolated_because
    }

    /// Why it cannot keep so many idle connections, if that is so.
    pub fn cannot_keep(&self, connections: u64) -> Option<String> {
        let (limit, why) = match self.row().executor {
            _ if self.row().serves_one_at_a_time() => (
                0,
                "it closes a connection after its first answer, so there are no idle ones",
            ),
            Executor::Process => (500, "a process for each: more than 500 are not tried"),
            Executor::Thread => (4000, "a thread for each: more than 4,000 are not tried"),
            Executor::Loop => return self.cannot_watch(connections),
        };
        (connections > limit).then(|| why.to_owned())
    }
}
