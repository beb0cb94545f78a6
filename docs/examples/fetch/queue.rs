//! What is to be fetched, by host, and what became of it. All connections take from it, whatever
//! thread they are on.

use super::files::PartialFile;
use super::options::Options;
use super::urls::Url;
use evserve::Session;
use evserve::client::{Exchanges, Failure, Get, HttpClient, Stage};
use evserve::http1::ReceivedHead;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is left to do, and what is done.
pub struct Queue {
    state: Arc<Mutex<State>>,
    folder: PathBuf,
    per_host: usize,
    max_bytes: u64,
}

#[derive(Default)]
struct State {
    hosts: Vec<Host>,
    /// The host to look at first: each gets its turn.
    next: usize,
    summary: Summary,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    pub files: u64,
    pub bytes: u64,
    pub failed: u64,
    pub connections: u64,
}

struct Host {
    addresses: Vec<SocketAddr>,
    /// The index of the address to connect to: the first that works.
    address: usize,
    /// A connection was made once.
    is_reachable: bool,
    connections: usize,
    waiting: VecDeque<Item>,
}

/// A file to fetch.
struct Item {
    url: String,
    get: Get,
    path: PathBuf,
    /// It was requested before, on a connection that the server had closed.
    is_repeated: bool,
}

impl Queue {
    /// Parses the URLs, names the files and resolves the hosts. What is wrong with a URL fails that
    /// one.
    pub fn new(options: &Options) -> Result<Queue, String> {
        let queue = Queue {
            state: Arc::default(),
            folder: options.into.clone(),
            per_host: options.per_host,
            max_bytes: options.max_bytes,
        };
        let mut state = lock(&queue.state);
        let mut by_authority = HashMap::new();
        let mut named: HashMap<String, &str> = HashMap::new();
        for text in &options.urls {
            let mut prepare = || {
                let url = Url::parse(text)?;
                let (name, get) = (url.file_name(), url.request()?);
                let path = queue.folder.join(&name);
                if let Some(other) = named.insert(name.clone(), text) {
                    named.insert(name.clone(), other);
                    return Err(format!("its file {name} is already that of {other}"));
                }
                let known = by_authority.entry(url.authority());
                let index = known.or_insert_with(|| state.add_host(&url)).clone()?;
                Ok((index, get, path))
            };
            match prepare() {
                Ok((index, get, path)) => state.hosts[index].waiting.push_back(Item {
                    url: text.clone(),
                    get,
                    path,
                    is_repeated: false,
                }),
                Err(error) => state.fail(text, &error),
            }
        }
        drop(state);
        Ok(queue)
    }

    /// The next connection to make, if there is something to fetch from a host that has not enough
    /// of them.
    pub fn connection(&self) -> Option<(SocketAddr, Box<dyn Session>)> {
        let mut state = lock(&self.state);
        let count = state.hosts.len();
        let turn = (0..count).map(|step| (state.next + step) % count);
        let index = turn.into_iter().find(|index| {
            let host = &state.hosts[*index];
            !host.waiting.is_empty() && host.connections < self.per_host
        })?;
        state.next = index + 1;
        state.summary.connections += 1;
        let host = &mut state.hosts[index];
        host.connections += 1;
        let address = host.addresses[host.address];
        let downloads = Downloads {
            state: self.state.clone(),
            folder: self.folder.clone(),
            host: index,
            address: host.address,
            // Taken now, so that there is never a connection without a file to fetch.
            first: host.waiting.pop_front(),
            current: None,
        };
        let session = HttpClient::new(downloads, self.max_bytes);
        Some((address, Box::new(session)))
    }

    pub fn summary(&self) -> Summary {
        lock(&self.state).summary
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn add_host(&mut self, url: &Url) -> Result<usize, String> {
        let addresses = url.addresses()?;
        if addresses.is_empty() {
            return Err("the host has no address".into());
        }
        self.hosts.push(Host {
            addresses,
            address: 0,
            is_reachable: false,
            connections: 0,
            waiting: VecDeque::new(),
        });
        Ok(self.hosts.len() - 1)
    }

    fn fail(&mut self, url: &str, error: &str) {
        self.summary.failed += 1;
        eprintln!("{url}: {error}");
    }

    /// A connection could not be made to this address. Tries the next one, or gives the host up if
    /// none has ever worked: otherwise each of its files would wait for its own timeout.
    fn connect_failed(&mut self, index: usize, address: usize, item: Item, error: &str) {
        let host = &mut self.hosts[index];
        if host.address == address && address + 1 < host.addresses.len() && !host.is_reachable {
            host.address += 1;
        }
        if host.address != address {
            return host.waiting.push_front(item);
        }
        let others = match host.is_reachable {
            true => VecDeque::new(),
            false => std::mem::take(&mut host.waiting),
        };
        self.fail(&item.url, error);
        for other in others {
            self.fail(&other.url, error);
        }
    }
}

/// The files that one connection fetches.
struct Downloads {
    state: Arc<Mutex<State>>,
    folder: PathBuf,
    host: usize,
    /// The index of the address that this connects to.
    address: usize,
    first: Option<Item>,
    current: Option<Download>,
}

struct Download {
    item: Item,
    /// Where the content goes; or why it goes nowhere.
    file: Result<PartialFile, String>,
}

impl Exchanges for Downloads {
    fn request(&mut self) -> Option<Get> {
        let next = || {
            let waiting = &mut lock(&self.state).hosts[self.host].waiting;
            // What is repeated needs a connection of its own, at first.
            let is_first = waiting.front().is_some_and(|item| !item.is_repeated);
            is_first.then(|| waiting.pop_front()).flatten()
        };
        let item = self.first.take().or_else(next)?;
        let get = item.get.clone();
        let file = Err(String::from("there was no response"));
        self.current = Some(Download { item, file });
        Some(get)
    }

    fn head(&mut self, head: &ReceivedHead<'_>) {
        lock(&self.state).hosts[self.host].is_reachable = true;
        let Some(current) = &mut self.current else {
            return;
        };
        current.file = match (head.status, head.location) {
            (200, _) => PartialFile::create(&self.folder)
                .map_err(|error| format!("cannot write into the folder: {error}")),
            (300..=399, Some(location)) => Err(format!(
                "{} to {}, which is not followed",
                head.status,
                location.escape_ascii()
            )),
            (status, _) => Err(format!("{status} {}", head.reason.escape_ascii())),
        };
    }

    fn content(&mut self, piece: &[u8]) -> io::Result<()> {
        match &mut self.current {
            Some(Download { file: Ok(file), .. }) => file.append(piece),
            // The page of an error. Read, so that the connection can be used again.
            _ => Ok(()),
        }
    }

    fn complete(&mut self) {
        let Some(Download { item, file }) = self.current.take() else {
            return;
        };
        let result = file.and_then(|file| file.finish(&item.path));
        let mut state = lock(&self.state);
        match result {
            Ok(bytes) => {
                state.summary.files += 1;
                state.summary.bytes += bytes;
            }
            Err(error) => state.fail(&item.url, &error),
        }
    }

    fn failed(&mut self, failure: Failure) {
        let Some(Download { mut item, .. }) = self.current.take() else {
            return;
        };
        let mut state = lock(&self.state);
        if failure.may_be_repeated() && !item.is_repeated {
            item.is_repeated = true;
            state.hosts[self.host].waiting.push_front(item);
        } else if failure.stage == Stage::Connecting && !failure.reused {
            state.connect_failed(self.host, self.address, item, &failure.to_string());
        } else {
            state.fail(&item.url, &failure.to_string());
        }
    }
}

impl Drop for Downloads {
    /// The connection has ended.
    fn drop(&mut self) {
        lock(&self.state).hosts[self.host].connections -= 1;
    }
}
