//! TLS in a connection: records in, records out.
//!
//! It is rustls's buffered connection, which does no I/O and reads no clock while data is exchanged.

use super::Context;
use crate::session::{Buffer, Encryption, Layer, LayerError, Layers};
use rustls::{Error, HandshakeKind, ProtocolVersion, ServerConnection};
use std::io::{BufRead, IoSlice, Write};

/// The most bytes that a client may send before the handshake has ended, so that a slow one cannot
/// hold much memory. A usual client sends less than 2 KiB; a ticket and keys for every algorithm may
/// be a few more.
const MAX_HANDSHAKE: usize = 16 * 1024;

/// The most bytes of a session in a record (RFC 8446 section 5.1).
const RECORD: usize = 16 * 1024;

/// More bytes than a record adds to its content, in any version and with any cipher.
const OVERHEAD: usize = 32;

/// What a client that speaks plain HTTP is told.
const USE_HTTPS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 77\r\n\
    Connection: close\r\n\r\n\
    This address is encrypted, but the request was not. Use https:// in the URL.\n";

/// The server's side of TLS for one connection.
pub struct TlsLayer {
    connection: ServerConnection,
    /// How many bytes have come during the handshake.
    shaken: usize,
    /// Output that is not encrypted.
    plain: &'static [u8],
    /// The client has sent a close_notify.
    has_ended: bool,
    is_http: bool,
}

impl Layers for Context {
    fn layer(&self) -> Option<Box<dyn Layer>> {
        let config = self.config();
        let is_http = !config.alpn_protocols.is_empty();
        let connection = ServerConnection::new(config).ok()?;
        Some(Box::new(TlsLayer {
            connection,
            shaken: 0,
            plain: b"",
            has_ended: false,
            is_http,
        }))
    }
}

impl TlsLayer {
    /// Counts what comes during the handshake, and recognizes what is no handshake.
    fn check_handshake(&mut self, input: &[u8]) -> Result<(), LayerError> {
        if self.shaken == 0 && self.is_http && input[0].is_ascii_uppercase() {
            // A method. TLS begins with a byte of 22.
            self.plain = USE_HTTPS;
            return Err(LayerError::PlainHttp);
        }
        self.shaken += input.len();
        match self.shaken > MAX_HANDSHAKE {
            true => Err(LayerError::Malformed),
            false => Ok(()),
        }
    }
}

impl Layer for TlsLayer {
    fn receive(&mut self, input: &[u8]) -> Result<usize, LayerError> {
        let mut rest = input;
        let taken = self.connection.read_tls(&mut rest);
        let taken = taken.map_err(|_| LayerError::Malformed)?;
        if self.connection.is_handshaking() {
            self.check_handshake(&input[..taken])?;
        }
        let state = self
            .connection
            .process_new_packets()
            .map_err(|error| reason(&error))?;
        self.has_ended = state.peer_has_closed();
        Ok(taken)
    }

    fn received(&mut self) -> &[u8] {
        self.connection
            .reader()
            .into_first_chunk()
            .unwrap_or_default()
    }

    fn consume(&mut self, count: usize) {
        self.connection.reader().consume(count);
    }

    fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    fn has_ended(&self) -> bool {
        self.has_ended
    }

    fn has_output(&self) -> bool {
        self.connection.wants_write() || !self.plain.is_empty()
    }

    fn put(&mut self, output: &mut Buffer) {
        let taken = output.append(self.plain);
        self.plain = &self.plain[taken..];
        while self.connection.wants_write() && output.room() > 0 {
            let written = output.append_with(|free| self.connection.write_tls(free));
            debug_assert!(written.is_ok_and(|count| count > 0), "there was room");
        }
    }

    fn seal(&mut self, bytes: &[u8], then: &[u8], output: &mut Buffer) -> usize {
        let records = output.room().div_ceil(RECORD + OVERHEAD);
        let most = output.room().saturating_sub(records * OVERHEAD);
        let first = &bytes[..bytes.len().min(most)];
        let second = &then[..then.len().min(most - first.len())];
        let mut writer = self.connection.writer();
        let taken = match (first, second) {
            // With two parts rustls makes a list of them.
            (_, []) => writer.write(first),
            ([], _) => writer.write(second),
            _ => writer.write_vectored(&[IoSlice::new(first), IoSlice::new(second)]),
        };
        self.put(output);
        taken.unwrap_or(0)
    }

    fn close(&mut self) {
        self.connection.send_close_notify();
    }

    fn encryption(&self) -> Encryption {
        let suite = self.connection.negotiated_cipher_suite();
        Encryption {
            version: match self.connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "",
            },
            cipher: suite
                .and_then(|suite| suite.suite().as_str())
                .unwrap_or_default(),
            resumed: self.connection.handshake_kind() == Some(HandshakeKind::Resumed),
            server_name: self.connection.server_name().map(Into::into),
        }
    }
}

fn reason(error: &Error) -> LayerError {
    match error {
        Error::AlertReceived(_) => LayerError::Refused,
        Error::PeerIncompatible(_) | Error::NoApplicationProtocol => LayerError::NothingInCommon,
        _ => LayerError::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{CertificateFiles, Certificates};
    use crate::session::{Action, Connection, Context as SessionContext, NewSession, Piece};
    use crate::session::{BUFFER_SIZE, Session, Time, Worker};
    use crate::tls::Tls;
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};
    use std::io::Read;
    use std::sync::Arc;
    use std::time::{Instant, SystemTime};

    /// Sends everything back, and a word at the end. After an exclamation mark, sends as much as it
    /// can.
    struct Echo;

    impl Session for Echo {
        fn receive(&mut self, input: &[u8], cx: &mut SessionContext<'_>) -> usize {
            if input == b"!" {
                cx.put(&[b'!'; BUFFER_SIZE]);
                return 1;
            }
            cx.put(input)
        }

        fn end_of_input(&mut self, cx: &mut SessionContext<'_>) {
            cx.put(b"the end");
        }
    }

    /// A server's certificate, and a client that trusts it.
    struct World {
        tls: Tls,
        client: Arc<ClientConfig>,
        worker: Worker,
    }

    impl World {
        fn new() -> World {
            let directory = tempfile::tempdir().expect("a directory");
            let made = rcgen::generate_simple_self_signed(["h".to_owned()]).expect("made");
            let [certificate, key] = ["cert", "key"].map(|name| directory.path().join(name));
            std::fs::write(&certificate, made.cert.pem()).expect("written");
            std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
            let files = CertificateFiles { certificate, key };
            let mut roots = RootCertStore::empty();
            roots.add(made.cert.der().clone()).expect("a certificate");
            let client = ClientConfig::builder_with_provider(Arc::new(
                rustls::crypto::ring::default_provider(),
            ));
            let client = client.with_safe_default_protocol_versions().expect("some");
            let client = client.with_root_certificates(roots).with_no_client_auth();
            World {
                tls: Tls::load(&Certificates::Files(vec![files]), 0).expect("loaded"),
                client: Arc::new(client),
                worker: Worker::new(Time::new(Instant::now(), SystemTime::now())),
            }
        }

        fn client(&self) -> ClientConnection {
            let name = ServerName::try_from("h").expect("a name");
            ClientConnection::new(self.client.clone(), name).expect("a client")
        }

        fn server(&mut self, is_http: bool) -> Connection {
            let session: Box<dyn Session> = Box::new(Echo);
            let start = NewSession {
                layer: self.tls.context(is_http).layer(),
                ..session.into()
            };
            Connection::open(start, 0, &mut self.worker)
        }

        fn end(&mut self, mut server: Connection) {
            server.close(&mut self.worker);
            server.release(&mut self.worker);
            assert_eq!(self.worker.pool.lent(), 0);
        }
    }

    /// Moves bytes until neither side has any, in pieces of this size. Returns what the client was
    /// sent last.
    fn exchange(
        client: &mut ClientConnection,
        server: &mut Connection,
        worker: &mut Worker,
        size: usize,
    ) -> Vec<u8> {
        let mut plain = Vec::new();
        loop {
            worker.work = 512;
            match server.next() {
                Action::Send => {
                    let Piece::Bytes { bytes, .. } = server.front() else {
                        panic!("a file");
                    };
                    let count = bytes.len().min(size);
                    let mut bytes = &bytes[..count];
                    while !bytes.is_empty() {
                        client.read_tls(&mut bytes).expect("taken");
                        client.process_new_packets().expect("understood");
                    }
                    server.sent(count, worker);
                    let _ = client.reader().read_to_end(&mut plain);
                }
                Action::Receive if client.wants_write() => {
                    let mut bytes = Vec::new();
                    client.write_tls(&mut bytes).expect("written");
                    for piece in bytes.chunks(size.min(server.room())) {
                        // A session that does not take input gets it later.
                        worker.work = 512;
                        server.received(piece, worker);
                    }
                }
                Action::Proceed => server.proceed(worker),
                Action::Receive | Action::Close { .. } => return plain,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_session_behind_tls_hears_and_is_heard_at_every_split() {
        let mut world = World::new();
        for size in [1, 7, 100, 4096, BUFFER_SIZE] {
            let (mut client, mut server) = (world.client(), world.server(false));
            exchange(&mut client, &mut server, &mut world.worker, size);
            assert_eq!(server.state(), "open");
            for text in [&b"some text"[..], &[b'x'; 20_000]] {
                client.writer().write_all(text).expect("buffered");
                let mut heard = Vec::new();
                while heard.len() < text.len() {
                    heard.extend(exchange(&mut client, &mut server, &mut world.worker, size));
                }
                assert!(heard == text, "pieces of {size}");
            }
            client.send_close_notify();
            let last = exchange(&mut client, &mut server, &mut world.worker, size);
            assert_eq!(last, b"the end");
            let state = client.process_new_packets().expect("understood");
            assert!(state.peer_has_closed(), "the server has said that it ends");
            assert_eq!(server.next(), Action::Close { may_linger: false });
            world.end(server);
        }
        assert_eq!(world.worker.counters.handshakes, 5);
        assert_eq!(world.worker.counters.resumed_handshakes, 4, "by tickets");
        assert_eq!(world.worker.counters.truncated_connections, 0);
    }

    /// Somebody else may have ended it.
    #[test]
    fn a_session_is_not_told_of_an_end_without_the_clients_word() {
        let mut world = World::new();
        let (mut client, mut server) = (world.client(), world.server(false));
        exchange(&mut client, &mut server, &mut world.worker, BUFFER_SIZE);
        server.input_ended(&mut world.worker);
        let last = exchange(&mut client, &mut server, &mut world.worker, BUFFER_SIZE);
        assert_eq!(last, b"");
        assert_eq!(server.next(), Action::Close { may_linger: false });
        assert_eq!(world.worker.counters.truncated_connections, 1);
        world.end(server);
    }

    #[test]
    fn a_full_buffer_becomes_records_that_fit_a_buffer() {
        let mut world = World::new();
        let (mut client, mut server) = (world.client(), world.server(false));
        exchange(&mut client, &mut server, &mut world.worker, BUFFER_SIZE);
        client.writer().write_all(b"!").expect("buffered");
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).expect("written");
        }
        server.received(&bytes, &mut world.worker);
        let Piece::Bytes { bytes: sealed, .. } = server.front() else {
            panic!("a file");
        };
        let content = BUFFER_SIZE - 2 * OVERHEAD;
        assert_eq!(sealed.len(), content + 2 * 22, "two records");
        let all = exchange(&mut client, &mut server, &mut world.worker, BUFFER_SIZE);
        assert_eq!(all.len(), BUFFER_SIZE, "the rest follows");
        world.end(server);
    }

    #[test]
    fn plain_http_is_answered_in_plain_words() {
        let mut world = World::new();
        for (is_http, expected) in [(true, USE_HTTPS), (false, &b"\x15\x03\x03\x00\x02"[..])] {
            let mut server = world.server(is_http);
            server.received(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", &mut world.worker);
            assert_eq!(server.next(), Action::Send);
            let Piece::Bytes { bytes, .. } = server.front() else {
                panic!("a file");
            };
            assert!(bytes.starts_with(expected), "{bytes:?}");
            let count = bytes.len();
            server.sent(count, &mut world.worker);
            assert_eq!(server.next(), Action::Close { may_linger: true });
            world.end(server);
        }
        let (head, body) = USE_HTTPS.split_at(USE_HTTPS.len() - 77);
        assert!(head.ends_with(b"\r\n\r\n") && body.starts_with(b"This"));
        let counters = &world.worker.counters;
        assert_eq!(
            (counters.plain_http_clients, counters.malformed_records),
            (1, 1)
        );
    }
}
