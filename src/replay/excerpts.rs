//! The smallest servers of the course, and which of their lines does what a recording tells.

use crate::recording::{Kind, Recording, Syscall, Table};

/// A file of `docs/io-models`.
pub struct Excerpt {
    /// Its name.
    pub file: &'static str,
    text: &'static str,
    /// Words that one line has, and the events at which that line runs: the names of calls and
    /// kinds in recordings.
    marks: &'static [(&'static str, &'static [&'static str])],
}

macro_rules! excerpt {
    ($file:literal, $($rest:tt)*) => { excerpt!(in "minimal/", $file, $($rest)*) };
    (in $folder:literal, $file:literal, $($words:literal => $events:expr),* $(,)?) => {
        Excerpt {
            file: $file,
            text: include_str!(concat!("../../docs/io-models/", $folder, $file)),
            marks: &[$(($words, &$events)),*],
        }
    };
}

const SENDS: [&str; 3] = ["send", "sendmsg", "sendfile"];

/// What `answer` does for a client that is ready.
const ANSWER: Excerpt = excerpt!("client.rs",
    "pub fn answer(" => ["turn"],
    "match client.read(&mut buffer)" => ["recv"],
    "Ok(0) | Err(_) => false" => ["closed"],
    "client.write_all(&buffer[..count]).is_ok()" => SENDS,
);

/// What a loop does for a client that may not read: it never waits for it.
const ADVANCE: Excerpt = excerpt!(in "exercises/", "buffered.rs",
    "pub fn advance(" => ["turn"],
    "self.stream.read(&mut buffer)?" => ["recv"],
    "return Err(io::ErrorKind::UnexpectedEof.into())" => ["closed"],
    "self.stream.write(&self.output)?" => SENDS,
);

/// What `serve` does for one client.
const SERVE: Excerpt = excerpt!("client.rs",
    "pub fn serve(" => ["opened"],
    "let count = client.read(&mut buffer)?" => ["recv", "poll"],
    "return Ok(())" => ["closed"],
    "client.write_all(&buffer[..count])?;" => SENDS,
);

const BLOCKING: &[Excerpt] = &[
    excerpt!("blocking.rs",
        "listener.accept()?" => ["accept4"],
        "client::serve(client);" => ["opened", "recv", "send", "sendmsg", "sendfile", "closed", "poll"],
    ),
    SERVE,
];

const FORKING: &[Excerpt] = &[
    excerpt!("forking.rs",
        "listener.accept()?" => ["accept4"],
        "fork() }?" => ["forked"],
        "ForkResult::Child =>" => ["opened", "recv", "send", "sendmsg", "sendfile", "poll"],
        "ForkResult::Parent" => ["close"],
    ),
    SERVE,
];

const THREADED: &[Excerpt] = &[
    excerpt!("threaded.rs",
        "listener.accept()?" => ["accept4"],
        "client::serve(client)" => ["opened", "recv", "send", "sendmsg", "sendfile", "poll"],
    ),
    SERVE,
];

const POOL: &[Excerpt] = &[
    excerpt!("blocking.rs",
        "listener.accept()?" => ["accept4"],
        "client::serve(client);" => ["opened", "recv", "send", "sendmsg", "sendfile", "closed", "poll"],
    ),
    SERVE,
];

const SELECT: &[Excerpt] = &[
    excerpt!("select.rs",
        "select(None, &mut set" => ["select"],
        "set.fds(None)" => ["found"],
        "answer(client));" => ["turn", "recv", "send", "sendmsg", "sendfile", "step", "closed"],
        "listener.accept()?" => ["accept4", "opened"],
    ),
    ANSWER,
];

const POLL: &[Excerpt] = &[
    excerpt!("poll.rs",
        "poll(&mut list, None)?" => ["poll"],
        "list.iter().map(is_ready)" => ["found"],
        "|| answer(client));" => ["turn", "recv", "send", "sendmsg", "sendfile", "step", "closed"],
        "listener.accept()?" => ["accept4", "opened"],
    ),
    ANSWER,
];

const EPOLL: &[Excerpt] = &[
    excerpt!("epoll.rs",
        "epoll::wait(&epoll" => ["epoll_wait"],
        "for event in &events" => ["found"],
        "listener.accept()?" => ["accept4"],
        "epoll::add(&epoll, &client" => ["epoll_ctl"],
        "clients.insert(key, client);" => ["opened"],
        "answer(&clients[&key])" => ["turn", "recv", "send", "sendmsg", "sendfile", "step"],
        "clients.remove(&key);" => ["close", "closed"],
    ),
    ANSWER,
];

const IO_URING: &[Excerpt] = &[excerpt!("io_uring.rs",
    "ring.submit_and_wait(1)?" => ["io_uring_enter"],
    "for result in results" => ["completed"],
    "clients.insert(key, Client::new(count))" => ["opened"],
    "clients.remove(&key);" => ["close", "closed"],
    "client.next(count as u32)" => ["turn", "step"],
    "queue(&mut ring, &request)?" => ["queued"],
)];

/// The code that does what each of these recordings tells; none where it would do something else.
///
/// All the servers of the course echo, without TLS. Recordings of one model differ in what these
/// servers do not have.
pub fn of_all(recordings: &[&Recording]) -> Vec<Vec<&'static Excerpt>> {
    let model = |one: &Recording| one.fact("model").unwrap_or_default().to_owned();
    let models: Vec<_> = recordings.iter().map(|one| model(one)).collect();
    let has_twin = |model| models.iter().filter(|other| *other == model).count() > 1;
    let both = recordings.iter().zip(&models);
    both.map(|(one, model)| match has_twin(model) {
        true => Vec::new(),
        false => of_one(one, model),
    })
    .collect()
}

fn of_one(recording: &Recording, model: &str) -> Vec<&'static Excerpt> {
    let states = || recording.contents.names.iter();
    let has_tls =
        states().any(|((table, _), name)| *table == Table::States && name == "handshaking");
    let has = |kind| recording.events.iter().any(|one| one.event.kind == kind);
    if has_tls || has(Kind::Request) {
        return Vec::new();
    }
    let finds_no_room = recording.events.iter().any(|one| {
        let sends = [Syscall::Send, Syscall::Sendmsg].map(|call| call as u8);
        let event = &one.event;
        event.kind == Kind::Call && sends.contains(&event.code) && event.value == -11
    });
    let is_answer = |one: &Excerpt| one.marks == ANSWER.marks;
    let chosen = |one: &'static Excerpt| match finds_no_room && is_answer(one) {
        true => &ADVANCE,
        false => one,
    };
    of(model).iter().map(chosen).collect()
}

/// What the course shows of a model.
fn of(model: &str) -> &'static [Excerpt] {
    match model {
        "blocking" => BLOCKING,
        "forking" => FORKING,
        "threaded" => THREADED,
        "pool" => POOL,
        "select" => SELECT,
        "poll" => POLL,
        "epoll" => EPOLL,
        "io-uring" => IO_URING,
        _ => &[],
    }
}

impl Excerpt {
    /// The lines of the functions that marks are in, each with the events at which it runs.
    pub fn lines(&self) -> Vec<(&'static str, &'static [&'static str])> {
        let mut shown = Vec::new();
        let mut function = Vec::new();
        for line in self.text.lines() {
            let mark = self.marks.iter().find(|(words, _)| line.contains(words));
            function.push((line, mark.map_or(&[][..], |(_, events)| *events)));
            // A function or another item ends where a line is not indented.
            if line == "}" || line.is_empty() {
                let item = std::mem::take(&mut function);
                if item.iter().any(|(_, events)| !events.is_empty()) {
                    shown.extend(
                        item.into_iter()
                            .skip_while(|(line, _)| line.trim_start().starts_with("//")),
                    );
                }
            }
        }
        // What ends the last item.
        shown.pop_if(|(line, _)| line.is_empty());
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MODELS;
    use crate::recording::{Contents, Event, Part};

    #[test]
    fn each_mark_is_on_one_line_and_every_classic_model_has_an_excerpt() {
        for row in MODELS.iter().filter(|row| !row.name.starts_with("tokio")) {
            let excerpts = of(row.name);
            assert!(!excerpts.is_empty(), "{}", row.name);
            for excerpt in excerpts.iter().chain([&ADVANCE]) {
                for (words, events) in excerpt.marks {
                    let lines = excerpt.lines();
                    let marked = lines.iter().filter(|(line, _)| line.contains(words));
                    assert_eq!(marked.count(), 1, "{}: {words}", excerpt.file);
                    assert!(!events.is_empty());
                }
            }
        }
    }

    /// A recording of a model, with these events.
    fn recording(model: &str, events: &[Event]) -> Recording {
        let contents = Contents {
            facts: vec![("model".into(), model.into())],
            parts: vec![Part {
                process: 1,
                thread: 1,
                events: events.iter().map(|event| event.to_words()).collect(),
            }],
            ..Contents::default()
        };
        Recording::parse(&contents.to_bytes()).expect("a recording")
    }

    fn files(recordings: &[&Recording]) -> Vec<String> {
        let names =
            |all: Vec<&Excerpt>| all.iter().map(|one| one.file).collect::<Vec<_>>().join(" ");
        of_all(recordings).into_iter().map(names).collect()
    }

    #[test]
    fn code_is_shown_only_where_it_does_what_is_recorded() {
        let send = |value| Event {
            code: Syscall::Send as u8,
            value,
            ..Event::new(Kind::Call, 7)
        };
        let echo = recording("epoll", &[send(5)]);
        let full = recording("epoll", &[send(-11)]);
        let http = recording("epoll", &[Event::new(Kind::Request, 7)]);
        let other = recording("blocking", &[send(5)]);
        assert_eq!(
            files(&[&echo, &other]),
            ["epoll.rs client.rs", "blocking.rs client.rs"]
        );
        assert_eq!(
            files(&[&full]),
            ["epoll.rs buffered.rs"],
            "it must not wait for a client"
        );
        assert_eq!(files(&[&http]), [""], "the course's servers echo");
        assert_eq!(
            files(&[&echo, &full, &other]),
            ["", "", "blocking.rs client.rs"]
        );
    }
}
