//! The status service: a page for people, JSON and metrics for programs, and a health check for
//! load balancers.
//!
//! It runs on the same loops as the services it shows. It reads from the [`StatusHub`], to which a
//! loop publishes only when a client asks.

mod diagram;
mod metrics;
mod page;
mod record;

pub use diagram::diagram;
pub use metrics::rows as metric_rows;

use super::http::{self, FixedText, Handler, OpenRequests, Response};
use super::{Service, Sharing};
use crate::config::{AccessLog, Config, HttpConfig};
use crate::http1::{Method, Request, StatusCode};
use crate::observe::{ExecutorKind, StatusHub};
use crate::session::Time;
use record::Recorder;
use std::net::IpAddr;
use std::sync::Arc;

/// Creates the status service. `services` are those that `/healthz` checks. With `is_local` it
/// answers only requests for this machine by address or as localhost. Of the http options of `config`
/// it knows only `compress`.
pub fn service(
    hub: Arc<StatusHub>,
    services: Vec<Arc<dyn Service>>,
    config: &Config,
    is_local: bool,
) -> Arc<dyn Service> {
    let info = hub.server_info();
    let can_record = info.executors != ExecutorKind::Processes;
    let recorder =
        can_record.then(|| Recorder::new(info.model, config.workers, config.record_events));
    let page = page::page(info, recorder.as_ref().map(|recorder| &*recorder.token));
    let text = |media_type, text| FixedText::new(media_type, text, config.http.compress);
    let status = StatusHandler {
        page: text("text/html; charset=utf-8", page),
        style: text("text/css", page::STYLE.into()),
        script: text("text/javascript", page::SCRIPT.into()),
        recorder,
        hub,
        services,
        is_local,
    };
    let config = Config {
        // The page's own requests, several a second, would flood the access log.
        access_log: AccessLog::Off,
        // The http options are for the files that are served.
        http: HttpConfig {
            gate: config.status_gate.clone(),
            ..HttpConfig::default()
        },
        ..config.clone()
    };
    http::service(status, &config)
}

struct StatusHandler {
    page: FixedText,
    style: FixedText,
    script: FixedText,
    /// `None` if the model cannot be recorded.
    recorder: Option<Recorder>,
    hub: Arc<StatusHub>,
    services: Vec<Arc<dyn Service>>,
    is_local: bool,
}

impl Handler for StatusHandler {
    fn respond(&self, request: &Request<'_>, time: &Time) -> Response {
        if !self.is_allowed_host(request.host) {
            return Response::text(
                "The status is available only on this machine: ask for it by IP address or as localhost.\n",
            )
            .with_status(StatusCode::FORBIDDEN);
        }
        if request.target.path == b"/record" {
            return with_policy(match &self.recorder {
                Some(recorder) => recorder.respond(request, with_policy),
                None => Response::text(record::IMPOSSIBLE).with_status(StatusCode::NOT_FOUND),
            });
        }
        match request.method {
            Method::Get | Method::Head => {}
            Method::Options => return Response::options(),
            Method::Post | Method::Unsupported | Method::Unknown => {
                return Response::status(StatusCode::METHOD_NOT_ALLOWED);
            }
        }
        with_policy(match request.target.path {
            b"/" => self.page.respond(request),
            b"/live.css" => self.style.respond(request),
            b"/live.js" => self.script.respond(request),
            b"/events" => self.events(time),
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

    /// Load balancers have no password.
    fn open_requests(&self) -> OpenRequests {
        OpenRequests::Path(b"/healthz")
    }

    fn name(&self) -> &str {
        "status"
    }

    fn about(&self) -> String {
        "a live page, /status.json, /metrics and /healthz".into()
    }
}

impl StatusHandler {
    /// Protects against DNS rebinding: a foreign page could reach the loopback under a name of its
    /// own, and would then be of the same origin. An address or `localhost` cannot be such a name.
    fn is_allowed_host(&self, host: Option<&[u8]>) -> bool {
        let Some(host) = host.and_then(|host| str::from_utf8(host).ok()) else {
            return true; // Browsers always send it.
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

    /// Streams events. Under a model that serves one client at a time, sends one event.
    fn events(&self, time: &Time) -> Response {
        const EVENTS: &str = "text/event-stream";
        self.hub.observe(time.now());
        if self.hub.server_info().why_no_stream.is_some() {
            return self.fresh_snapshot(EVENTS, StatusHub::event);
        }
        let hub = self.hub.clone();
        Response::stream(EVENTS, move |mailbox| {
            // Too many are watching: send one event. The browser asks again.
            if !hub.watch(&mailbox) {
                hub.query(mailbox, StatusHub::event);
            }
        })
    }

    /// Responds with a snapshot that is published after the request arrived.
    fn fresh_snapshot(
        &self,
        media_type: &'static str,
        format: fn(&StatusHub) -> Vec<u8>,
    ) -> Response {
        let hub = self.hub.clone();
        Response::stream(media_type, move |mailbox| hub.query(mailbox, format))
    }
}

/// Forbids caching the response, and using it in pages of another origin.
fn with_policy(response: Response) -> Response {
    response
        .header("Cache-Control", "no-store")
        .header("Content-Security-Policy", page::POLICY)
        .header("Cross-Origin-Resource-Policy", "same-origin")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{CertificateList, ServerInfo};
    use std::time::Instant;

    #[test]
    fn names_that_a_foreign_dns_server_controls_are_refused() {
        let about = ServerInfo {
            model: "epoll",
            waits: "",
            executors: ExecutorKind::Loops,
            why_no_stream: None,
            max_connections: None,
            services: Vec::new(),
            certificates: CertificateList::default(),
        };
        let text = || FixedText::new("text/plain", "", false);
        let mut status = StatusHandler {
            page: text(),
            style: text(),
            script: text(),
            recorder: None,
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
