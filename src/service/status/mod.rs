//! The server at work: a page for people, JSON and metrics for programs, and a word for balancers.
//!
//! It is one more service on the same loop. What it shows is on the [`StatusHub`], where the model puts it up when somebody
//! asks.

mod diagram;
mod metrics;
mod page;

pub use diagram::diagram;

use super::http::{self, Handler, Response};
use super::{Service, Sharing};
use crate::config::{AccessLog, Config, HttpConfig};
use crate::http1::{Method, Request, StatusCode};
use crate::observe::StatusHub;
use crate::session::Time;
use std::net::IpAddr;
use std::sync::Arc;

/// Makes the service that shows a server, and whether its `services` are ready. With `is_local` it is reached over the
/// loopback only. None of `config`'s options for http are its own.
pub fn service(
    hub: Arc<StatusHub>,
    services: Vec<Arc<dyn Service>>,
    config: &Config,
    is_local: bool,
) -> Arc<dyn Service> {
    let config = Config {
        // A page that asks several times a second is no visitor.
        access_log: AccessLog::Off,
        // The options of http are for the files.
        http: HttpConfig::default(),
        ..config.clone()
    };
    let status = StatusHandler {
        hub,
        services,
        is_local,
    };
    http::service(status, &config)
}

struct StatusHandler {
    hub: Arc<StatusHub>,
    services: Vec<Arc<dyn Service>>,
    is_local: bool,
}

impl Handler for StatusHandler {
    fn respond(&self, request: &Request<'_>, time: &Time) -> Response {
        if !self.is_allowed_host(request.host) {
            return Response::text(
                "What this server does is for this machine only: use its address or localhost.\n",
            )
            .with_status(StatusCode::FORBIDDEN);
        }
        match request.method {
            Method::Get | Method::Head => {}
            Method::Options => return Response::options(),
            Method::Unsupported | Method::Unknown => {
                return Response::status(StatusCode::METHOD_NOT_ALLOWED);
            }
        }
        with_policy(match request.target.path {
            b"/" => Response::html(page::page(self.hub.server_info())),
            b"/live.css" => Response::bytes("text/css", page::STYLE),
            b"/live.js" => Response::bytes("text/javascript", page::SCRIPT),
            b"/events" => self.events(),
            b"/status.json" => self.fresh_snapshot("application/json", StatusHub::json),
            b"/metrics" => self.fresh_snapshot(metrics::MEDIA_TYPE, metrics::text),
            b"/healthz" if self.hub.is_draining() => {
                Response::text("draining\n").with_status(StatusCode::SERVICE_UNAVAILABLE)
            }
            b"/healthz" if !self.services.iter().all(|one| one.is_ready(time)) => {
                Response::text("not ready\n").with_status(StatusCode::SERVICE_UNAVAILABLE)
            }
            b"/healthz" => Response::text("ok\n"),
            _ => Response::status(StatusCode::NOT_FOUND),
        })
    }

    fn sharing(&self) -> Sharing {
        Sharing::Nothing
    }

    fn name(&self) -> &str {
        "status"
    }

    fn about(&self) -> String {
        "a live snapshot, /status.json, /metrics and /healthz".into()
    }
}

impl StatusHandler {
    /// A page from elsewhere could reach the loopback under a name of its own (DNS rebinding), and would then count as
    /// of the same origin. Names that everybody resolves to this machine are no such names, nor are addresses.
    fn is_allowed_host(&self, host: Option<&[u8]>) -> bool {
        let Some(host) = host.and_then(|host| str::from_utf8(host).ok()) else {
            return true; // Browsers say it.
        };
        let (name, port) = host.rsplit_once(':').unwrap_or((host, ""));
        let name = match port.bytes().all(|byte| byte.is_ascii_digit()) {
            true => name,
            false => host,
        };
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        !self.is_local || is_address || name == "localhost" || name.ends_with(".localhost")
    }

    /// What is seen from now on; where those who watch are served one by one, what is seen now.
    fn events(&self) -> Response {
        const EVENTS: &str = "text/event-stream";
        if self.hub.server_info().why_no_stream.is_some() {
            return self.fresh_snapshot(EVENTS, StatusHub::event);
        }
        let hub = self.hub.clone();
        Response::stream(EVENTS, move |mailbox| {
            // There are too many: this one is told once, and comes again.
            if !hub.watch(&mailbox) {
                hub.query(mailbox, StatusHub::event);
            }
        })
    }

    /// The answer as things stand after it was asked for.
    fn fresh_snapshot(&self, media_type: &'static str, say: fn(&StatusHub) -> Vec<u8>) -> Response {
        let hub = self.hub.clone();
        Response::stream(media_type, move |mailbox| hub.query(mailbox, say))
    }
}

/// Says that nobody is to remember it, nor to use it in pages from elsewhere.
fn with_policy(response: Response) -> Response {
    response
        .header("Cache-Control", "no-store")
        .header("Content-Security-Policy", page::POLICY)
        .header("Cross-Origin-Resource-Policy", "same-origin")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::ServerInfo;
    use std::time::Instant;

    #[test]
    fn names_that_anybody_can_make_lead_to_this_machine_are_refused() {
        let about = ServerInfo {
            model: "epoll",
            waits: "",
            why_no_stream: None,
            max_connections: None,
            services: Vec::new(),
        };
        let mut status = StatusHandler {
            hub: StatusHub::new(about, 1, Instant::now()),
            services: Vec::new(),
            is_local: true,
        };
        let good = [
            "127.0.0.1",
            "127.0.0.1:9000",
            "[::1]:9000",
            "[::1]",
            "localhost:9000",
            "LocalHost",
            "localhost.",
            "a.localhost:1",
        ];
        let bad = [
            "evil.example",
            "evil.example:9000",
            "localhost.evil.example",
            "127.0.0.1.evil.example:1",
            "x::1",
        ];
        for host in good {
            assert!(status.is_allowed_host(Some(host.as_bytes())), "{host}");
        }
        for host in bad {
            assert!(!status.is_allowed_host(Some(host.as_bytes())), "{host}");
        }
        status.is_local = false;
        assert!(
            status.is_allowed_host(Some(b"server.example:9000")),
            "query_count for from elsewhere"
        );
    }
}
