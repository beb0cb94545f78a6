//! A faulty protocol: it echoes, and panics or hangs on request. Its replies to datagrams are twice
//! as long as the datagrams.

use evserve::cli::start_operator_log;
use evserve::service::DatagramHandler;
use evserve::session::Time;
use evserve::{Context, Server, Service, Session, Sharing, Wait};
use std::{env, error::Error, net::IpAddr, sync::Arc, time::Duration};

struct Faulty;

#[derive(Default)]
struct FaultySession {
    to_proceed: bool,
    to_end: bool,
}

impl Service for Faulty {
    fn session(&self, _: Option<IpAddr>) -> Box<dyn Session> {
        Box::new(FaultySession::default())
    }

    fn datagram_handler(&self) -> Option<&dyn DatagramHandler> {
        Some(self)
    }

    fn sharing(&self) -> Sharing {
        Sharing::Nothing
    }

    fn name(&self) -> &str {
        "faulty"
    }
}

impl DatagramHandler for Faulty {
    fn reply(&self, datagram: &[u8], _: &Time, reply: &mut Vec<u8>) -> bool {
        assert!(datagram != b"panic", "as you wish");
        reply.extend([datagram, datagram].concat());
        datagram != b"silence"
    }
}

impl Session for FaultySession {
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        match input {
            b"panic now" => panic!("as you wish"),
            b"hang" => loop {
                std::thread::park();
            },
            b"panic in your turn" => self.to_proceed = true,
            b"panic at the end" => self.to_end = true,
            _ => {}
        }
        cx.put(input)
    }

    fn proceed(&mut self, _: &mut Context<'_>) {
        panic!("as you wish");
    }

    fn closed(&mut self, _: &mut Context<'_>) {
        assert!(!self.to_end, "as you wish");
    }

    fn waits_for(&self) -> Wait {
        match self.to_proceed {
            true => Wait::Turn,
            false => Wait::Bytes(evserve::Timeout::Idle),
        }
    }

    fn state(&self) -> &'static str {
        "being faulty"
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    start_operator_log(log::LevelFilter::Info);
    let model = env::args().nth(1).unwrap_or("epoll".into());
    let address = env::args().nth(2).unwrap_or("127.0.0.1:0".into());
    let workers = env::args().nth(3).map_or(Ok(1), |number| number.parse())?;
    let drain = env::args().nth(4).map_or(Ok(1), |number| number.parse())?;
    let server = Server::builder()
        .model(&model)
        .configure(|config| {
            config.timeouts.drain = Duration::from_secs(drain);
            config.workers = workers;
        })
        .listen(&address, |_| Ok(Arc::new(Faulty)))?
        .start()?;
    let place = server.local_addresses()[0].to_string();
    println!("listening at {}", place.trim_start_matches("udp:"));
    Ok(server.run()?)
}
