//! The fields that the configuration adds to answers, written out once.

use crate::config::{HttpConfig, MAX_HEADER_BYTES, StartError};
use crate::files::PAGE_POLICY;
use crate::http1::{SERVER, before_date};

/// Whole lines for the heads of answers.
pub(super) struct ConfiguredFields {
    /// What the program calls itself, as [`before_date`] writes it.
    pub before_date: String,
    /// For every answer.
    pub all: String,
    /// The same, and Cache-Control: for answers from files.
    pub files: String,
    /// For pages that the server makes; empty where the configuration has a policy for all answers.
    pub policy: &'static str,
    /// How many more bytes they take in the longest head than the program's own name.
    pub room: usize,
}

impl ConfiguredFields {
    /// Those of the options for http.
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

    /// The lines for answers from files.
    ///
    /// # Errors
    /// There are too many of them for an answer's head.
    pub fn for_files(http: &HttpConfig) -> Result<String, StartError> {
        let lines = ConfiguredFields::new(http).files;
        match lines.len() <= MAX_HEADER_BYTES {
            true => Ok(lines),
            false => Err(StartError(
                "too many fields are to be added to every answer".into(),
            )),
        }
    }
}
