//! Protocols that each depend on one promise of the contract.

use evserve::{Service, Sharing};
use evserve::session::{Body, Context, File, Inbox, Job, Mailbox, Session, BodySource, Timeout, Wait};
use std::fs::OpenOptions;
use std::io::Write;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A length that takes several calls to send: more than the buffers of both sockets hold.
const CONTENT: usize = 12 * 1024 * 1024;

/// How the session of a case behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Responds with the content, from memory, and closes.
    Memory,
    /// Responds with a file that sendfile(2) cannot send.
    Unsendable,
    /// Responds with a file that is shorter than announced.
    ShortFile,
    /// Consumes a little at a time, and only while much input is there.
    Hold,
    /// Counts the bytes received, and sends the count at the end.
    Count,
    /// Needs several turns.
    Turns,
    /// Runs a job on another thread.
    Job,
    /// Sends what other threads put into its mailbox.
    Mail,
    /// Waits for more input, and sends a message when its time runs out.
    Late,
    /// Its turn takes longer than its deadline.
    Busy,
    /// Sends something and closes with lingering.
    Linger,
    /// Sends something and closes at once.
    Abort,
}

/// What a session recorded.
#[derive(Default)]
pub struct Recorded {
    pub opened: AtomicBool,
    pub closed: AtomicBool,
    pub mailbox: Mailbox,
}

pub fn service(kind: Kind, recorded: &Arc<Recorded>) -> Arc<dyn Service> {
    Arc::new(CaseService(kind, recorded.clone()))
}

struct CaseService(Kind, Arc<Recorded>);

impl Service for CaseService {
    fn session(&self, _: Option<IpAddr>) -> Box<dyn Session> {
        Box::new(Case {
            kind: self.0,
            recorded: self.1.clone(),
            count: 0,
            turns: 0,
            work: Work::None,
            over: None,
        })
    }

    fn speaks_first(&self) -> bool {
        true
    }

    fn sharing(&self) -> Sharing {
        Sharing::Nothing
    }

    fn name(&self) -> &str {
        "a case"
    }
}

struct Case {
    kind: Kind,
    recorded: Arc<Recorded>,
    count: usize,
    turns: usize,
    work: Work,
    over: Option<Wait>,
}

enum Work {
    None,
    Turns,
    Job,
    Result(Arc<AtomicBool>),
}

impl Session for Case {
    fn open(&mut self, cx: &mut Context<'_>) {
        self.recorded.opened.store(true, SeqCst);
        match self.kind {
            Kind::Mail => {
                cx.put(b"hello");
            }
            Kind::Busy => self.work = Work::Turns,
            _ => {}
        }
    }

    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        let taken = match self.kind {
            Kind::Hold if input.len() < 30_000 => 0,
            Kind::Hold => 1000,
            _ => input.len(),
        };
        self.count += taken;
        match self.kind {
            Kind::Memory => cx.put_body(Body::bytes(content().to_vec())),
            Kind::Unsendable => {
                let file = std::fs::File::open(UNSENDABLE).expect("it can be read");
                let length = unsendable().len() as u64;
                cx.put_body(Body::new(BodySource::file(file), 0, length));
            }
            Kind::ShortFile => cx.put_body(Body::new(short_file(), 0, 1000)),
            Kind::Turns => self.work = Work::Turns,
            Kind::Job => self.work = Work::Job,
            Kind::Busy => drop(cx.put(b"in time")),
            Kind::Linger | Kind::Abort => drop(cx.put(b"bye")),
            Kind::Hold | Kind::Count | Kind::Mail | Kind::Late => {}
        }
        self.over = match self.kind {
            Kind::Memory | Kind::Unsendable | Kind::ShortFile => Some(Wait::Close),
            Kind::Linger => Some(Wait::Linger),
            Kind::Abort => Some(Wait::Abort),
            _ => None,
        };
        taken
    }

    fn end_of_input(&mut self, cx: &mut Context<'_>) {
        cx.put(self.count.to_string().as_bytes());
    }

    fn proceed(&mut self, cx: &mut Context<'_>) {
        match &self.work {
            Work::Turns if self.kind == Kind::Busy => {
                std::thread::sleep(Duration::from_millis(600));
                self.work = Work::None;
            }
            Work::Turns if cx.worker.work > 0 => {
                cx.worker.work = 0;
                self.turns += 1;
                if self.turns == 3 {
                    cx.put(b"done");
                    self.work = Work::None;
                }
            }
            Work::Result(done) if done.load(SeqCst) => {
                cx.put(b"done");
                self.work = Work::None;
            }
            _ => {}
        }
    }

    fn job(&mut self) -> Option<Job> {
        let Work::Job = self.work else {
            return None;
        };
        let done = Arc::new(AtomicBool::new(false));
        self.work = Work::Result(done.clone());
        Some(Job {
            mount: 0,
            work: Box::new(move || done.store(true, SeqCst)),
        })
    }

    fn timed_out(&mut self, timeout: Timeout, cx: &mut Context<'_>) {
        if timeout == Timeout::Head {
            cx.put(b"late");
        }
    }

    fn closed(&mut self, cx: &mut Context<'_>) {
        if self.kind == Kind::Abort {
            // Long enough for a client to see it if the socket was closed before.
            std::thread::sleep(Duration::from_millis(200));
        }
        self.recorded.closed.store(true, SeqCst);
        // This is never sent, but takes a buffer.
        cx.put(b"too late");
    }

    fn waits_for(&self) -> Wait {
        match (&self.work, self.over) {
            (Work::Turns, _) => Wait::Turn,
            (Work::Job, _) => Wait::Job,
            (Work::Result(_), _) => Wait::JobResult,
            (Work::None, Some(wait)) => wait,
            (Work::None, None) if self.kind == Kind::Busy && self.count == 0 => {
                Wait::Bytes(Timeout::Head)
            }
            (Work::None, None) if self.kind == Kind::Late && self.count > 0 => {
                Wait::Bytes(Timeout::Head)
            }
            (Work::None, None) if self.kind == Kind::Mail => Wait::Bytes(Timeout::Forever),
            (Work::None, None) => Wait::Bytes(Timeout::Idle),
        }
    }

    fn mailbox(&self) -> Option<&dyn Inbox> {
        (self.kind == Kind::Mail).then_some(&self.recorded.mailbox)
    }
}

/// Bytes without repetition.
pub fn content() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let numbers = 0..CONTENT as u32 / 4;
        numbers
            .flat_map(|number| (number.wrapping_mul(2_654_435_761)).to_ne_bytes())
            .collect()
    })
}

/// A readable file that sendfile(2) refuses: the environment of this process.
const UNSENDABLE: &str = "/proc/self/environ";

/// Its content.
pub fn unsendable() -> Vec<u8> {
    std::fs::read(UNSENDABLE).expect("it can be read")
}

/// An environment variable that makes it longer than a buffer.
pub fn padding(number: usize) -> (String, String) {
    let text = (0..10_000).map(|one| format!("{:09} ", one * (number + 1)));
    (format!("EVSERVE_PADDING_{number}"), text.collect())
}

/// A file of five bytes.
fn short_file() -> BodySource {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let name = format!(
        "check-{}-{}",
        std::process::id(),
        NUMBER.fetch_add(1, SeqCst)
    );
    let path = std::env::temp_dir().join(name);
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create_new(true).open(&path);
    let mut file = file.expect("made");
    std::fs::remove_file(&path).expect("removed");
    file.write_all(b"short").expect("written");
    BodySource::file(file)
}
