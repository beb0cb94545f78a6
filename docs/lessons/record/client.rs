//! Clients that play a script, and put what they do into the recording of the server.
//!
//! In a recording they are threads of a process of their own, which the fact `clients` names.

use evserve::recording::{Contents, Event, Kind, Part, Syscall, Table};
use rustls::{ClientConnection, Stream};
use socket2::{Domain, Socket, Type};
use std::hint::spin_loop;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// No server is the first process of a system.
const PROCESS: u32 = 1;

/// No call takes longer, or the scene has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// The segments of clients with small buffers, as on an Ethernet. Those of the loopback are so long
/// that their acknowledgements are delayed while a buffer is smaller than one.
const SEGMENT_SIZE: u32 = 1460;

/// How much later a sleep may end than it should. The scenes are compared, so they do not accept it.
const SLEEP_ERROR: Duration = Duration::from_millis(1);

/// What clients do for a while, by number. The replay says that a client "is silent".
pub const SILENT: u8 = 200;
pub const READS_NOTHING: u8 = 201;
pub const STOPS_SERVER: u8 = 202;
const SHAKES_HANDS: u8 = 203;
const WORDS: [(u8, &str); 4] = [
    (SILENT, "is silent"),
    (READS_NOTHING, "reads nothing"),
    (STOPS_SERVER, "sends SIGTERM to the server"),
    (SHAKES_HANDS, "waits for the handshake"),
];

/// Where clients find the server, and when the scene began.
pub struct Stage {
    pub address: SocketAddr,
    began: Instant,
    wall: Duration,
}

/// What a client does, once it is there.
pub type Script<'a> = &'a (dyn Fn(&mut Client) + Sync);

impl Stage {
    pub fn new(address: SocketAddr) -> Stage {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        Stage {
            address,
            began: Instant::now(),
            wall: wall.expect("a clock"),
        }
    }

    /// Plays the scripts at once. Clients are numbered from 1.
    pub fn play(&self, scripts: &[Script]) -> Vec<Client<'_>> {
        scope(|scope| {
            let mut threads = Vec::new();
            for (number, &script) in (1..).zip(scripts) {
                let mut client = Client::new(self, number);
                threads.push(scope.spawn(move || {
                    script(&mut client);
                    client
                }));
            }
            let joined = threads.into_iter().map(|thread| thread.join());
            joined
                .map(|client| client.expect("a client has failed"))
                .collect()
        })
    }

    /// Clients that one thread plays, so that they can do things at the same moment.
    pub fn clients<const N: usize>(&self) -> [Client<'_>; N] {
        std::array::from_fn(|index| Client::new(self, index as u32 + 1))
    }

    /// Adds what the clients have done to the recording of a server.
    pub fn add(&self, recording: &mut Contents, clients: Vec<Client>, names: &[(u32, &str)]) {
        let wall = self.wall.as_nanos() as u64;
        let shift = wall.saturating_sub(recording.wall_clock);
        recording
            .facts
            .push(("clients".into(), PROCESS.to_string()));
        for (number, name) in names {
            recording
                .facts
                .push((format!("client {number}"), (*name).into()));
        }
        for (number, name) in WORDS {
            recording.names.insert((Table::Calls, number), name.into());
        }
        for client in clients {
            let shifted = |event: Event| {
                Event {
                    at: event.at + shift,
                    ..event
                }
                .to_words()
            };
            recording.parts.push(Part {
                process: PROCESS,
                thread: client.number,
                events: client.events.into_iter().map(shifted).collect(),
            });
        }
    }
}

/// A socket that counts the bytes that go through it.
struct Wire<'a> {
    stream: &'a TcpStream,
    bytes: usize,
}

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.bytes += count;
        Ok(count)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.stream.write(bytes)?;
        self.bytes += count;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A client, and what it has done.
pub struct Client<'a> {
    stage: &'a Stage,
    number: u32,
    stream: Option<TcpStream>,
    tls: Option<ClientConnection>,
    /// Connections that stay open.
    idle: Vec<TcpStream>,
    /// Times are since the beginning of the stage.
    events: Vec<Event>,
}

impl<'a> Client<'a> {
    fn new(stage: &'a Stage, number: u32) -> Client<'a> {
        Client {
            stage,
            number,
            stream: None,
            tls: None,
            idle: Vec::new(),
            events: Vec::new(),
        }
    }

    fn now(&self) -> u64 {
        self.stage.began.elapsed().as_nanos() as u64
    }

    /// Notes a call that began then and ends now, and that it waits.
    fn note(&mut self, call: u8, begin: u64, value: i64, waits: bool) {
        let event = |kind| Event {
            at: begin,
            code: call,
            ..Event::new(kind, -1)
        };
        if waits {
            self.events.push(Event {
                value: -1,
                ..event(Kind::Waits)
            });
        }
        let extra = self.now() - begin;
        self.events.push(Event {
            value,
            extra,
            ..event(Kind::Call)
        });
    }

    /// Waits until this time of the scene, before the client is there.
    pub fn comes_at(&self, ms: u64) {
        let (time, began) = (Duration::from_millis(ms), self.stage.began);
        sleep(time.saturating_sub(began.elapsed() + SLEEP_ERROR));
        while began.elapsed() < time {
            spin_loop();
        }
    }

    pub fn connect(&mut self) {
        self.connect_with(0);
    }

    /// Connects with a buffer of this size for receiving in the kernel, and with small segments; 0
    /// leaves both as they are.
    pub fn connect_with(&mut self, buffers: usize) {
        let begin = self.now();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        if buffers > 0 {
            socket.set_recv_buffer_size(buffers).expect("a size");
            socket.set_tcp_mss(SEGMENT_SIZE).expect("a size");
        }
        socket
            .connect(&self.stage.address.into())
            .expect("the server listens");
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        self.stream = Some(stream);
        self.note(Syscall::Connect as u8, begin, 0, false);
    }

    /// Tries to connect to a server that listens no longer.
    pub fn try_to_connect(&mut self) {
        let begin = self.now();
        let result = TcpStream::connect(self.stage.address);
        let value =
            result.map_or_else(|error| -i64::from(error.raw_os_error().unwrap_or(1)), |_| 0);
        self.note(Syscall::Connect as u8, begin, value, false);
    }

    /// Makes a TLS handshake, and encrypts what follows.
    pub fn encrypt(&mut self, mut tls: ClientConnection) {
        let begin = self.now();
        let sent = tls.write_tls(&mut self.stream()).expect("sent");
        self.note(Syscall::Send as u8, begin, sent as i64, false);
        let begin = self.now();
        tls.complete_io(&mut self.stream()).expect("a handshake");
        self.tls = Some(tls);
        self.note(SHAKES_HANDS, begin, 0, true);
    }

    /// Stays idle until the server closes the connection.
    pub fn stay_idle(&mut self) {
        let begin = self.now();
        self.stream()
            .set_read_timeout(Some(PATIENCE))
            .expect("a socket");
        assert_eq!({ self.stream() }.read(&mut [0]).expect("an end"), 0);
        self.note(SILENT, begin, 0, true);
    }

    fn stream(&self) -> &TcpStream {
        self.stream.as_ref().expect("it is connected")
    }

    /// Sends all of this. What is noted is how many bytes that were, encrypted or not.
    pub fn send(&mut self, bytes: &[u8]) {
        let begin = self.now();
        let stream = self.stream.as_ref().expect("it is connected");
        let mut wire = Wire { stream, bytes: 0 };
        let sent = match &mut self.tls {
            Some(tls) => Stream::new(tls, &mut wire).write_all(bytes),
            None => wire.write_all(bytes),
        };
        sent.expect("sent");
        let (sent, waits) = (wire.bytes as i64, self.now() - begin > 1_000_000);
        self.note(Syscall::Send as u8, begin, sent, waits);
    }

    /// Sends all that fits in this time. Returns how many bytes it has sent.
    pub fn send_all_that_fits(&mut self, limit: Duration) -> usize {
        let (begin, end) = (self.now(), Instant::now() + limit);
        let piece = [b'x'; 65536];
        let mut sent = 0;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.stream()
                .set_write_timeout(Some(left))
                .expect("a socket");
            sent += { self.stream() }.write(&piece).unwrap_or(0);
        }
        self.note(Syscall::Send as u8, begin, sent as i64, true);
        sent
    }

    /// Receives this many bytes, or what has come before the server closes.
    pub fn receive(&mut self, length: usize) -> usize {
        self.receive_within(length, PATIENCE)
    }

    /// The same, or what has come in this time.
    pub fn receive_within(&mut self, length: usize, limit: Duration) -> usize {
        self.receive_since(self.now(), length, limit)
    }

    /// The same; what is noted is that it has waited since that time.
    fn receive_since(&mut self, begin: u64, length: usize, limit: Duration) -> usize {
        let end = Instant::now() + limit;
        let mut buffer = vec![0; 1 << 16];
        let (mut received, mut on_wire) = (0, 0);
        while received < length {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.stream()
                .set_read_timeout(Some(left))
                .expect("a socket");
            let most = buffer.len().min(length - received);
            match self.read(&mut buffer[..most], &mut on_wire) {
                Ok(0) => break,
                Ok(count) => received += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("client {}: {error}", self.number),
            }
        }
        self.note(Syscall::Recv as u8, begin, on_wire as i64, true);
        received
    }

    /// Reads once, and adds how many bytes came, encrypted or not.
    fn read(&mut self, buffer: &mut [u8], on_wire: &mut usize) -> io::Result<usize> {
        let stream = self.stream.as_ref().expect("it is connected");
        let mut wire = Wire { stream, bytes: 0 };
        let result = match &mut self.tls {
            Some(tls) => Stream::new(tls, &mut wire).read(buffer),
            None => wire.read(buffer),
        };
        *on_wire += wire.bytes;
        result
    }

    /// Receives this many responses whole.
    pub fn responses(&mut self, mut count: usize) {
        let begin = self.now();
        let (mut received, mut total) = (Vec::new(), 0);
        let mut buffer = vec![0; 1 << 16];
        while count > 0 {
            let read = self.read(&mut buffer, &mut total).expect("a response");
            assert!(read > 0, "the server has closed the connection");
            received.extend_from_slice(&buffer[..read]);
            while count > 0
                && let Some(length) = length_of_response(&received)
                && received.len() >= length
            {
                received.drain(..length);
                count -= 1;
            }
        }
        self.note(Syscall::Recv as u8, begin, total as i64, true);
    }

    /// Does something else until this time of the scene: see [`WORDS`].
    pub fn pause_until(&mut self, ms: u64, what: u8) {
        let begin = self.now();
        self.comes_at(ms);
        self.note(what, begin, 0, true);
    }

    /// Does something that takes no time.
    pub fn act(&mut self, what: u8, act: impl FnOnce()) {
        let begin = self.now();
        act();
        self.note(what, begin, 0, false);
    }

    /// Clients that are silent until this time of the scene.
    pub fn pause_together(clients: &mut [Client], ms: u64) {
        let since: Vec<_> = clients.iter().map(|client| client.now()).collect();
        let began = clients[0].stage.began;
        sleep(Duration::from_millis(ms).saturating_sub(began.elapsed()));
        for (client, since) in clients.iter_mut().zip(since) {
            client.note(SILENT, since, 0, true);
        }
    }

    /// Clients that are silent until this time of the scene and then send the same, one right after
    /// the other, and wait for its echo.
    pub fn say_together(clients: &mut [Client], ms: u64, bytes: &[u8]) {
        Client::pause_together(clients, ms);
        let mut sent_at = Vec::new();
        for client in &mut *clients {
            client.send(bytes);
            sent_at.push(client.now());
        }
        for (client, sent_at) in clients.iter_mut().zip(sent_at) {
            client.receive_since(sent_at, bytes.len(), PATIENCE);
        }
    }

    /// Opens connections that have one answer each and then stay as they are.
    pub fn connect_idle(&mut self, count: usize) {
        let begin = self.now();
        for _ in 0..count {
            let mut stream = TcpStream::connect(self.stage.address).expect("the server listens");
            stream.write_all(b"x").expect("sent");
            stream.read_exact(&mut [0]).expect("an echo");
            self.idle.push(stream);
        }
        self.note(Syscall::Connect as u8, begin, count as i64, false);
    }

    pub fn close(&mut self) {
        self.note(Syscall::Close as u8, self.now(), 0, false);
        let Some(stream) = self.stream.take() else {
            return self.idle.clear();
        };
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            let _ = tls.complete_io(&mut &stream);
        }
        // The server finds the end of input and not a reset.
        let _ = stream.shutdown(Shutdown::Write);
    }
}

/// The length of the first response with its body, if its head is whole.
fn length_of_response(received: &[u8]) -> Option<usize> {
    let end = received.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&received[..end]).to_lowercase();
    let (_, rest) = head.split_once("content-length: ")?;
    let length: usize = rest.split("\r\n").next()?.parse().ok()?;
    Some(end + length)
}
