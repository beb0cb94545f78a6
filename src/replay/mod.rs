//! A page that replays recordings in a browser: one, or up to three on one clock.
//!
//! The page is complete in itself. It contains the recordings, loads nothing, and its policy makes
//! the browser enforce that. What it shows at an event depends on the recording alone.

mod excerpts;
mod lesson;
mod moments;

use crate::recording::{FormatError, Recording, write_trace_json};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use excerpts::Excerpt;
use flate2::Compression;
use flate2::write::GzEncoder;
use lesson::Lesson;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use moments::Moments;
use sha2::{Digest, Sha256};
use std::io::Write;

const STYLE: &str = include_str!("page.css");

/// The script, in the order in which its parts need each other.
const SCRIPT: &str = concat!(
    "\"use strict\";\n",
    include_str!("recording.js"),
    include_str!("state.js"),
    include_str!("words.js"),
    include_str!("clock.js"),
    include_str!("picture.js"),
    include_str!("legend.js"),
    include_str!("page.js"),
);

/// A recording to replay.
pub struct Replayed<'a> {
    /// What the page calls it, such as the name of its file.
    pub name: &'a str,
    /// The file.
    pub bytes: &'a [u8],
}

/// How many recordings a page can show.
pub const MAX_RECORDINGS: usize = moments::LETTERS.len();

/// The page that replays these recordings: one, or up to [`MAX_RECORDINGS`] on one clock.
///
/// # Errors
/// The name of the first one that cannot be read, and why.
pub fn page<'a>(recordings: &[Replayed<'a>]) -> Result<String, (&'a str, FormatError)> {
    let read = |one: &Replayed<'a>| Recording::parse(one.bytes).map_err(|error| (one.name, error));
    let parsed = recordings.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let code = excerpts::of_all(&parsed.iter().collect::<Vec<_>>());
    let names: Vec<_> = recordings.iter().map(|one| one.name).collect();
    let title = format!("Replay of {}", names.join(" and "));
    Ok(write(recordings, &code, &title, &html! {}))
}

/// The page that replays these recordings below the text of a lesson: see docs/replay.md.
///
/// # Errors
/// A sentence: a recording that cannot be read, or a text that does not fit the recordings.
pub fn lesson(text: &str, recordings: &[Replayed<'_>]) -> Result<String, String> {
    let bytes: Vec<_> = recordings.iter().map(|one| one.bytes).collect();
    let unreadable =
        |(index, error): (usize, FormatError)| format!("{}: {error}", recordings[index].name);
    let moments = Moments::read(&bytes).map_err(unreadable)?;
    let lesson = Lesson::read(text)?;
    let code = excerpts::of_all(&moments.recordings());
    let mut named: Vec<Replayed<'_>> = Vec::new();
    for (index, one) in recordings.iter().enumerate() {
        let name = lesson.sides.get(index).unwrap_or(&one.name);
        named.push(Replayed {
            name,
            bytes: one.bytes,
        });
    }
    Ok(write(&named, &code, lesson.title, &lesson.page(&moments)?))
}

/// `code` has the excerpts of each recording.
fn write(
    recordings: &[Replayed<'_>],
    code: &[Vec<&Excerpt>],
    title: &str,
    lesson: &Markup,
) -> String {
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; img-src data:; base-uri 'none'; \
         form-action 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                // Otherwise the browser asks a server for one.
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body class=(if lesson.0.is_empty() { "" } else { "lesson" }) {
                h1 { (title) }
                (lesson)
                (PreEscaped(include_str!("page.html")))
                @for (one, excerpts) in recordings.iter().zip(code) {
                    (data(one, excerpts))
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// The recording as JSON for other viewers: see [`write_trace_json`].
///
/// # Errors
/// The name, and why it cannot be read.
pub fn trace_json<'a>(one: &Replayed<'a>) -> Result<Vec<u8>, (&'a str, FormatError)> {
    let recording = Recording::parse(one.bytes).map_err(|error| (one.name, error))?;
    let mut json = Vec::new();
    // A vector takes all.
    let _ = write_trace_json(&recording, &mut json);
    Ok(json)
}

/// A recording, and the excerpts of the course that do what its server does. The browser runs
/// neither.
fn data(one: &Replayed, excerpts: &[&Excerpt]) -> Markup {
    html! {
        script type="application/octet-stream" class="recording" data-name=(one.name) {
            (PreEscaped(BASE64_STANDARD.encode(compressed(one.bytes))))
        }
        template class="course" {
            @for excerpt in excerpts {
                pre tabindex="0" data-file=(excerpt.file) aria-label={ "Code of " (excerpt.file) } {
                    @for (line, events) in excerpt.lines() {
                        code data-events=(events.join(" ")) { (line) }
                    }
                }
            }
        }
    }
}

/// In the coding gzip. The page of a large recording opens in half the time so, since the browser
/// reads less text.
fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    // A vector takes all.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

/// The source of a style or script, for the policy.
fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Contents;

    #[test]
    fn a_page_has_its_recordings_and_loads_nothing() {
        let mut contents = Contents::default();
        contents.facts.push(("model".into(), "epoll".into()));
        let bytes = contents.to_bytes();
        let one = || Replayed {
            name: "<one> & \"two\"",
            bytes: &bytes,
        };
        let two = page(&[one(), one()]).expect("recordings");
        let data = BASE64_STANDARD.encode(compressed(&bytes));
        assert_eq!(two.matches(&data).count(), 2);
        let page = page(&[one()]).expect("a recording");
        assert!(page.contains("data-name=\"&lt;one&gt; &amp; &quot;two&quot;\""));
        assert!(page.contains("epoll::wait("), "the course's loop");
        for forbidden in [
            "http://", "https://", " src=", " style=", " onclick", "url(",
        ] {
            // The drawing names the namespace of SVG, which is not loaded.
            let rest = page.replace("http://www.w3.org/2000/svg", "");
            assert!(!rest.contains(forbidden), "{forbidden}");
        }
        for text in [STYLE, SCRIPT] {
            assert!(!text.contains("</"), "it would end its element");
        }
    }

    #[test]
    fn what_is_no_recording_is_named() {
        let one = Replayed {
            name: "a.html",
            bytes: b"<!DOCTYPE html>",
        };
        let error = page(&[one]).err();
        assert_eq!(error, Some(("a.html", FormatError::NotARecording)));
    }
}
