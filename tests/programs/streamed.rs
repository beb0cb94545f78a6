//! Endless responses to clients behind a proxy at 127.0.0.1. Each consists of lines that another
//! thread writes.
//!
//! streamed MODEL

use evserve::config::{Config, TrustedProxies};
use evserve::http1::Request;
use evserve::service::http;
use evserve::session::{Mailbox, Time};
use evserve::{Handler, Response, Server, Sharing};
use std::sync::Arc;
use std::{env, error::Error, thread};

struct Countdown;

impl Handler for Countdown {
    fn respond(&self, _: &Request<'_>, _: &Time) -> Response {
        Response::stream("text/plain", |mailbox| {
            thread::spawn(move || count_down(&mailbox));
        })
    }

    fn sharing(&self) -> Sharing {
        Sharing::Nothing
    }
}

fn count_down(mailbox: &Mailbox) {
    for line in ["3\n", "2\n", "1\n"] {
        mailbox.put(&Arc::from(line.as_bytes()));
        thread::yield_now();
    }
    mailbox.end();
}

fn main() -> Result<(), Box<dyn Error>> {
    let model = env::args().nth(1).unwrap_or("epoll".into());
    let make = |config: &Config| Ok(http::service(Countdown, config));
    let server = Server::builder()
        .configure(|config| {
            config.trusted_proxies = Some(TrustedProxies {
                networks: vec!["127.0.0.1/32".parse().expect("a network")],
                unix: false,
            });
        })
        .model(&model)
        .listen("127.0.0.1:0", make)?
        .start()?;
    println!("listening at {}", server.local_addresses()[0]);
    Ok(server.run()?)
}
