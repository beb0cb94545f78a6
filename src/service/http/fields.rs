//! Response fields from the configuration, written out once at the start.

use crate::config::HttpConfig;
use crate::files::PAGE_POLICY;
use crate::http1::{SERVER, StatusCode, before_date};

/// Complete header lines.
pub(super) struct ConfiguredFields {
    /// The Server field up to the date, from [`before_date`].
    pub before_date: String,
    /// Lines for all responses.
    pub all: String,
    /// The same, without Cache-Control: what asks for a password says itself that no cache keeps it.
    refusals: String,
    /// The policy for pages that the server makes. Empty if the configuration sets a policy for all
    /// responses.
    pub policy: &'static str,
    /// How many bytes they may add to a head that has the default Server field.
    pub room: usize,
}

impl ConfiguredFields {
    /// Writes out the fields of the http options.
    pub fn new(http: &HttpConfig) -> ConfiguredFields {
        let server = http.server.as_deref().unwrap_or(SERVER);
        let all = all(http);
        let cache_control = http
            .cache_control
            .iter()
            .map(|rule| cache_control(&rule.value).len());
        ConfiguredFields {
            before_date: before_date(server),
            room: all.len() + cache_control.max().unwrap_or(0).max(NO_CACHE.len()) + server.len(),
            policy: match has_field(&http.headers, "content-security-policy") {
                true => "",
                false => PAGE_POLICY,
            },
            refusals: without_cache_control(&all),
            all,
        }
    }

    /// The lines for a response with this status that sends no file.
    pub fn of(&self, status: StatusCode) -> &str {
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS => &self.refusals,
            _ => &self.all,
        }
    }
}

/// The Cache-Control line for a file that is sent where another one was asked for: it must not be
/// kept longer than that one is missing.
pub(super) const NO_CACHE: &str = "Cache-Control: no-cache\r\n";

/// The Cache-Control line with this value.
pub(super) fn cache_control(value: &str) -> String {
    format!("Cache-Control: {value}\r\n")
}

/// True if one of these lines is a field of this name.
pub(super) fn has_field(lines: &str, name: &str) -> bool {
    let names = lines.lines().filter_map(|line| line.split(':').next());
    names.into_iter().any(|one| one.eq_ignore_ascii_case(name))
}

fn without_cache_control(lines: &str) -> String {
    let others = lines.split_inclusive('\n');
    others
        .filter(|line| !has_field(line, "cache-control"))
        .collect()
}

/// The lines for all responses. Fields that the user names replace those of switches.
fn all(http: &HttpConfig) -> String {
    let mut lines = http.headers.clone();
    let mut add = |name: &str, value: &str| {
        if !has_field(&http.headers, name) {
            lines += &format!("{name}: {value}\r\n");
        }
    };
    if let Some(origin) = &http.cors {
        add("Access-Control-Allow-Origin", origin);
        add("Access-Control-Expose-Headers", EXPOSED);
    }
    if http.gate.is_some() {
        // Caches that others share must not keep it, whatever else it says (RFC 9111 section 3.5).
        add("Cache-Control", "private");
    }
    if http.isolate {
        add("Cross-Origin-Opener-Policy", "same-origin");
        add("Cross-Origin-Embedder-Policy", "require-corp");
    }
    match (&http.cors, http.isolate) {
        (Some(_), _) => add("Cross-Origin-Resource-Policy", "cross-origin"),
        (None, true) => add("Cross-Origin-Resource-Policy", "same-origin"),
        (None, false) => {}
    }
    lines
}

/// The response fields that scripts of other origins may read. Some more are always readable
/// (Fetch, "CORS-safelisted response-header name").
const EXPOSED: &str = "Accept-Ranges, Content-Encoding, Content-Range, ETag";

/// What the response to a preflight request adds, which a browser sends before a request that a
/// page of another origin could not make without scripts (Fetch, "CORS-preflight fetch").
pub(super) const PREFLIGHT: &str = "Access-Control-Allow-Methods: GET, HEAD, OPTIONS\r\n\
     Access-Control-Allow-Headers: *, Authorization\r\nAccess-Control-Max-Age: 86400\r\n";
