//! A protocol with faults, for the tests: it echoes, and panics wherever it is asked to.

use evserve::{Context, Server, Service, Session, Wait};
use std::{env, error::Error, net::IpAddr, sync::Arc};

struct Faulty;

#[derive(Default)]
struct Conversation {
    to_proceed: bool,
    to_end: bool,
}

impl Service for Faulty {
    fn session(&self, _: Option<IpAddr>) -> Box<dyn Session> {
        Box::new(Conversation::default())
    }

    fn name(&self) -> &str {
        "faulty"
    }
}

impl Session for Conversation {
    fn receive(&mut self, input: &[u8], cx: &mut Context<'_>) -> usize {
        match input {
            b"panic now" => panic!("as you wish"),
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
    let model = env::args().nth(1).unwrap_or("epoll".into());
    let server = Server::builder()
        .model(&model)
        .listen("127.0.0.1:0", |_| Ok(Arc::new(Faulty)))?
        .start()?;
    println!("listening at {}", server.places()[0]);
    Ok(server.run()?)
}
