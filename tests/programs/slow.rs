//! A server for clients: answers each request after a while, and some in the wrong way.
//!
//!     cargo run --example slow [ADDRESS [MILLISECONDS]]    # default: 127.0.0.1:7011, 100
//!
//! `/N` is a file made of the number N; it has up to 8,000 bytes. Its own thread serves each
//! connection, so that a client is compared with nothing that waits.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

/// The file of a number: lines that begin with it.
pub fn content(number: u64) -> Vec<u8> {
    let length = 100 + usize::try_from(number * 7919 % 7900).unwrap_or(0);
    let line = format!("{number} {}\n", number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    line.bytes().cycle().take(length).collect()
}

/// Returns false if the connection ends.
fn respond(client: &mut TcpStream, path: &str, delay: Duration) -> io::Result<bool> {
    thread::sleep(delay);
    let with = |fields: &str, body: &[u8]| {
        [format!("HTTP/1.1 200 OK\r\n{fields}\r\n").as_bytes(), body].concat()
    };
    let (response, goes_on) = match path {
        "/short" => (with("Content-Length: 100\r\n", b"short"), false),
        "/long" => (with("Content-Length: 4\r\n", b"longer"), false),
        "/head" => (b"HTTP/1.1 200 OK\r\nContent-Le".to_vec(), false),
        "/nothing" => (Vec::new(), false),
        "/nonsense" => (b"220 mail.example ESMTP\r\n".to_vec(), true),
        "/stall" => (with("Content-Length: 100\r\n", b"stalls"), true),
        "/reset" => (with("Content-Length: 100\r\n", b"resets"), false),
        "/chunks" => {
            let body = b"5\r\nchunk\r\n2\r\ned\r\n0\r\n\r\n";
            (with("Transfer-Encoding: chunked\r\n", body), true)
        }
        "/bad-chunks" => (
            with("Transfer-Encoding: chunked\r\n", b"5\r\nchunked\r\n"),
            true,
        ),
        "/cut-chunks" => (
            with("Transfer-Encoding: chunked\r\n", b"5\r\nchunk\r\n2\r\ne"),
            false,
        ),
        "/gzip" => (
            with("Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
            true,
        ),
        "/twice" => {
            let lengths = "Content-Length: 4\r\nContent-Length: 5\r\n";
            (with(lengths, b"twice"), true)
        }
        "/close" => (with("", b"until the end"), false),
        "/empty" => (with("Content-Length: 0\r\n", b""), true),
        "/early" => {
            let interim = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".to_vec();
            (
                [interim, with("Content-Length: 5\r\n", b"early")].concat(),
                true,
            )
        }
        "/interim" => (b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100), true),
        "/fields" => (with(&"A: b\r\n".repeat(10_000), b""), true),
        "/moved" => {
            let head = "HTTP/1.1 301 Moved\r\nLocation: /1\r\nContent-Length: 0\r\n\r\n";
            (head.into(), true)
        }
        "/missing" => {
            let head = "HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\n\r\nno file";
            (head.into(), true)
        }
        "/last" => {
            let fields = "Connection: close\r\nContent-Length: 4\r\n";
            (with(fields, b"last"), false)
        }
        "/silently" => (with("Content-Length: 8\r\n", b"silently"), false),
        path => {
            let body = path[1..].parse().map(content).unwrap_or_default();
            let fields = format!("Content-Length: {}\r\n", body.len());
            (with(&fields, &body), true)
        }
    };
    client.write_all(&response)?;
    match path {
        // Closing with a time to linger of zero resets the connection.
        "/reset" => {
            thread::sleep(Duration::from_millis(50));
            let linger = Some(Duration::ZERO);
            rustix::net::sockopt::set_socket_linger(client.as_fd(), linger)?;
        }
        "/stall" => while client.read(&mut [0])? > 0 {},
        _ => {}
    }
    Ok(goes_on)
}

fn serve(mut client: TcpStream, delay: Duration) -> io::Result<()> {
    let mut lines = BufReader::new(client.try_clone()?).lines();
    let mut path = String::new();
    while let Some(line) = lines.next().transpose()? {
        if let Some(rest) = line.strip_prefix("GET ") {
            path = rest.split([' ', '?']).next().unwrap_or("/").into();
        }
        if line.is_empty() && !respond(&mut client, &path, delay)? {
            return Ok(());
        }
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let mut words = std::env::args().skip(1);
    let address = words.next().unwrap_or("127.0.0.1:7011".into());
    let delay = words
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or(100);
    let delay = Duration::from_millis(delay);
    let listener = TcpListener::bind(address)?;
    rustix::net::listen(&listener, 4096)?;
    println!("listening at {}", listener.local_addr()?);
    for client in listener.incoming() {
        let client = client?;
        // A client that leaves is no fault.
        thread::spawn(move || drop(serve(client, delay)));
    }
    Ok(())
}
