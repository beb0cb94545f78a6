//! Where the model puts up what can be seen of it, and where those look who want to see.
//!
//! Nobody looks most of the time, and then nothing is put up: a loop only compares two numbers in each turn. Whoever
//! wants to see [asks](Board::ask) or [watches](Board::watch), and has a mailbox for the answer; the loops hear of that by
//! their wakers, and each puts up its own part. So nobody waits for them but in the way in which everybody waits.

use super::view::{Cell, Document, MOST_CELLS, View, millis, named};
use crate::session::{BUFFER_SIZE, Mailbox, Step};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

/// How often those who watch are told, at most.
const INTERVAL: Duration = Duration::from_millis(200);

/// How many may watch. Each keeps a connection without end, and costs an event of up to 32 KiB five times a second.
const MOST_WATCHERS: usize = 8;

/// What part of a loop's time goes into putting up what it does: one of so many.
const COST: u32 = 100;

/// What a server is, for those who see it work.
#[derive(Clone, Debug)]
pub struct About {
    /// The name of its model.
    pub model: &'static str,
    /// How it waits, in a sentence.
    pub waits: &'static str,
    /// Why those who watch are served one after the other, if so: each hears how things stand, and comes again.
    pub one_by_one: Option<&'static str>,
    /// How many connections there may be at once, if the model knows such a number.
    pub max_connections: Option<usize>,
    /// What each service is called, and the steps that its sessions can take.
    pub services: Vec<(String, &'static [Step])>,
}

/// What can be seen of a server while it serves.
pub struct Board {
    about: About,
    began: Instant,
    /// How many loops there will be.
    loops: usize,
    parts: Mutex<Vec<Part>>,
    /// How many have asked until now.
    asked: AtomicU64,
    /// Those of them who wait for the answer.
    askers: Mutex<Vec<Asker>>,
    watchers: Mutex<Vec<Weak<Mailbox>>>,
    /// There are any.
    watched: AtomicBool,
    draining: AtomicBool,
}

/// One who waits until all loops have put up how things stand.
struct Asker {
    /// How many had asked by then.
    ticket: u64,
    mailbox: Arc<Mailbox>,
    say: fn(&Board) -> Vec<u8>,
}

/// What one loop has put up.
#[derive(Default)]
struct Part {
    view: View,
    /// How many had asked by then.
    answered: u64,
    /// Ends the loop's wait.
    waker: Option<Waker>,
}

/// A loop's side of the board.
pub struct Poster {
    board: Arc<Board>,
    part: usize,
    answered: u64,
    next: Option<Instant>,
}

/// When a loop began to look, and who wanted to know by then.
pub struct Look {
    asked: u64,
    begin: Instant,
}

impl Board {
    /// A board for so many loops, on which nothing has been put up yet.
    pub fn new(about: About, loops: usize, now: Instant) -> Arc<Board> {
        Arc::new(Board {
            about,
            began: now,
            loops,
            parts: Mutex::default(),
            asked: AtomicU64::new(0),
            askers: Mutex::default(),
            watchers: Mutex::default(),
            watched: AtomicBool::new(false),
            draining: AtomicBool::new(false),
        })
    }

    /// What server it is.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// The place of one of the loops, which is woken by `waker` when somebody wants to see what it does. `None` is for one
    /// that cannot be asked, and puts up by itself what is to be seen.
    pub fn poster(self: &Arc<Board>, waker: Option<Waker>) -> Poster {
        let mut parts = self.parts();
        parts.push(Part {
            answered: if waker.is_some() { 0 } else { u64::MAX },
            waker,
            ..Part::default()
        });
        Poster {
            board: self.clone(),
            part: parts.len() - 1,
            answered: 0,
            next: None,
        }
    }

    /// Asks all loops to put up how things stand. When they have, what `say` makes of that is left in the mailbox, which then
    /// ends.
    pub fn ask(&self, mailbox: Arc<Mailbox>, say: fn(&Board) -> Vec<u8>) {
        let mut askers = self.askers();
        let ticket = self.asked.fetch_add(1, SeqCst) + 1;
        askers.push(Asker {
            ticket,
            mailbox,
            say,
        });
        drop(askers);
        self.wake();
        self.answer();
    }

    /// Answers those who asked before all loops have put up how things stand.
    fn answer(&self) {
        let parts = self.parts();
        let all_there = parts.len() == self.loops;
        let answered = parts.iter().map(|part| part.answered).min();
        drop(parts);
        let answered = answered.filter(|_| all_there).unwrap_or(0);
        let mut askers = self.askers();
        let ready: Vec<_> = askers
            .extract_if(.., |asker| asker.ticket <= answered)
            .collect();
        drop(askers);
        for Asker { mailbox, say, .. } in ready {
            for part in say(self).chunks(BUFFER_SIZE) {
                mailbox.put(&part.into());
            }
            mailbox.end();
        }
    }

    /// Leaves an [event](Board::event) in the mailbox several times a second, as long as somebody has that. Whoever does not
    /// read as fast as that misses some, rather than hear how things once were.
    ///
    /// False if there are as many as may watch already.
    pub fn watch(&self, mailbox: &Arc<Mailbox>) -> bool {
        let mut watchers = self.watchers();
        watchers.retain(|mailbox| mailbox.strong_count() > 0);
        if watchers.len() >= MOST_WATCHERS {
            return false;
        }
        watchers.push(Arc::downgrade(mailbox));
        drop(watchers);
        self.watched.store(true, SeqCst);
        self.wake();
        true
    }

    /// The server is about to stop.
    pub fn drain(&self) {
        self.draining.store(true, SeqCst);
    }

    /// True once that was said.
    pub fn is_draining(&self) -> bool {
        self.draining.load(SeqCst)
    }

    /// What was put up last.
    pub fn view(&self) -> View {
        let mut sum = View::default();
        for part in &*self.parts() {
            sum.add(&part.view);
        }
        sum
    }

    /// The same as JSON, with names for everything.
    pub fn json(&self) -> Vec<u8> {
        let view = self.view();
        self.document(&view, &view.cells)
    }

    /// The same as an event of a stream (HTML standard, server-sent events), in which a connection is a row of numbers: it
    /// fits in a mailbox.
    pub fn event(&self) -> Vec<u8> {
        let mut view = self.view();
        loop {
            let cells: Vec<_> = view.cells.iter().map(|cell| row(&view, cell)).collect();
            let mut event = b"retry: 300\r\ndata: ".to_vec();
            event.extend(self.document(&view, cells));
            event.extend(b"\r\n\r\n");
            if event.len() <= BUFFER_SIZE {
                return event;
            }
            view.cells.truncate(view.cells.len() / 2);
        }
    }

    fn document<C: serde::Serialize>(&self, view: &View, cells: C) -> Vec<u8> {
        let document = Document {
            model: self.about.model,
            version: env!("CARGO_PKG_VERSION"),
            uptime_ms: millis(view.uptime),
            draining: self.is_draining(),
            connections: view.connections(),
            max_connections: self.about.max_connections,
            doers: view.doers,
            waited_ms: millis(view.waited),
            system_calls: view.counters.system_calls(),
            counters: named(&view.counters),
            states: view.states.clone(),
            steps: view.steps.iter().collect(),
            cells,
        };
        serde_json::to_vec(&document).expect("there is nothing in it that JSON could not say")
    }

    /// Tells those who watch, as long as they are there.
    fn tell(&self) {
        let mut watchers = self.watchers();
        watchers.retain(|mailbox| mailbox.strong_count() > 0);
        if !watchers.is_empty() {
            let event = self.event().into();
            let mailboxes = watchers.iter().filter_map(Weak::upgrade);
            for mailbox in mailboxes.filter(|mailbox| mailbox.is_empty()) {
                mailbox.put(&event);
            }
        }
        if watchers.is_empty() {
            self.watched.store(false, SeqCst);
        }
    }

    fn wake(&self) {
        for part in &*self.parts() {
            if let Some(waker) = &part.waker {
                waker.wake_by_ref();
            }
        }
    }

    fn parts(&self) -> MutexGuard<'_, Vec<Part>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn askers(&self) -> MutexGuard<'_, Vec<Asker>> {
        self.askers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watchers(&self) -> MutexGuard<'_, Vec<Weak<Mailbox>>> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection in few bytes.
fn row(view: &View, cell: &Cell) -> (usize, usize, u8, u64, u64, u64, Option<u64>) {
    let mut states = view.states.iter();
    let state = states.position(|(state, _)| *state == cell.state);
    (
        cell.key,
        state.unwrap_or(usize::MAX),
        cell.waits_for as u8,
        cell.received,
        cell.sent,
        millis(cell.age),
        cell.left.map(millis),
    )
}

impl Poster {
    /// How long the loop may wait before it is to put up how things stand; for ever if nobody wants to know.
    pub fn patience(&self, now: Instant) -> Option<Duration> {
        let board = &self.board;
        if board.asked.load(SeqCst) != self.answered {
            return Some(Duration::ZERO);
        }
        let watched = board.watched.load(SeqCst);
        let left = |next: Instant| next.saturating_duration_since(now);
        watched.then(|| self.next.map_or(Duration::ZERO, left))
    }

    /// That somebody wants to know by now, if so.
    pub fn wanted(&self, now: Instant) -> Option<Look> {
        let is_wanted = self.patience(now).is_some_and(|left| left.is_zero());
        is_wanted.then(|| self.look(now))
    }

    /// Whoever puts up how things stand says before that it is about to look.
    pub fn look(&self, now: Instant) -> Look {
        Look {
            asked: self.board.asked.load(SeqCst),
            begin: now,
        }
    }

    /// Puts up what was seen, and it took until `end` to see it.
    pub fn post(&mut self, look: &Look, mut view: View, end: Instant) {
        let cost = end.saturating_duration_since(look.begin);
        self.next = Some(end + INTERVAL.max(cost * COST));
        self.answered = look.asked;
        view.uptime = end.saturating_duration_since(self.board.began);
        let mut parts = self.board.parts();
        let part = &mut parts[self.part];
        part.view = view;
        part.answered = part.answered.max(look.asked);
        drop(parts);
        self.board.answer();
        if self.part == 0 {
            self.board.tell();
        }
    }

    /// Of how many connections one is to be shown, where there are so many.
    pub fn stride(&self, connections: usize) -> usize {
        (connections * self.board.loops).div_ceil(MOST_CELLS).max(1)
    }

    /// See [`Board::drain`].
    pub fn drain(&self) {
        self.board.drain();
    }
}

impl Drop for Poster {
    /// Nobody waits for a loop that has ended.
    fn drop(&mut self) {
        let mut parts = self.board.parts();
        let part = &mut parts[self.part];
        part.answered = u64::MAX;
        part.waker = None;
        part.view.states.clear();
        part.view.cells.clear();
        drop(parts);
        self.board.answer();
    }
}
