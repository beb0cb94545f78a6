//! A lesson: what to look for in recordings, with moments to go to and figures of them, and a
//! question with its answer. docs/replay.md describes the text.

use super::moments::{LETTERS, Moments};
use maud::{Markup, html};

/// The text of a lesson, read.
pub(super) struct Lesson<'a> {
    /// What it is about.
    pub title: &'a str,
    /// What each recording shows.
    pub sides: Vec<&'a str>,
    /// What must be true of the recordings, or the text is wrong.
    requires: Vec<&'a str>,
    /// Where to read on: an address, and words.
    more: Vec<(&'a str, &'a str)>,
    about: Vec<&'a str>,
    question: &'a str,
    answer: Vec<&'a str>,
}

impl<'a> Lesson<'a> {
    /// Reads the text.
    ///
    /// # Errors
    /// A sentence.
    pub fn read(text: &'a str) -> Result<Lesson<'a>, String> {
        let (head, body) = text
            .split_once("\n\n")
            .ok_or("it has no empty line after its head")?;
        let mut lesson = Lesson {
            title: "",
            sides: Vec::new(),
            requires: Vec::new(),
            more: Vec::new(),
            about: Vec::new(),
            question: "",
            answer: Vec::new(),
        };
        for line in head.lines() {
            let (key, value) = line.split_once(": ").unwrap_or((line, ""));
            match key {
                "title" => lesson.title = value,
                "side" => lesson.sides.push(value),
                "require" => lesson.requires.push(value),
                "more" => {
                    let more = value
                        .split_once(' ')
                        .ok_or("“more” needs an address and words")?;
                    lesson.more.push(more);
                }
                _ => return Err(format!("“{line}” is not understood")),
            }
        }
        for paragraph in body
            .split("\n\n")
            .map(str::trim)
            .filter(|one| !one.is_empty())
        {
            match paragraph.strip_prefix("question: ") {
                Some(question) => lesson.question = question,
                None if lesson.question.is_empty() => lesson.about.push(paragraph),
                None => lesson.answer.push(paragraph),
            }
        }
        let is_whole =
            !lesson.title.is_empty() && !lesson.about.is_empty() && !lesson.answer.is_empty();
        match is_whole {
            true => Ok(lesson),
            false => Err("it needs a title, a text, a question and an answer".into()),
        }
    }

    /// The lesson with the figures of these recordings.
    ///
    /// # Errors
    /// A sentence: a moment or a figure that is not there, or what is not true of the recordings.
    pub fn page(&self, moments: &Moments) -> Result<Markup, String> {
        for required in &self.requires {
            require(required, moments)?;
        }
        let paragraphs = |all: &[&str]| {
            let all = all.iter().map(|text| inline(text, moments));
            all.collect::<Result<Vec<_>, _>>()
        };
        let (about, answer) = (paragraphs(&self.about)?, paragraphs(&self.answer)?);
        let question = inline(self.question, moments)?;
        Ok(html! {
            section id="lesson" aria-label="Lesson" {
                div class="about" { @for text in about { p { (text) } } }
                details class="question" {
                    summary { b { "Question: " } (question) }
                    @for text in answer { p { (text) } }
                    @if !self.more.is_empty() {
                        p class="faint" {
                            "Read on:"
                            @for (address, words) in &self.more { " " a href=(address) { (words) } "." }
                        }
                    }
                }
            }
        })
    }
}

/// Checks a condition such as `took A call recv #1 > 200000000`: numbers are in nanoseconds and bytes.
fn require(condition: &str, moments: &Moments) -> Result<(), String> {
    for (sign, is_true) in [
        (" > ", (|a, b| a > b) as fn(i64, i64) -> bool),
        (" < ", |a, b| a < b),
        (" = ", |a, b| a == b),
    ] {
        let Some((left, right)) = condition.split_once(sign) else {
            continue;
        };
        let left = moments.figure(left)?;
        let right = match right.parse() {
            Ok(number) => number,
            Err(_) => moments.figure(right)?.number(),
        };
        return match is_true(left.number(), right) {
            true => Ok(()),
            false => Err(format!(
                "“{condition}” is not true of the recordings: it is {left}"
            )),
        };
    }
    Err(format!("“{condition}” is no condition"))
}

/// How marked text begins and ends. What begins in the same way stands after what is longer.
const MARKS: [(&str, &str); 5] = [("[", ")"), ("{", "}"), ("`", "`"), ("**", "**"), ("*", "*")];

/// Text with `[words](moment)`, `{figure}`, `` `code` ``, `**bold**` and `*emphasis*`.
fn inline(text: &str, moments: &Moments) -> Result<Markup, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['[', '{', '`', '*']) {
        let (before, marked) = rest.split_at(at);
        parts.push(html! { (before) });
        let mut marks = MARKS.iter().filter(|(begin, _)| marked.starts_with(begin));
        let (begin, end) = marks.next().expect("one of them was found");
        let inner = &marked[begin.len()..];
        let (inner, after) = inner
            .split_once(end)
            .ok_or_else(|| format!("“{marked}” has no end"))?;
        parts.push(match *begin {
            "[" => {
                let link = inner.split_once("](");
                let (words, moment) = link.ok_or_else(|| format!("“[{inner}” has no moment"))?;
                jump(words, moment, moments)?
            }
            "{" => html! { (moments.figure(inner)?) },
            "`" => html! { code { (inner) } },
            "**" => html! { b { (inner) } },
            _ => html! { em { (inner) } },
        });
        rest = after;
    }
    Ok(html! { @for part in parts { (part) } (rest) })
}

/// A link that moves the replay to a moment, and perhaps (` ~2ms`, ` ~all`) sets how much time is in
/// sight. The script numbers them: a page whose address ends with `#2` begins at the second one, and
/// without a number at the first one.
fn jump(words: &str, moment: &str, moments: &Moments) -> Result<Markup, String> {
    let (moment, sight) = match moment.split_once(" ~") {
        Some((moment, sight)) => (moment, Some(in_nanos(sight)?)),
        None => (moment, None),
    };
    let found = moments.find(moment)?;
    let (process, thread) = (found.event.process, found.event.thread);
    Ok(html! {
        a class="jump" data-side=(found.side) data-process=(process) data-thread=(thread)
            data-place=(found.place) data-sight=[sight]
            title={ "Go to this moment of " (LETTERS[found.side]) } { (words) }
    })
}

/// A time such as `2ms`; 0 for all the time of the recordings.
fn in_nanos(time: &str) -> Result<u64, String> {
    if time == "all" {
        return Ok(0);
    }
    let time = humantime::parse_duration(time).map_err(|error| format!("“~{time}”: {error}"))?;
    Ok(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{Contents, Event, Kind, Part, Syscall};

    fn event(at: u64, kind: Kind, fd: i32) -> Event {
        Event {
            at,
            ..Event::new(kind, fd)
        }
    }

    fn call(at: u64, code: Syscall, value: i64, took: u64) -> Event {
        Event {
            code: code as u8,
            value,
            extra: took,
            ..event(at, Kind::Call, 7)
        }
    }

    /// A thread that opens connection 1, sleeps for 2 ms until 5 bytes come, and looks once more. A
    /// client, which connects.
    fn recording() -> Vec<u8> {
        let sleep = Event {
            code: Syscall::Recv as u8,
            value: -1,
            ..event(1_000, Kind::Waits, 7)
        };
        let server = [
            Event {
                value: 1,
                ..event(1_000, Kind::Opened, 7)
            },
            sleep,
            call(1_000, Syscall::Recv, 5, 2_000_000),
            call(2_002_000, Syscall::Recv, -11, 900),
        ];
        let part = |process, events: &[Event]| Part {
            process,
            thread: process,
            events: events.iter().map(|event| event.to_words()).collect(),
        };
        let client = part(1, &[call(500, Syscall::Connect, 0, 100)]);
        let mut contents = Contents {
            facts: vec![("clients".into(), "1".into())],
            parts: vec![client, part(30, &server)],
            ..Contents::default()
        };
        contents.add_fixed_names();
        contents.to_bytes()
    }

    fn page(about: &str) -> Result<String, String> {
        let bytes = recording();
        let moments = Moments::read(&[&bytes, &bytes]).map_err(|(_, error)| error.to_string())?;
        let text = format!("title: T\n\n{about}\n\nquestion: Q?\n\nA.\n");
        Ok(Lesson::read(&text)?.page(&moments)?.into_string())
    }

    #[test]
    fn a_text_has_figures_and_links_of_the_recordings() {
        for (text, expected) in [
            ("{took A call recv #1}", "2.0 ms"),
            ("{took B call recv asleep}", "2.0 ms"),
            ("{took B call recv awake}", "900 ns"),
            ("{took A call recv :shortest}", "900 ns"),
            ("{value A call recv :last}", "-11"),
            ("{size A call recv >0}", "5 bytes"),
            ("{count A call}", "2"),
            ("{total A call recv}", "2.0 ms"),
            ("{count A call @1}", "1"),
            ("{time A opened #1 to A call recv =5}", "2.0 ms"),
            (
                "`a*b` **c** *d* <e>",
                "<code>a*b</code> <b>c</b> <em>d</em> &lt;e&gt;",
            ),
        ] {
            assert!(
                page(text)
                    .expect(text)
                    .contains(&format!("<p>{expected}</p>")),
                "{text}"
            );
        }
        let link = page("[now](B call recv :2 ~2ms)").expect("a link");
        for part in [
            "data-side=\"1\"",
            "data-thread=\"30\"",
            "data-place=\"3\"",
            "data-sight=\"2000000\"",
        ] {
            assert!(link.contains(part), "{link}");
        }
    }

    #[test]
    fn what_does_not_fit_the_recordings_is_told() {
        for (text, expected) in [
            ("[x](A call send)", "the recording has no “A call send"),
            ("[x](C call recv)", "does not begin with the letter"),
            ("[x](A sleeps)", "does not begin with a kind of events"),
            ("[x](A call recv :soon)", "“:soon” is not understood"),
            ("[x]", "has no end"),
            ("{how A call}", "is no figure"),
        ] {
            let error = page(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
        let required = |condition: &str| {
            let bytes = recording();
            let moments = Moments::read(&[&bytes]).map_err(|(_, error)| error.to_string())?;
            require(condition, &moments)
        };
        assert_eq!(required("took A call recv > 1000000"), Ok(()));
        assert_eq!(
            required("took A call recv > took A call recv :last"),
            Ok(())
        );
        let error = required("count A call recv = 3").expect_err("there are two");
        assert!(
            error.contains("is not true of the recordings: it is 2"),
            "{error}"
        );
    }

    #[test]
    fn a_text_that_lacks_something_is_refused() {
        for (text, expected) in [
            ("title: T", "no empty line"),
            ("titel: T\n\nA.", "“titel: T” is not understood"),
            (
                "title: T\n\nAbout.\n\nquestion: Q?",
                "needs a title, a text, a question and an answer",
            ),
        ] {
            let error = Lesson::read(text).err().expect(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
