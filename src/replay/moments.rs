//! Finds moments of recordings by words, and figures of them.

use crate::recording::{Contents, Event, FormatError, Kind, Recorded, Recording, Table};
use std::collections::HashMap;
use std::fmt;

/// The names of recordings that are shown together.
pub const LETTERS: [char; 3] = ['A', 'B', 'C'];

/// The fact with the process whose threads are the clients. Their numbers are those of the threads.
const CLIENTS: &str = "clients";

/// The recordings of a page.
pub struct Moments {
    sides: Vec<Side>,
}

struct Side {
    /// The events are in the order in which they had happened, as the page tells them.
    recording: Recording,
    /// For each event, when it had happened, in nanoseconds.
    ends: Vec<i64>,
    /// For each event, how many of its thread came before it.
    places: Vec<usize>,
    /// For each event of kind call, whether its thread slept in it.
    sleeps: Vec<bool>,
    /// The process and the thread of each loop.
    loops: Vec<(u32, u32)>,
    /// The process of the clients.
    clients: Option<u32>,
}

/// An event of a recording.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    /// The number of its recording.
    pub side: usize,
    /// The event.
    pub event: &'a Recorded,
    /// How many events of its thread came before it.
    pub place: usize,
    /// When it had happened, in nanoseconds.
    pub end: i64,
}

/// A figure of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    /// In nanoseconds.
    Time(i64),
    /// In bytes.
    Size(i64),
    /// Anything that is counted.
    Count(i64),
}

impl Moments {
    /// Reads the recordings.
    ///
    /// # Errors
    /// The number of the first one that cannot be read, and why.
    pub fn read(recordings: &[&[u8]]) -> Result<Moments, (usize, FormatError)> {
        let sides = recordings.iter().enumerate();
        let sides = sides.map(|(index, bytes)| Side::read(bytes).map_err(|error| (index, error)));
        sides
            .collect::<Result<_, _>>()
            .map(|sides| Moments { sides })
    }

    /// The recordings, in their order.
    pub fn recordings(&self) -> Vec<&Recording> {
        self.sides.iter().map(|side| &side.recording).collect()
    }

    /// The moment that these words mean, such as `A call recv #1 :last`.
    ///
    /// # Errors
    /// A sentence, if they mean none.
    pub fn find(&self, words: &str) -> Result<Moment<'_>, String> {
        let query = Query::read(words);
        let all = self.all(&query)?;
        let took = |moment: &&Moment| duration(moment.event);
        let choice = query.choice.unwrap_or("1");
        let found = match choice {
            "last" => all.last(),
            "longest" => all.iter().max_by_key(took),
            "shortest" => all.iter().min_by_key(took),
            number => {
                let number = number.parse::<usize>();
                let number = number.map_err(|_| format!("“:{choice}” is not understood"))?;
                all.get(number.wrapping_sub(1))
            }
        };
        let none = || format!("the recording has {} of “{words}”", all.len());
        found.copied().ok_or_else(none)
    }

    /// The figure that these words mean, such as `took A call recv #1`.
    ///
    /// # Errors
    /// A sentence, if they mean none.
    pub fn figure(&self, words: &str) -> Result<Figure, String> {
        let (what, of) = words.split_once(' ').unwrap_or((words, ""));
        match what {
            "took" => Ok(Figure::Time(duration(self.find(of)?.event))),
            "value" => Ok(Figure::Count(self.find(of)?.event.event.value)),
            "size" => Ok(Figure::Size(self.find(of)?.event.event.value)),
            "count" => Ok(Figure::Count(self.some(of)?.len() as i64)),
            "total" => Ok(Figure::Time(
                self.some(of)?.iter().map(|one| duration(one.event)).sum(),
            )),
            "bytes" => Ok(Figure::Size(
                self.some(of)?.iter().map(|one| one.event.event.value).sum(),
            )),
            "time" => {
                let (from, to) = of.split_once(" to ").ok_or("“time” needs two moments")?;
                let (from, to) = (self.find(from)?, self.find(to)?);
                Ok(Figure::Time(to.end - from.end))
            }
            _ => Err(format!("“{words}” is no figure")),
        }
    }

    /// The moments at which a figure can be seen: that of a call or a value, or those between which
    /// it counts or measures.
    ///
    /// # Errors
    /// A sentence, if the words mean none.
    pub fn seen_at(&self, figure: &str) -> Result<Vec<Moment<'_>>, String> {
        let (what, of) = figure.split_once(' ').unwrap_or((figure, ""));
        let query = Query::read(of);
        let words: Vec<_> = match what {
            "time" => of.split(" to ").collect(),
            "count" | "total" | "bytes" => query.after.into_iter().chain(query.before).collect(),
            _ => vec![of],
        };
        words.into_iter().map(|words| self.find(words)).collect()
    }

    /// All moments that fit these words, which choose none of them.
    fn some(&self, words: &str) -> Result<Vec<Moment<'_>>, String> {
        let query = Query::read(words);
        match query.choice {
            Some(choice) => Err(format!("“:{choice}” chooses one, where all are meant")),
            None => self.all(&query),
        }
    }

    /// All moments that a query fits, whatever it chooses.
    fn all(&self, query: &Query) -> Result<Vec<Moment<'_>>, String> {
        let (letter, rest) = query.what.split_once(' ').unwrap_or((query.what, ""));
        let side = LETTERS.iter().position(|one| letter == one.to_string());
        let Some((side, known)) = side.and_then(|side| Some((side, self.sides.get(side)?))) else {
            return Err(format!(
                "“{}” does not begin with the letter of a recording",
                query.what
            ));
        };
        let wanted = Wanted::read(rest)?;
        let bound = |words: Option<&str>| {
            let Some(words) = words else {
                return Ok(None);
            };
            match self.find(words)? {
                bound if bound.side == side => Ok(Some(bound)),
                _ => Err(format!("“{words}” is of another recording")),
            }
        };
        let (after, before) = (bound(query.after)?, bound(query.before)?);
        let moment = |index: usize| Moment {
            side,
            event: &known.recording.events[index],
            place: known.places[index],
            end: known.ends[index],
        };
        let is_between = |one: &Moment| {
            after.is_none_or(|bound| one.is_after(&bound))
                && before.is_none_or(|bound| bound.is_after(one))
        };
        let indexes = 0..known.recording.events.len();
        let fit = indexes.filter(|index| known.fits(*index, &wanted));
        Ok(fit.map(moment).filter(is_between).collect())
    }
}

impl Moment<'_> {
    /// True if the events are the same one.
    pub fn is(&self, other: &Moment) -> bool {
        self.side == other.side && self.thread() == other.thread() && self.place == other.place
    }

    fn is_after(&self, other: &Moment) -> bool {
        match self.thread() == other.thread() {
            true => self.place > other.place,
            false => self.end >= other.end,
        }
    }

    fn thread(&self) -> (u32, u32) {
        (self.event.process, self.event.thread)
    }
}

/// Words for moments: `WHAT :CHOICE after MOMENT before MOMENT`, of which only the first is needed.
struct Query<'a> {
    what: &'a str,
    choice: Option<&'a str>,
    after: Option<&'a str>,
    before: Option<&'a str>,
}

impl<'a> Query<'a> {
    fn read(words: &'a str) -> Query<'a> {
        let (head, after, before) = match words.split_once(" after ") {
            Some((head, bounds)) if !head.contains(" before ") => {
                match bounds.split_once(" before ") {
                    Some((after, before)) => (head, Some(after), Some(before)),
                    None => (head, Some(bounds), None),
                }
            }
            _ => match words.split_once(" before ") {
                Some((head, before)) => (head, None, Some(before)),
                None => (words, None, None),
            },
        };
        let (what, choice) = match head.rsplit_once(" :") {
            Some((what, choice)) => (what, Some(choice)),
            None => (head, None),
        };
        Query {
            what,
            choice,
            after,
            before,
        }
    }
}

impl Side {
    fn read(bytes: &[u8]) -> Result<Side, FormatError> {
        let mut recording = Recording::parse(bytes)?;
        let (events, ends) = in_order(recording.events);
        recording.events = events;
        let mut counts: HashMap<(u32, u32), usize> = HashMap::new();
        let mut waits: HashMap<(u32, u32), bool> = HashMap::new();
        let (mut places, mut sleeps) = (Vec::new(), Vec::new());
        for one in &recording.events {
            let thread = (one.process, one.thread);
            let count = counts.entry(thread).or_default();
            places.push(*count);
            *count += 1;
            // A call that may wait is announced, with the longest time.
            sleeps.push(waits.remove(&thread).unwrap_or(false));
            if one.event.kind == Kind::Waits {
                waits.insert(thread, one.event.value != 0);
            }
        }
        let mut loops = Vec::new();
        for part in Contents::from_bytes(bytes)?.parts {
            let thread = (part.process, part.thread);
            let waits_for_many = |words: &[u64; 4]| {
                let kinds = [Kind::Found, Kind::Completed];
                Event::from_words(*words).is_ok_and(|event| kinds.contains(&event.kind))
            };
            if part.events.iter().any(waits_for_many) && !loops.contains(&thread) {
                loops.push(thread);
            }
        }
        let clients = recording
            .fact(CLIENTS)
            .and_then(|process| process.parse().ok());
        Ok(Side {
            recording,
            ends,
            places,
            sleeps,
            loops,
            clients,
        })
    }

    fn fits(&self, index: usize, wanted: &Wanted) -> bool {
        let one = &self.recording.events[index];
        let (event, thread) = (&one.event, (one.process, one.thread));
        let is_by = match wanted.by {
            By::Server => Some(one.process) != self.clients,
            By::Client(number) => Some(one.process) == self.clients && one.thread == number,
            By::Loop(number) => self.loops.get(number.wrapping_sub(1)) == Some(&thread),
        };
        is_by
            && event.kind == wanted.kind
            && wanted.name.as_ref().is_none_or(|name| {
                table(event.kind).is_some_and(|table| {
                    self.recording.name(table, event.code).replace(' ', "_") == *name
                })
            })
            && wanted
                .connection
                .is_none_or(|number| one.connection == Some(number))
            && wanted.value.is_none_or(|value| event.value == value)
            && wanted.above.is_none_or(|value| event.value > value)
            && wanted
                .sleeps
                .is_none_or(|sleeps| self.sleeps[index] == sleeps)
    }
}

/// Whose events.
enum By {
    Server,
    Client(u32),
    Loop(usize),
}

/// What a moment is to be like.
struct Wanted {
    kind: Kind,
    by: By,
    /// With `_` for spaces.
    name: Option<String>,
    connection: Option<u64>,
    value: Option<i64>,
    above: Option<i64>,
    sleeps: Option<bool>,
}

impl Wanted {
    fn read(words: &str) -> Result<Wanted, String> {
        let (kind, rest) = words.split_once(' ').unwrap_or((words, ""));
        let kind = Kind::ALL.iter().find(|one| one.name() == kind);
        let mut wanted = Wanted {
            kind: *kind.ok_or_else(|| format!("“{words}” does not begin with a kind of events"))?,
            by: By::Server,
            name: None,
            connection: None,
            value: None,
            above: None,
            sleeps: None,
        };
        for word in rest.split_whitespace() {
            let number = word.trim_start_matches(|c: char| !c.is_ascii_digit() && c != '-');
            let number = || {
                number
                    .parse()
                    .map_err(|_| format!("“{word}” is not understood"))
            };
            match word {
                "asleep" => wanted.sleeps = Some(true),
                "awake" => wanted.sleeps = Some(false),
                _ if word.starts_with('#') => wanted.connection = Some(number()? as u64),
                _ if word.starts_with('@') => wanted.by = By::Client(number()? as u32),
                _ if word.starts_with('%') => wanted.by = By::Loop(number()? as usize),
                _ if word.starts_with('=') => wanted.value = Some(number()?),
                _ if word.starts_with('>') => wanted.above = Some(number()?),
                _ => wanted.name = Some(word.into()),
            }
        }
        Ok(wanted)
    }
}

/// The table that an event's code is from.
fn table(kind: Kind) -> Option<Table> {
    Some(match kind {
        Kind::Call | Kind::Waits => Table::Calls,
        Kind::Found => Table::Sources,
        Kind::Queued | Kind::Completed => Table::Operations,
        Kind::Stop => Table::Reasons,
        Kind::Step => Table::States,
        Kind::Closed => Table::Ends,
        Kind::Expired => Table::Deadlines,
        _ => return None,
    })
}

/// The events in the order in which they had happened, and when that was, in nanoseconds.
fn in_order(events: Vec<Recorded>) -> (Vec<Recorded>, Vec<i64>) {
    let mut latest: HashMap<(u32, u32), i64> = HashMap::new();
    let ended = |one: Recorded| {
        let latest = latest.entry((one.process, one.thread)).or_default();
        *latest = (one.event.at as i64 + duration(&one)).max(*latest);
        (one, *latest)
    };
    let mut all: Vec<_> = events.into_iter().map(ended).collect();
    all.sort_by_key(|(_, end)| *end);
    all.into_iter().unzip()
}

/// How long a call took, in nanoseconds.
fn duration(one: &Recorded) -> i64 {
    match one.event.kind {
        Kind::Call => one.event.extra as i64,
        _ => 0,
    }
}

impl Figure {
    /// The number, in nanoseconds, bytes or as such.
    pub fn number(self) -> i64 {
        match self {
            Figure::Time(number) | Figure::Size(number) | Figure::Count(number) => number,
        }
    }
}

/// As the page's own sentences say it (words.js), so that a text and the moment it names agree.
impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, units): (i64, &[(f64, &str)]) = match *self {
            Figure::Time(number) => (number, &[(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")]),
            Figure::Size(number) => (number, &[(1048576.0, "MiB"), (1024.0, "KiB"), (1.0, "B")]),
            Figure::Count(number) => return write!(f, "{number}"),
        };
        let fits = |(size, _): &&(f64, &str)| number.unsigned_abs() as f64 >= *size;
        let Some((size, unit)) = units.iter().find(fits).or(units.last()) else {
            return Ok(());
        };
        let value = number as f64 / size;
        let digits = match value.abs() {
            _ if *size == 1.0 => 0,
            value if value >= 100.0 => 0,
            value if value >= 10.0 => 1,
            _ => 2,
        };
        let words = format!("{value:.digits$}");
        let words = match words.contains('.') {
            true => words.trim_end_matches('0').trim_end_matches('.'),
            false => &words,
        };
        write!(f, "{words} {unit}")
    }
}
