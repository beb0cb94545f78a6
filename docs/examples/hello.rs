//! Serves pages made by code, with header fields of their own, and files for all other paths.
//!
//!     cargo run --example hello [ADDRESS [MODEL]]          # default: 127.0.0.1:8081, epoll
//!     curl -i 'http://127.0.0.1:8081/hello?name=you'

use evserve::config::{Config, Confinement, Sandbox};
use evserve::http1::{Method, Request, StatusCode};
use evserve::service::http;
use evserve::session::Time;
use evserve::{Fallback, PartialHandler, Response, Server};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::{env, error::Error};

#[derive(Default)]
struct Hello {
    visits: AtomicU64,
}

impl PartialHandler for Hello {
    fn try_respond(&self, request: &Request<'_>, _: &Time) -> Option<Response> {
        if !matches!(request.method, Method::Get | Method::Head) {
            return None;
        }
        match request.target.path {
            b"/hello" => Some(self.hello(request)),
            b"/unchanged" => {
                Some(Response::text("never sent\n").with_status(StatusCode::NOT_MODIFIED))
            }
            b"/teapot" => Some(Response::text("I am one.\n").with_status(StatusCode::FORBIDDEN)),
            _ => None,
        }
    }
}

impl Hello {
    fn hello(&self, request: &Request<'_>) -> Response {
        let visits = self.visits.fetch_add(1, Relaxed) + 1;
        let query = String::from_utf8_lossy(request.target.query.unwrap_or_default());
        let name = query.strip_prefix("name=").unwrap_or("world");
        // Only letters and digits of a client's input become part of the page.
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
        // Paths that `Hello` does not answer are served from the files.
        let handler = Fallback::new(Hello::default(), http::files(config)?);
        Ok(http::service(handler, config))
    };
    let server = Server::builder()
        .configure(|config| {
            config.root = "docs/site".into();
            config.http.error_pages = [400, 404].map(|code| (code, "error.html".into())).into();
        })
        .model(&model)
        .listen(&address, make)?
        .start()?;
    server.confine(&Confinement {
        user: None,
        sandbox: Sandbox::Follow,
    })?;
    println!("listening at {}", server.local_addresses()[0]);
    Ok(server.run()?)
}
