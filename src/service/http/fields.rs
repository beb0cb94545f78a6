//! Response fields from the configuration, written out once at the start.

use crate::config::{HttpConfig, MAX_HEADER_BYTES, StartError};
use crate::files::PAGE_POLICY;
use crate::http1::{SERVER, before_date};

/// Complete header lines.
pub(super) struct ConfiguredFields {
    /// The Server field up to the date, from [`before_date`].
    pub before_date: String,
    /// Lines for all responses.
    pub all: String,
    /// Lines for responses with files: the same and Cache-Control.
    pub files: String,
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
        let mut files = http.headers.clone();
        if let Some(value) = &http.cache_control {
            files += &format!("Cache-Control: {value}\r\n");
        }
        let names = http
            .headers
            .lines()
            .filter_map(|line| line.split(':').next());
        let mut policies =
            names.filter(|name| name.eq_ignore_ascii_case("content-security-policy"));
        ConfiguredFields {
            before_date: before_date(server),
            room: files.len() + server.len(),
            policy: match policies.next() {
                Some(_) => "",
                None => PAGE_POLICY,
            },
            all: http.headers.clone(),
            files,
        }
    }

    /// The lines for responses with files.
    ///
    /// # Errors
    /// If they are too long for a response head.
    pub fn for_files(http: &HttpConfig) -> Result<String, StartError> {
        let lines = ConfiguredFields::new(http).files;
        match lines.len() <= MAX_HEADER_BYTES {
            true => Ok(lines),
            false => Err(StartError(
                "the fields that --header and --cache-control add to responses are too long".into(),
            )),
        }
    }
}
