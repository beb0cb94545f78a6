//! Redirects from a listener that does not encrypt to one that does (`--redirect-to-https`).

use super::fallback::{Fallback, PartialHandler};
use super::response::Response;
use super::site::NOT_IN_A_QUERY;
use crate::config::{Config, HttpConfig, StartError};
use crate::files::RelativePath;
use crate::http1::{Request, StatusCode};
use crate::service::{Service, Sharing};
use crate::session::Time;
use percent_encoding::percent_encode;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// What a public certificate authority asks for to check who controls a name. It asks without
/// encryption (RFC 8555 section 8.3).
const CHALLENGES: &str = ".well-known/acme-challenge";

/// The port that a URL of the scheme `https` need not name.
const HTTPS: u16 = 443;

/// Redirects every request to the same host and path over https.
struct Redirect {
    /// The port to redirect to. Known when the encrypted addresses are bound.
    port: Arc<OnceLock<u16>>,
}

/// Makes a service that redirects everything to https, except for challenges in the document root.
/// Set `port` before it serves.
///
/// # Errors
/// Those of [`files`](super::files).
pub fn redirects(
    config: &Config,
    port: Arc<OnceLock<u16>>,
) -> Result<Arc<dyn Service>, StartError> {
    // A challenge is asked for a few times, and then never again.
    let config = Config {
        http: HttpConfig {
            // A browser must not send a password here, and a challenge is read by everybody.
            gate: None,
            listing: false,
            fallback: None,
            clean_urls: false,
            error_pages: Vec::new(),
            cache_bytes: Some(0),
            cache_files: 0,
            watches: 0,
            ..config.http.clone()
        },
        ..config.clone()
    };
    let handler = Fallback::new(Redirect { port }, super::files(&config)?);
    Ok(super::service(handler, &config))
}

impl PartialHandler for Redirect {
    fn try_respond(&self, request: &Request<'_>, _: &Time) -> Option<Response> {
        let path = RelativePath::decode(request.target.path);
        let is_challenge = |path: &Path| path.starts_with(CHALLENGES);
        if path.is_ok_and(|path| is_challenge(path.as_path())) {
            return None;
        }
        let port = self.port.get().copied().unwrap_or(HTTPS);
        let response = match location(request, port) {
            Some(location) => Response {
                location: Some(location),
                ..Response::status(StatusCode::PERMANENT_REDIRECT)
            },
            None => Response::text("Only https is served here, and the request names no host.\n")
                .with_status(StatusCode::BAD_REQUEST),
        };
        Some(response)
    }

    fn sharing(&self) -> Sharing {
        Sharing::Nothing
    }

    fn about(&self) -> Option<String> {
        Some(format!("redirects to https, and /{CHALLENGES}/"))
    }
}

/// The same URL with the scheme `https` and this port. `None` if the request names no host.
fn location(request: &Request<'_>, port: u16) -> Option<String> {
    let host = str::from_utf8(request.host?).ok()?;
    // Behind the bracket of an IPv6 address, if it is one.
    let begin = host.rfind(']').unwrap_or_default();
    let end = host[begin..].find(':').map_or(host.len(), |at| begin + at);
    let host = Some(&host[..end]).filter(|host| !host.is_empty())?;
    let port = match port {
        HTTPS => String::new(),
        port => format!(":{port}"),
    };
    let path = percent_encode(request.target.path, NOT_IN_A_QUERY);
    let query = request
        .target
        .query
        .map(|query| percent_encode(query, NOT_IN_A_QUERY));
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    Some(format!("https://{host}{port}{path}{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_url_over_https() {
        let located = |target: &str, host: &str, port| {
            let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            location(&Request::parse(head.as_bytes()).expect(target), port)
        };
        let cases = [
            ("/", "example.org", 443, Some("https://example.org/")),
            ("/", "example.org:80", 443, Some("https://example.org/")),
            (
                "/a%20b?c=d&e",
                "example.org",
                8443,
                Some("https://example.org:8443/a%20b?c=d&e"),
            ),
            ("/", "127.0.0.1:8080", 8443, Some("https://127.0.0.1:8443/")),
            ("/", "[::1]:8080", 443, Some("https://[::1]/")),
            ("/", "[::1]", 8443, Some("https://[::1]:8443/")),
            (
                "//evil.example/",
                "h",
                443,
                Some("https://h//evil.example/"),
            ),
            ("http://other:1/x", "h", 443, Some("https://other/x")),
            (
                "/\u{e4}\"<>\\",
                "h",
                443,
                Some("https://h/%C3%A4%22%3C%3E%5C"),
            ),
            ("/", "", 443, None),
        ];
        for (target, host, port, expected) in cases {
            let expected = expected.map(str::to_owned);
            assert_eq!(located(target, host, port), expected, "{target} {host}");
        }
    }
}
