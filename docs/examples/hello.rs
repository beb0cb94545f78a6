//! Pages made by a program: a handler written by hand, with a field of its own and files beside it.
//!
//!     cargo run --example hello [ADDRESS [MODEL]]          # 127.0.0.1:8081 and epoll unless said otherwise
//!     curl -i 'http://127.0.0.1:8081/hello?name=you'

use evserve::http1::{Method, Request, StatusCode};
use evserve::service::http;
use evserve::session::Time;
use evserve::{Handler, Response, Server, config::Config};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::{env, error::Error};

struct Hello<Files> {
    visits: AtomicU64,
    /// Everything else is looked for there: static files are a handler like any other.
    files: Files,
}

impl<Files: Handler> Handler for Hello<Files> {
    fn answer(&self, request: &Request<'_>, time: &Time) -> Response {
        match (request.method, request.target.path) {
            (Method::Get | Method::Head, b"/hello") => self.hello(request),
            (Method::Get | Method::Head, b"/unchanged") => {
                Response::text("never sent\n").with_status(StatusCode::NOT_MODIFIED)
            }
            (Method::Get | Method::Head, b"/teapot") => {
                Response::text("I am one.\n").with_status(StatusCode::FORBIDDEN)
            }
            _ => self.files.answer(request, time),
        }
    }
}

impl<Files> Hello<Files> {
    fn hello(&self, request: &Request<'_>) -> Response {
        let visits = self.visits.fetch_add(1, Relaxed) + 1;
        let query = String::from_utf8_lossy(request.target.query.unwrap_or_default());
        let name = query.strip_prefix("name=").unwrap_or("world");
        // Letters and digits only: whatever else a stranger writes must not become part of a page.
        let name: String = name.chars().filter(|c| c.is_alphanumeric()).collect();
        Response::html(format!(
            "<!doctype html><title>Hello</title><p>Hello, {name}! You are visitor {visits}.\n"
        ))
        .header("Cache-Control", "no-store")
        .header("X-Visits", &visits.to_string())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:8081".into());
    let model = env::args().nth(2).unwrap_or("epoll".into());
    let make = |config: &Config| {
        let hello = Hello {
            visits: AtomicU64::new(0),
            files: http::files(config)?,
        };
        Ok(http::service(hello, config))
    };
    let server = Server::builder()
        .configure(|config| config.root = "docs/site".into())
        .model(&model)
        .listen(&address, make)?
        .start()?;
    println!("listening at {}", server.places()[0]);
    Ok(server.run()?)
}
