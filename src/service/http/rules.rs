//! What the options say about files, by their paths: media types and Cache-Control.

use super::fields::{ConfiguredFields, NO_CACHE, cache_control, has_field};
use super::representation::MediaType;
use crate::config::{HttpConfig, MAX_HEADER_BYTES, StartError};
use std::path::Path;

/// A pattern matches as a user of shells expects: `*` stays within a name, and names that begin
/// with a dot are no exception, since those that are hidden are not served.
const MATCHING: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// The rules for files.
pub(super) struct FileRules {
    /// Media types by extension.
    types: Vec<(String, &'static str)>,
    /// The header lines of a file by its path: the first that fits counts.
    lines: Vec<(Option<glob::Pattern>, String)>,
    /// The header lines of a file that no pattern fits.
    others: String,
    /// The header lines of the fallback.
    fallback: String,
}

impl FileRules {
    /// # Errors
    /// If lines are too long for a response head.
    pub fn new(http: &HttpConfig) -> Result<FileRules, StartError> {
        let all = ConfiguredFields::new(http).all;
        let line = |value: &str| all.clone() + &cache_control(value);
        let rules = FileRules {
            // Once for each site, at the start.
            types: http
                .media_types
                .iter()
                .map(|(extension, kind)| (extension.clone(), &*kind.clone().leak()))
                .collect(),
            lines: http
                .cache_control
                .iter()
                .map(|rule| (rule.pattern.clone(), line(&rule.value)))
                .collect(),
            fallback: match has_field(&all, "cache-control") {
                true => all.clone(),
                false => all.clone() + NO_CACHE,
            },
            others: all,
        };
        let lines = rules.lines.iter().map(|(_, lines)| lines);
        let longest = lines.chain([&rules.fallback]).map(String::len).max();
        match longest.is_some_and(|longest| longest <= MAX_HEADER_BYTES) {
            true => Ok(rules),
            false => Err(StartError(
                "the fields that the options add to responses, such as --header and --cache-control, are too long".into(),
            )),
        }
    }

    /// The media type that the options give to this file. A text without parameters gets a charset,
    /// which its content may take away.
    pub fn media_type(&self, path: &Path) -> Option<MediaType> {
        let extension = path.extension()?.to_str()?;
        let mut types = self.types.iter();
        let (_, kind) = types.find(|(one, _)| one.eq_ignore_ascii_case(extension))?;
        let is_text = kind
            .get(..5)
            .is_some_and(|it| it.eq_ignore_ascii_case("text/"));
        match is_text && !kind.contains(';') {
            true => Some((kind, "; charset=utf-8")),
            false => Some((kind, "")),
        }
    }

    /// The header lines of this file.
    pub fn lines(&self, path: &Path) -> &str {
        let fits = |pattern: &glob::Pattern| match pattern.as_str().contains('/') {
            true => pattern.matches_path_with(path, MATCHING),
            false => path
                .file_name()
                .is_some_and(|name| pattern.matches_path_with(Path::new(name), MATCHING)),
        };
        let mut rules = self.lines.iter();
        let rule = rules.find(|(pattern, _)| pattern.as_ref().is_none_or(fits));
        rule.map_or(&self.others, |(_, lines)| lines)
    }

    /// The header lines of the fallback.
    pub fn fallback_lines(&self) -> &str {
        &self.fallback
    }
}
