//! Begins recordings while it serves: `/start` begins one, `/stop` ends it and responds with it.
//!
//! recorded MODEL [unprepared]

use evserve::config::Config;
use evserve::http1::Request;
use evserve::service::http;
use evserve::session::Time;
use evserve::{Handler, Response, Server, Sharing, recording, trace};
use std::time::Duration;
use std::{env, error::Error};

struct Recorded;

impl Handler for Recorded {
    fn respond(&self, request: &Request<'_>, _: &Time) -> Response {
        match request.target.path {
            b"/start" => match trace::start_recording() {
                Ok(()) => Response::text("recording"),
                Err(error) => Response::text(error.to_string()),
            },
            b"/stop" => {
                trace::stop_recording();
                let contents = recording::snapshot().unwrap_or_default();
                Response::bytes("application/octet-stream", contents.to_bytes())
            }
            _ => Response::text("hello"),
        }
    }

    fn sharing(&self) -> Sharing {
        Sharing::Nothing
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let model = env::args().nth(1).unwrap_or("epoll".into());
    let make = |config: &Config| Ok(http::service(Recorded, config));
    let server = Server::builder()
        .model(&model)
        .listen("127.0.0.1:0", make)?
        .start()?;
    if env::args().nth(2).is_none() {
        recording::prepare(1 << 20, Duration::ZERO, Vec::new())?;
    }
    println!("listening at {}", server.local_addresses()[0]);
    Ok(server.run()?)
}
