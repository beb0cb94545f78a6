//! The smallest servers of the course, and which of their lines does what a recording tells.

/// A file of `docs/io-models/minimal`.
pub struct Excerpt {
    /// Its name.
    pub file: &'static str,
    text: &'static str,
    /// Words that one line has, and the events at which that line runs: the names of calls and
    /// kinds in recordings.
    marks: &'static [(&'static str, &'static [&'static str])],
}

macro_rules! excerpt {
    ($file:literal, $($words:literal => $events:expr),* $(,)?) => {
        Excerpt {
            file: $file,
            text: include_str!(concat!("../../docs/io-models/minimal/", $file)),
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

/// What the course shows of a model.
pub fn of(model: &str) -> &'static [Excerpt] {
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
                            .skip_while(|(line, _)| line.starts_with("//")),
                    );
                }
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MODELS;

    #[test]
    fn each_mark_is_on_one_line_and_every_classic_model_has_an_excerpt() {
        for row in MODELS.iter().filter(|row| !row.name.starts_with("tokio")) {
            let excerpts = of(row.name);
            assert!(!excerpts.is_empty(), "{}", row.name);
            for excerpt in excerpts {
                for (words, events) in excerpt.marks {
                    let lines = excerpt.lines();
                    let marked = lines.iter().filter(|(line, _)| line.contains(words));
                    assert_eq!(marked.count(), 1, "{}: {words}", excerpt.file);
                    assert!(!events.is_empty());
                }
            }
        }
    }
}
