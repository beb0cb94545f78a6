//! A lesson: what to look for in recordings, with moments to go to and figures of them, and a
//! question with its answer. docs/replay.md describes the text.

use super::moments::{Figure, LETTERS, Moment, Moments};
use maud::{Markup, html};

/// The text of a lesson, read.
pub(super) struct Lesson<'a> {
    /// What it is about.
    pub title: &'a str,
    /// What each recording shows.
    pub sides: Vec<&'a str>,
    /// What must be true of the recordings, or the text is wrong.
    requires: Vec<&'a str>,
    /// Names of moments, and what they mean. One may use those before it.
    names: Vec<(&'a str, &'a str)>,
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
            names: Vec::new(),
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
                "moment" => {
                    let named = value.split_once(" = ");
                    lesson
                        .names
                        .push(named.ok_or("“moment” needs `name = moment`")?);
                }
                "more" => {
                    let more = value.split_once(' ');
                    lesson
                        .more
                        .push(more.ok_or("“more” needs an address and words")?);
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
    /// A sentence: a moment or a figure that is not there, what is not true of the recordings, or a
    /// link or a figure that breaks the rules of [`Reader`].
    pub fn page(&self, moments: &Moments) -> Result<Markup, String> {
        for required in &self.requires {
            require(&expanded(required, &self.names), moments)?;
        }
        let mut reader = Reader::new(moments, &self.names);
        let about = reader.paragraphs(&self.about)?;
        // The answer looks at the scene once more.
        reader.latest = [i64::MIN; LETTERS.len()];
        let question = reader.inline(self.question)?;
        let answer = reader.paragraphs(&self.answer)?;
        reader.check_figures()?;
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

/// Words with the moments that `$name` stands for.
fn expanded(words: &str, names: &[(&str, &str)]) -> String {
    let expand =
        |words: String, (name, moment): &(&str, &str)| words.replace(&format!("${name}"), moment);
    names.iter().rev().fold(words.to_owned(), expand)
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

/// Reads a text, and checks what a reader relies on: the links of a recording go forward in time,
/// and a figure can be seen where one of the links goes.
struct Reader<'m> {
    moments: &'m Moments,
    /// See [`Lesson::names`].
    names: &'m [(&'m str, &'m str)],
    /// For each recording, when the moment of its last link is, in nanoseconds.
    latest: [i64; LETTERS.len()],
    /// Where links go.
    links: Vec<Moment<'m>>,
    /// The words of figures, and where they can be seen.
    figures: Vec<(String, Vec<Moment<'m>>)>,
}

impl<'m> Reader<'m> {
    fn new(moments: &'m Moments, names: &'m [(&'m str, &'m str)]) -> Reader<'m> {
        Reader {
            moments,
            names,
            latest: [i64::MIN; LETTERS.len()],
            links: Vec::new(),
            figures: Vec::new(),
        }
    }

    fn paragraphs(&mut self, all: &[&str]) -> Result<Vec<Markup>, String> {
        all.iter().map(|text| self.inline(text)).collect()
    }

    /// Text with `[words](moment)`, `{figure}`, `` `code` ``, `**bold**` and `*emphasis*`.
    fn inline(&mut self, text: &str) -> Result<Markup, String> {
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
                    let (words, moment) =
                        link.ok_or_else(|| format!("“[{inner}” has no moment"))?;
                    self.jump(words, moment)?
                }
                "{" => self.figure(inner)?,
                "`" => html! { code { (inner) } },
                "**" => html! { b { (inner) } },
                _ => html! { em { (inner) } },
            });
            rest = after;
        }
        Ok(html! { @for part in parts { (part) } (rest) })
    }

    /// A link that moves the replay to a moment, and perhaps (` ~2ms`, ` ~all`) sets how much time is
    /// in sight. One that is to go back in time says so: `back to A call recv`. The script numbers
    /// them: a page whose address ends with `#2` begins at the second one, and without a number at
    /// the first one.
    fn jump(&mut self, words: &str, moment: &str) -> Result<Markup, String> {
        let (sought, sight) = match moment.split_once(" ~") {
            Some((moment, sight)) => (moment, Some(in_nanos(sight)?)),
            None => (moment, None),
        };
        let back = sought.strip_prefix("back to ");
        let sought = expanded(back.unwrap_or(sought), self.names);
        let found = self.moments.find(&sought)?;
        let shown = self.inline(words)?;
        let latest = &mut self.latest[found.side];
        if found.end < *latest && back.is_none() {
            return Err(format!(
                "“[{words}]({moment})” is {} before the link to the same recording before it",
                Figure::Time(*latest - found.end)
            ));
        }
        *latest = found.end;
        self.links.push(found);
        let (process, thread) = (found.event.process, found.event.thread);
        Ok(html! {
            a class="jump" data-side=(found.side) data-process=(process) data-thread=(thread)
                data-place=(found.place) data-sight=[sight]
                title={ "Go to this moment of " (LETTERS[found.side]) } { (shown) }
        })
    }

    /// A figure. One of a single event names that event, so that a test can compare it with what the
    /// page says there.
    fn figure(&mut self, words: &str) -> Result<Markup, String> {
        let words = expanded(words, self.names);
        let figure = self.moments.figure(&words)?;
        let seen_at = self.moments.seen_at(&words)?;
        let is_said = ["took ", "size "]
            .iter()
            .any(|what| words.starts_with(what));
        let said = seen_at.first().filter(|_| is_said);
        let thread = said.map(|one| (one.event.process, one.event.thread));
        let markup = html! {
            span class="figure" data-side=[said.map(|one| one.side)]
                data-process=[thread.map(|one| one.0)] data-thread=[thread.map(|one| one.1)]
                data-place=[said.map(|one| one.place)] { (figure) }
        };
        self.figures.push((words, seen_at));
        Ok(markup)
    }

    /// Checks that a link goes wherever a figure can be seen.
    fn check_figures(&self) -> Result<(), String> {
        let is_linked = |one: &Moment| self.links.iter().any(|link| link.is(one));
        let hidden = |(_, all): &&(String, Vec<Moment>)| !all.iter().all(is_linked);
        match self.figures.iter().find(hidden) {
            Some((words, _)) => Err(format!("no link goes to where “{{{words}}}” can be seen")),
            None => Ok(()),
        }
    }
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
        let names = "moment: opening = A opened #1\nmoment: sleep = A call recv after $opening";
        let text = format!("title: T\n{names}\n\n{about}\n\nquestion: Q?\n\nA.\n");
        Ok(Lesson::read(&text)?.page(&moments)?.into_string())
    }

    #[test]
    fn a_text_has_figures_and_links_of_the_recordings() {
        let bytes = recording();
        let moments = Moments::read(&[&bytes, &bytes]).expect("a recording");
        for (words, expected) in [
            ("took A call recv #1", "2 ms"),
            ("took B call recv asleep", "2 ms"),
            ("took B call recv awake", "900 ns"),
            ("took A call recv :shortest", "900 ns"),
            ("value A call recv :last", "-11"),
            ("size A call recv >0", "5 B"),
            ("count A call", "2"),
            ("count A call after A opened", "2"),
            ("count A call after A call recv", "1"),
            ("count A call before A call recv :2", "1"),
            ("count A call after A waits before A call :2", "1"),
            ("took A call recv after A call recv", "900 ns"),
            ("total A call recv", "2 ms"),
            ("count A call @1", "1"),
            ("time A opened #1 to A call recv =5", "2 ms"),
            (
                "time A opened after A call @1 to A call recv =5 after A waits",
                "2 ms",
            ),
        ] {
            let figure = moments.figure(words).expect(words);
            assert_eq!(figure.to_string(), expected, "{words}");
        }
        let marked = page("`a*b` **c** *d* <e>").expect("a text");
        let expected = "<p><code>a*b</code> <b>c</b> <em>d</em> &lt;e&gt;</p>";
        assert!(marked.contains(expected), "{marked}");
        let link = page("[now](B call recv :2 ~2ms), {took B call recv :2}").expect("a link");
        for part in [
            "data-side=\"1\"",
            "data-thread=\"30\"",
            "data-place=\"3\"",
            "data-sight=\"2000000\"",
            "data-place=\"3\">900 ns</span>",
        ] {
            assert!(link.contains(part), "{link}");
        }
    }

    /// As words.js says them.
    #[test]
    fn figures_have_three_digits_and_no_zeros_behind_them() {
        for (figure, expected) in [
            (Figure::Time(999), "999 ns"),
            (Figure::Time(1_000), "1 µs"),
            (Figure::Time(65_700), "65.7 µs"),
            (Figure::Time(168_200), "168 µs"),
            (Figure::Time(1_085_200), "1.09 ms"),
            (Figure::Time(40_000_000), "40 ms"),
            (Figure::Time(-1_500), "-1.5 µs"),
            (Figure::Size(1023), "1023 B"),
            (Figure::Size(40_960), "40 KiB"),
            (Figure::Size(4043), "3.95 KiB"),
            (Figure::Count(1200), "1200"),
        ] {
            assert_eq!(figure.to_string(), expected);
        }
    }

    #[test]
    fn links_go_forward_in_time_and_figures_can_be_seen() {
        for text in [
            "[x](A opened) [y](A call recv) [z](A call recv :2)",
            "[x](A call recv :2) [y](B call recv) [z](back to A call recv)",
            "[x](A call recv) {took A call recv} [y](A call recv :2) {time A call recv to A call recv :2}",
            "{count A call} {count A call after A call recv} [x](A call recv)",
            "[{took $sleep}]($sleep) [x](back to $opening)",
        ] {
            page(text).expect(text);
        }
        for (text, expected) in [
            (
                "[x](A call recv :2) [y](A call recv)",
                "“[y](A call recv)” is 1.9 µs before",
            ),
            (
                "[x](A call recv) {took A call recv :2}",
                "no link goes to where “{took A call recv :2}” can be seen",
            ),
            (
                "[x](A call recv) {time A call recv to A call recv :2}",
                "no link goes to where",
            ),
            ("{count A call after A opened}", "no link goes to where"),
        ] {
            let error = page(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn what_does_not_fit_the_recordings_is_told() {
        for (text, expected) in [
            ("[x](A call send)", "the recording has 0 of “A call send”"),
            ("[x](C call recv)", "does not begin with the letter"),
            ("[x](A sleeps)", "does not begin with a kind of events"),
            ("[x](A call recv :soon)", "“:soon” is not understood"),
            (
                "[x](A call after B opened)",
                "“B opened” is of another recording",
            ),
            ("{count A call :2}", "“:2” chooses one"),
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
