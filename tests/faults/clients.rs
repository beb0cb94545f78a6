//! Clients that know what they must receive, and report what they got. Wrong bytes fail the test at
//! once. An incomplete response is reported; the caller judges it.

use crate::common::{PATIENCE, pattern};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::thread;

/// The lengths of the files: a small one, one longer than what is copied behind a head, and one
/// sent by sendfile(2).
pub const FILES: [usize; 3] = [1_000, 40_000, 300_000];

/// The length of a file that no socket takes as a whole.
pub const LARGE: usize = 12_000_000;

/// What a client received. A worse fate is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Everything, and nothing else.
    Whole,
    /// The server refused one request for now; everything else came.
    Refused,
    /// The connection ended early; all bytes before that were right.
    CutOff,
}

/// A connection for requests and responses.
struct HttpConnection {
    stream: TcpStream,
    pending: Vec<u8>,
}

/// The connection ended.
struct Ended;

pub fn connect(address: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect(address).ok()?;
    stream.set_nodelay(true).expect("a socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
    Some(stream)
}

/// Reads until the end, or until `enough` is true.
fn read_until(
    mut stream: &TcpStream,
    into: &mut Vec<u8>,
    enough: impl Fn(&[u8]) -> bool,
) -> Result<(), Ended> {
    let mut buffer = vec![0; 65536];
    while !enough(into) {
        match stream.read(&mut buffer) {
            Ok(0) => return Err(Ended),
            Ok(count) => into.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Err(Ended),
            Err(error) => panic!("nothing more comes after {} bytes: {error}", into.len()),
        }
    }
    Ok(())
}

fn get(name: &str, connection: &str) -> String {
    format!("GET /{name} HTTP/1.1\r\nHost: h\r\nConnection: {connection}\r\n\r\n")
}

impl HttpConnection {
    /// Reads the response to a request for `name`. The second value is true if the server closes
    /// after it.
    fn answer(&mut self, name: &str) -> Result<(Fate, bool), Ended> {
        let begins_well = |bytes: &[u8]| {
            let expected = b"HTTP/1.1 ";
            let length = bytes.len().min(expected.len());
            assert!(
                bytes[..length] == expected[..length],
                "no answer: {:?}",
                String::from_utf8_lossy(bytes)
            );
        };
        let end_of_head = |bytes: &[u8]| bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let result = read_until(&self.stream, &mut self.pending, |bytes| {
            end_of_head(bytes).is_some()
        });
        begins_well(&self.pending);
        result?;
        let end = end_of_head(&self.pending).expect("it was found") + 4;
        let head = String::from_utf8(self.pending.drain(..end).collect()).expect("ASCII");
        let length = head.split("Content-Length: ").nth(1).expect("a length");
        let length = length.split('\r').next().and_then(|l| l.parse().ok());
        let length: usize = length.expect("a number");
        let result = read_until(&self.stream, &mut self.pending, |bytes| {
            bytes.len() >= length
        });
        let body: Vec<u8> = self
            .pending
            .drain(..length.min(self.pending.len()))
            .collect();
        let fate = match &head[9..12] {
            "200" => {
                let size = name.parse().expect("files are called by their length");
                let content = pattern(size);
                assert_eq!(length, size, "{head}");
                assert!(content.starts_with(&body), "wrong bytes of {name}");
                Fate::Whole
            }
            "404" if name == "none" => Fate::Whole,
            "500" | "503" => Fate::Refused,
            _ => panic!("a wrong answer for {name}: {head}"),
        };
        result.map(|()| (fate, head.contains("\r\nConnection: close\r\n")))
    }
}

/// Sends requests of several kinds: pipelined in one write, in pieces, for a large file, and a last
/// one.
pub fn request_everything(address: SocketAddr) -> Fate {
    let steps: [(&[&str], &[&str]); 4] = [
        (&["1000", "40000", "none"], &[]),
        (
            &["1000"],
            &["GET /1000 HT", "TP/1.1\r\nHos", "t: h\r\n\r", "\n"],
        ),
        (&["300000"], &[]),
        (&["40000"], &[&get("40000", "close")]),
    ];
    let mut worst = Fate::Whole;
    let mut line: Option<HttpConnection> = None;
    for (names, parts) in steps {
        let mut left = names;
        let all_at_once: String = names.iter().map(|name| get(name, "keep-alive")).collect();
        let mut parts = match parts {
            [] => vec![all_at_once],
            parts => parts.iter().map(ToString::to_string).collect(),
        };
        while !left.is_empty() {
            let here = match line.take() {
                Some(here) => line.insert(here),
                None => match connect(address) {
                    Some(stream) => line.insert(HttpConnection {
                        stream,
                        pending: Vec::new(),
                    }),
                    None => return Fate::CutOff,
                },
            };
            for part in &parts {
                // If it cannot be sent, no response will come.
                let _ = here.stream.write_all(part.as_bytes());
            }
            while let [name, others @ ..] = left {
                let Ok((fate, closes)) = here.answer(name) else {
                    return Fate::CutOff;
                };
                worst = worst.max(fate);
                left = others;
                if closes {
                    // The remaining requests must be sent again on a new connection.
                    let end = read_until(&here.stream, &mut here.pending, |_| false);
                    assert!(
                        end.is_err() && here.pending.is_empty(),
                        "bytes behind the last response"
                    );
                    line = None;
                    break;
                }
            }
            parts = left.iter().map(|name| get(name, "keep-alive")).collect();
        }
    }
    assert!(
        line.is_none(),
        "the server must close after the last response"
    );
    worst
}

/// Sends 100 kB to echo and reads them back.
pub fn echo(address: SocketAddr) -> Fate {
    let bytes = pattern(100_000);
    let Some(stream) = connect(address) else {
        return Fate::CutOff;
    };
    let mut got = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = (&stream).write_all(&bytes);
            let _ = stream.shutdown(Shutdown::Write);
        });
        let _ = read_until(&stream, &mut got, |_| false);
        // Also ends the sender, wherever it is.
        let _ = stream.shutdown(Shutdown::Both);
    });
    assert!(bytes.starts_with(&got), "wrong bytes from echo");
    match got.len() == bytes.len() {
        true => Fate::Whole,
        false => Fate::CutOff,
    }
}

/// Requests a large file, and sends as much to echo. Reads what comes only after `wait`.
pub fn read_late(http: SocketAddr, echo: SocketAddr, wait: impl Fn()) -> Vec<Fate> {
    let (Some(file), Some(echoed)) = (connect(http), connect(echo)) else {
        return vec![Fate::CutOff];
    };
    let bytes = pattern(LARGE);
    let (mut got_file, mut got_echo) = (Vec::new(), Vec::new());
    let request = get(&LARGE.to_string(), "close");
    let _ = (&file).write_all(request.as_bytes());
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = (&echoed).write_all(&bytes);
            let _ = echoed.shutdown(Shutdown::Write);
        });
        wait();
        let _ = read_until(&file, &mut got_file, |_| false);
        let _ = read_until(&echoed, &mut got_echo, |_| false);
        let _ = echoed.shutdown(Shutdown::Both);
    });
    let body = got_file.windows(4).position(|four| four == b"\r\n\r\n");
    let body = body.map_or(&[][..], |end| &got_file[end + 4..]);
    assert!(bytes.starts_with(body), "wrong bytes of the file");
    assert!(bytes.starts_with(&got_echo), "wrong bytes from echo");
    let fate = |is_whole| match is_whole {
        true => Fate::Whole,
        false => Fate::CutOff,
    };
    vec![
        fate(body.len() == bytes.len()),
        fate(got_echo.len() == bytes.len()),
    ]
}

/// Sends a line to echo and reads it back. Returns false if the connection ends instead.
pub fn echo_line(address: SocketAddr) -> bool {
    let mut stream = connect(address).expect("it listens");
    // If it cannot be sent, nothing comes back.
    let _ = stream.write_all(b"a line\n");
    let mut got = Vec::new();
    let result = read_until(&stream, &mut got, |bytes| bytes.len() == 7);
    assert!(b"a line\n".starts_with(&got), "wrong bytes from echo");
    result.is_ok()
}

/// A member of a chat.
struct Member {
    name: String,
    stream: TcpStream,
    heard: Vec<u8>,
    fate: Fate,
}

impl Member {
    /// Reads until one of the texts has come.
    fn listen(&mut self, texts: &[&str]) {
        let is_said = |heard: &[u8]| {
            let heard = String::from_utf8_lossy(heard);
            texts.iter().any(|text| heard.contains(text))
        };
        if self.fate == Fate::Whole && read_until(&self.stream, &mut self.heard, is_said).is_err() {
            self.fate = Fate::CutOff;
        }
    }
}

/// Three members send three lines each in turn and read those of the others.
pub fn chat(address: SocketAddr) -> Vec<Fate> {
    const LINES: usize = 3;
    let join = |_| {
        let mut member = Member {
            name: "nobody".into(),
            stream: connect(address).expect("it listens"),
            heard: Vec::new(),
            fate: Fate::Whole,
        };
        member.listen(&["\n"]);
        if member.fate == Fate::Whole {
            let greeting = String::from_utf8_lossy(&member.heard);
            let name = greeting.strip_prefix("* you are ").expect("a greeting");
            member.name = name.split(';').next().expect("a name").into();
        }
        member
    };
    let mut members: Vec<_> = (0..3).map(join).collect();
    // If a member was cut off before all had joined, the others never read that it left.
    for member in &mut members {
        let _ = member.stream.write_all(b"/dance\n");
        member.listen(&["* unknown command /dance"]);
    }
    for line in 0..LINES {
        for speaker in 0..members.len() {
            if members[speaker].fate == Fate::CutOff {
                continue;
            }
            let _ = members[speaker]
                .stream
                .write_all(format!("line {line}\n").as_bytes());
            let name = members[speaker].name.clone();
            let (said, left) = (format!("{name}: line {line}\r\n"), format!("* {name} left"));
            for (index, listener) in members.iter_mut().enumerate() {
                if index != speaker {
                    listener.listen(&[&said, &left]);
                }
            }
        }
    }
    for member in &mut members {
        let _ = member.stream.write_all(b"/quit\n");
        member.listen(&["* goodbye\r\n"]);
    }
    for member in &members {
        for other in members.iter().filter(|other| other.name != member.name) {
            let from = format!("{}: ", other.name);
            let text = String::from_utf8_lossy(&member.heard);
            let heard: Vec<_> = text.lines().filter_map(|l| l.strip_prefix(&from)).collect();
            let all = (0..LINES).map(|line| format!("line {line}"));
            assert!(
                all.clone().zip(&heard).all(|(said, heard)| said == *heard),
                "{text}"
            );
            assert!(heard.len() <= LINES, "{text}");
            let both_whole = member.fate == Fate::Whole && other.fate == Fate::Whole;
            assert!(heard.len() == LINES || !both_whole, "{text}");
        }
    }
    members.into_iter().map(|member| member.fate).collect()
}

/// Sends datagrams to echo one after the other, and two more to learn that all before them were
/// handled. Only one call fails, so one of the two comes back.
pub fn datagrams(address: SocketAddr) -> Fate {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(address).expect("an address");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let said: Vec<_> = (0..5).map(|number| pattern(1000 + number)).collect();
    let ends: Vec<_> = (10..12).map(pattern).collect();
    for datagram in said.iter().chain(&ends) {
        socket.send(datagram).expect("sent");
    }
    let mut came = Vec::new();
    let mut buffer = [0; 2000];
    loop {
        let count = socket.recv(&mut buffer).expect("one of the last two");
        let datagram = buffer[..count].to_vec();
        if ends.contains(&datagram) {
            break;
        }
        came.push(datagram);
    }
    let mut left = said.iter();
    let in_order = came
        .iter()
        .all(|datagram| left.any(|said| said == datagram));
    assert!(in_order, "wrong datagrams, or in the wrong order");
    match came.len() == said.len() {
        true => Fate::Whole,
        false => Fate::CutOff,
    }
}
