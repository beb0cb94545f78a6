//! What a peer sends, and what it may receive.

use super::mixed;
use super::world::{MESSAGES, World, undisturbed};
use evserve::service::Service;
use fastrand::Rng;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

pub struct Script {
    pub input: Vec<u8>,
    pub expected: Expected,
}

pub enum Expected {
    /// Responses one after the other, each in both its forms.
    Responses(Vec<Rc<Response>>),
    /// These bytes, and only the message about a timeout besides.
    Bytes(Vec<u8>),
    /// This head, and then all messages of a stream.
    Stream(Vec<u8>),
    /// The lines of the other members, each member's in order and none left out.
    Chat(Rc<Chat>, usize),
}

pub struct Response {
    staying: Vec<u8>,
    /// The response if the connection is about to close.
    closing: Vec<u8>,
    /// The server closes after it in any case.
    last: bool,
}

/// The members of a chat.
pub struct Chat {
    /// The last line of each member; `None` if it may not get that far.
    last: RefCell<Vec<Option<String>>>,
    /// They send so much that a member may be dropped before its last line.
    is_loud: Cell<bool>,
}

fn http_request(random: &mut Rng) -> String {
    let methods = ["GET", "GET", "GET", "GET", "HEAD", "POST", "BREW"];
    let method = methods[random.usize(..methods.len())];
    let paths = [
        "/0", "/1", "/1k", "/1k", "/100k", "/list/", "/list", "/gone", "/..", "/1/", "/out",
    ];
    let path = paths[random.usize(..paths.len())];
    let versions = [("1.1", "Host: h\r\n"), ("1.0", ""), ("1.1", "")];
    let is_usual = random.u8(..) < 230;
    let (version, host) = versions[if is_usual { 0 } else { random.usize(1..3) }];
    let fill = "x".repeat(match random.u8(..) < 10 {
        true => random.usize(..20_000),
        false => random.usize(..60),
    });
    let connection = match random.u8(..) {
        0..=9 => "Connection: close\r\n",
        10..=29 => "Connection: keep-alive\r\n",
        _ => "",
    };
    let blank = if random.u8(..) < 10 { "\r\n" } else { "" };
    let content = "y".repeat(random.usize(1..3000));
    let length = content.len();
    let (framing, body) = match random.u8(..) {
        0..=19 => (format!("Content-Length: {length}\r\n"), content),
        20..=39 if version == "1.1" => (
            "Transfer-Encoding: chunked\r\n".into(),
            format!("{length:x};z\r\n{content}\r\n1\r\n!\r\n0\r\nT: x\r\n\r\n"),
        ),
        _ => (String::new(), String::new()),
    };
    format!(
        "{blank}{method} {path} HTTP/{version}\r\n{host}A: {fill}\r\n{connection}{framing}\r\n{body}"
    )
}

fn http_requests(random: &mut Rng) -> Vec<String> {
    let count = random.usize(..12);
    (0..count).map(|_| http_request(random)).collect()
}

impl Script {
    pub fn http(world: &World, random: &mut Rng) -> Script {
        let requests = match random.u8(..) < 20 {
            // More responses than a buffer holds.
            true => vec![http_request(random); random.usize(..400)],
            false => http_requests(random),
        };
        Script::requests(world, &world.http, &requests)
    }

    /// Requests of which most have the right password, and the others none.
    #[cfg(feature = "auth")]
    pub fn guarded(world: &World, random: &mut Rng) -> Script {
        let mut requests = http_requests(random);
        for request in requests.iter_mut().filter(|_| random.u8(..) < 230) {
            // me:secret
            let fields = "Authorization: Basic bWU6c2VjcmV0\r\nA: ";
            *request = request.replacen("A: ", fields, 1);
        }
        Script::requests(world, &world.guarded.service, &requests)
    }

    /// Requests to a service of http, and its responses.
    fn requests(world: &World, service: &Arc<dyn Service>, requests: &[String]) -> Script {
        let mut known = HashMap::new();
        let answers = requests.iter().map(|request| {
            let answer = known.entry(request).or_insert_with(|| {
                let (staying, last) = undisturbed(world, service, request, false);
                let (closing, _) = undisturbed(world, service, request, true);
                Rc::new(Response {
                    staying,
                    closing,
                    last,
                })
            });
            answer.clone()
        });
        Script {
            expected: Expected::Responses(answers.collect()),
            input: requests.concat().into_bytes(),
        }
    }

    /// The same behind a proxy.
    pub fn proxied(world: &World, random: &mut Rng) -> Script {
        let mut script = Script::http(world, random);
        let header = b"PROXY TCP4 192.0.2.7 10.0.0.1 258 80\r\n";
        script.input.splice(0..0, header.iter().copied());
        script
    }

    pub fn echo(random: &mut Rng) -> Script {
        let mut input = vec![0; random.usize(..200_000)];
        random.fill(&mut input);
        Script {
            expected: Expected::Bytes(input.clone()),
            input,
        }
    }

    pub fn mixed(world: &World, random: &mut Rng) -> Script {
        let input = mixed::input(random);
        let expected = Expected::Bytes(mixed::output(&input, &world.stretches.content));
        Script { input, expected }
    }

    /// Requests a stream, which ends with its last message.
    pub fn stream(head: Vec<u8>, request: &str) -> Script {
        Script {
            input: request.into(),
            expected: Expected::Stream(head),
        }
    }

    /// Joins the chat and sends some lines.
    pub fn chat(chat: &Rc<Chat>, random: &mut Rng) -> Script {
        let mut last = chat.last.borrow_mut();
        // Some send more than a member may be behind.
        let most = [30, 300][usize::from(random.u8(..) < 8)];
        let (me, count) = (last.len(), random.usize(..most));
        chat.is_loud.set(chat.is_loud.get() || count > 30);
        let mut input = String::new();
        for number in 0..count {
            input += &format!("{}\n", line(me, number));
        }
        if random.u8(..) < 60 {
            input += "/quit\n";
        }
        // A silent member has no last line to wait for.
        last.push((count > 0).then(|| format!(": {}\r\n", line(me, count - 1))));
        Script {
            input: input.into_bytes(),
            expected: Expected::Chat(chat.clone(), me),
        }
    }

    /// True if the session may cut the connection off.
    pub fn may_abort(&self) -> bool {
        matches!(self.expected, Expected::Bytes(_) | Expected::Chat(..))
    }

    /// True once a peer that has sent everything has nothing more to wait for.
    pub fn may_leave(&self, heard: &[u8]) -> bool {
        match &self.expected {
            Expected::Responses(_) | Expected::Bytes(_) => true,
            Expected::Stream(head) => heard == [&head[..], MESSAGES.concat().as_bytes()].concat(),
            Expected::Chat(chat, me) => {
                let last = chat.last.borrow();
                let mut others = last.iter().enumerate().filter(|(one, _)| one != me);
                others.all(|(_, last)| last.as_ref().is_none_or(|last| contains(heard, last)))
            }
        }
    }

    /// The peer leaves. If not all of its input was taken, no member waits for its last line.
    pub fn leave(&self, all_taken: bool) {
        if let Expected::Chat(chat, me) = &self.expected
            && (!all_taken || chat.is_loud.get())
        {
            chat.last.borrow_mut()[*me] = None;
        }
    }

    /// True if a connection that ended by itself may have brought these bytes. `hurried` is true if
    /// responses were to close the connection early at some time.
    pub fn may_end_with(&self, heard: &[u8], hurried: bool, all_said: bool) -> bool {
        let answers = match &self.expected {
            Expected::Responses(answers) => answers,
            Expected::Bytes(all) => return heard == *all || (hurried && all.starts_with(heard)),
            Expected::Stream(_) => return self.may_leave(heard) || hurried,
            Expected::Chat(..) => return self.may_begin_with(heard),
        };
        let mut rest = heard;
        for answer in answers {
            if hurried && (rest.is_empty() || rest == answer.closing) {
                return true;
            }
            match rest.strip_prefix(&answer.staying[..]) {
                Some(_) if answer.last => return rest == answer.staying,
                Some(after) => rest = after,
                None => return rest.is_empty() && !all_said,
            }
        }
        rest.is_empty()
    }

    /// True if a connection that was cut off anywhere may have brought these bytes.
    pub fn may_begin_with(&self, heard: &[u8]) -> bool {
        let answers = match &self.expected {
            Expected::Responses(answers) => answers,
            Expected::Bytes(all) => return begins(all, heard, mixed::LATE),
            Expected::Stream(head) => {
                let all = [&head[..], MESSAGES.concat().as_bytes()].concat();
                return begins(&all, heard, b"") || is_timeout(heard);
            }
            Expected::Chat(chat, _) => return in_order(heard, chat.last.borrow().len()),
        };
        let mut rest = heard;
        for answer in answers {
            if answer.staying.starts_with(rest) || answer.closing.starts_with(rest) {
                return true;
            }
            match rest.strip_prefix(&answer.staying[..]) {
                Some(after) if !answer.last => rest = after,
                _ => return is_timeout(rest),
            }
        }
        is_timeout(rest)
    }
}

impl Chat {
    pub fn new() -> Rc<Chat> {
        Rc::new(Chat {
            last: RefCell::default(),
            is_loud: Cell::new(false),
        })
    }
}

/// A line of a member; their lengths differ.
fn line(member: usize, number: usize) -> String {
    let fill = "z".repeat((number * number * 3 + 1).min(4000));
    format!("m{member} {number} {fill}")
}

/// True if `heard` is a prefix of `all`, or `all` and a prefix of `late`.
fn begins(all: &[u8], heard: &[u8], late: &[u8]) -> bool {
    let least = heard.len().saturating_sub(late.len());
    (least..=heard.len()).any(|at| all.starts_with(&heard[..at]) && late.starts_with(&heard[at..]))
}

/// True if the lines of each member are consecutive.
fn in_order(heard: &[u8], members: usize) -> bool {
    let heard = String::from_utf8_lossy(heard);
    (0..members).all(|member| {
        let mark = format!(": m{member} ");
        let whole = heard
            .split_inclusive("\r\n")
            .filter(|l| l.ends_with("\r\n"));
        let numbers = whole.filter_map(|one| {
            let (_, rest) = one.trim_end_matches("\r\n").split_once(&mark)?;
            let number = rest.split(' ').next()?.parse::<usize>().ok()?;
            assert_eq!(format!("m{member} {rest}"), line(member, number), "whole");
            Some(number)
        });
        let numbers: Vec<_> = numbers.collect();
        numbers.windows(2).all(|two| two[0] + 1 == two[1])
    })
}

fn contains(heard: &[u8], text: &str) -> bool {
    memchr::memmem::find(heard, text.as_bytes()).is_some()
}

/// A response about a timeout of the peer or of the file system.
fn is_timeout(heard: &[u8]) -> bool {
    let expected: [&[u8]; 2] = [
        b"HTTP/1.1 408 Request Timeout\r\n",
        b"HTTP/1.1 503 Service Unavailable\r\n",
    ];
    let matches = |one: &&[u8]| heard.starts_with(one) || one.starts_with(heard);
    expected.iter().any(matches)
}
