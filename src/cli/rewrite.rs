//! Answers arguments that mean something to other servers: with the user's own command line, rewritten
//! as evserve takes it, or with the reason why there is no such thing.

use super::listen::{is_address, whole_address};
use super::spellings::Answer::{self, Host, HostIs, Root, Same, Type, Without};
use super::spellings::{COMMANDS, answer};
use crate::model;
use crate::service::{self, SERVICES};
use clap::Command;
use std::path::Path;

/// The answer to an argument that clap does not know; `None` if no other server knows it either.
/// `arguments` are all of them, without the program's name.
pub(super) fn unknown(argument: &str, arguments: &[String], options: &Command) -> Option<String> {
    let (name, _) = split(argument);
    if !name.starts_with('-') {
        let line = Line::read(arguments, options);
        return Some(match line.has_changed {
            true => format!(
                "`{argument}` is one argument too many; type:\n\n  {}",
                line.shown()
            ),
            false => format!("evserve serves one directory or file; `{argument}` is a second one"),
        });
    }
    Some(match answer(name)? {
        Without(why) => format!("no option {name}: {why}"),
        Same(why) => format!("no option {name}: {why}; leave it out"),
        Host | HostIs(_) | Root | Type(_) => {
            let line = Line::read(arguments, options);
            format!("evserve has no {name}; type:\n\n  {}", line.shown())
        }
    })
}

/// The answer to a ROOT that does not exist, if its name has another meaning.
pub(super) fn root(root: &Path, arguments: &[String], options: &Command) -> Option<String> {
    let name = root.to_str()?;
    meaning(name)?;
    let line = Line::read(arguments, options);
    Some(format!(
        "there is no directory or file `{name}`; type:\n\n  {}",
        line.shown()
    ))
}

/// The option that is meant by a word in the place of ROOT, unless a directory or file has this
/// name.
fn meaning(word: &str) -> Option<Meaning> {
    if Path::new(word).exists() {
        return None;
    }
    if word.parse::<u16>().is_ok() {
        return Some(Meaning::Port);
    }
    if COMMANDS.contains(&word) {
        return Some(Meaning::Command);
    }
    let option = if matches!(word, "help" | "version") {
        format!("--{word}")
    } else if service::find(word).is_some() {
        format!("--mode {word}")
    } else if model::find(word).is_some() {
        format!("--model {word}")
    } else if is_address(word) {
        format!("--listen {}", quoted(word))
    } else {
        return None;
    };
    Some(Meaning::Option(option))
}

enum Meaning {
    Port,
    Command,
    Option(String),
}

/// The name of an option, and the value that is attached to it.
fn split(argument: &str) -> (&str, Option<&str>) {
    match argument.strip_prefix('-') {
        Some(long) if long.starts_with('-') => match argument.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (argument, None),
        },
        Some(short) => match short.char_indices().nth(1) {
            Some((at, _)) => {
                let (name, value) = argument.split_at(at + 1);
                (name, Some(value.strip_prefix('=').unwrap_or(value)))
            }
            None => (argument, None),
        },
        None => (argument, None),
    }
}

/// A user's command line in the spelling of this program.
#[derive(Default)]
struct Line {
    hosts: Vec<String>,
    port: Option<String>,
    options: Vec<String>,
    roots: Vec<String>,
    default_port: Option<u16>,
    has_changed: bool,
}

impl Line {
    fn read(arguments: &[String], options: &Command) -> Line {
        let mut line = Line::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let (name, attached) = split(argument);
            if !name.starts_with('-') || name == "-" {
                line.add_word(argument);
                continue;
            }
            let known = answer(name);
            let takes_value = match known {
                Some(answer) => answer.takes_value(),
                None => takes_value(name, options),
            };
            let value = match (takes_value, attached) {
                (true, None) => rest.next().map(String::as_str),
                (_, attached) => attached,
            };
            match known {
                Some(answer) => line.add_answer(name, answer, value),
                None => line.add_option(name, value),
            }
        }
        line
    }

    fn add_word(&mut self, word: &str) {
        match meaning(word) {
            Some(Meaning::Port) => self.port = Some(word.into()),
            Some(Meaning::Command) => {}
            Some(Meaning::Option(option)) => self.options.push(option),
            None => return self.roots.push(quoted(word)),
        }
        self.has_changed = true;
    }

    fn add_answer(&mut self, name: &str, answer: Answer, value: Option<&str>) {
        self.has_changed = true;
        match answer {
            Host => self.hosts.push(value.unwrap_or("0.0.0.0").into()),
            HostIs(host) => self.hosts.push(host.into()),
            Root => self.roots.push(quoted(value.unwrap_or("."))),
            Type(text) => {
                let value = value.unwrap_or("VALUE");
                self.options.push(text.replace("{}", value));
            }
            Same(_) => {}
            // The next answer is about this one.
            Without(_) => self.options.push(name.into()),
        }
    }

    fn add_option(&mut self, name: &str, value: Option<&str>) {
        match (name, value) {
            ("-p" | "--port", Some(port)) => self.port = Some(port.into()),
            (_, Some(value)) => {
                if name == "--mode" {
                    self.default_port = service::find(value).map(|row| row.port);
                }
                self.options.push(format!("{name} {}", quoted(value)));
            }
            (_, None) => self.options.push(name.into()),
        }
    }

    fn shown(mut self) -> String {
        let default_port = self.default_port.unwrap_or(SERVICES[0].port);
        let port = self.port.take();
        if let (true, Some(port)) = (self.hosts.is_empty(), &port) {
            self.options.push(format!("--port {port}"));
        }
        for host in &self.hosts {
            let port = port.as_deref().and_then(|port| port.parse().ok());
            let port = port.unwrap_or(default_port);
            let address = whole_address(host, None, port);
            let address = address.unwrap_or_else(|_| format!("{host}:{port}"));
            self.options.push(format!("--listen {}", quoted(&address)));
        }
        let words = [vec!["evserve".into()], self.options, self.roots];
        words.concat().join(" ")
    }
}

fn takes_value(name: &str, options: &Command) -> bool {
    let is_named = |arg: &&clap::Arg| {
        let long = name.strip_prefix("--");
        let short = name.strip_prefix('-').and_then(|name| name.chars().next());
        arg.get_long().is_some_and(|own| Some(own) == long)
            || (long.is_none() && arg.get_short().is_some_and(|own| Some(own) == short))
    };
    let arg = options.get_arguments().find(is_named);
    arg.is_some_and(|arg| arg.get_action().takes_values())
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    // Only a NUL cannot be quoted, and no argument has one.
    shlex::try_quote(word).map_or_else(|_| word.into(), Into::into)
}

#[cfg(test)]
mod tests {
    use super::super::options::table;
    use super::super::spellings::SPELLINGS;
    use super::*;
    use std::collections::BTreeSet;
    use std::ffi::OsString;

    /// The error of a command line.
    fn error(line: &[&str]) -> String {
        let arguments = ["evserve"].iter().chain(line).map(OsString::from);
        let task = super::super::parse(arguments, Vec::new());
        task.expect_err("a mistake").to_string()
    }

    #[test]
    fn every_spelling_of_other_servers_is_answered() {
        let mut known = BTreeSet::new();
        let options = table();
        for (names, answer) in SPELLINGS {
            for name in *names {
                assert!(known.insert(name), "{name} is there twice");
                let mut own = options.get_arguments();
                let is_own = own.any(|arg| {
                    let long = arg.get_long().map(|long| format!("--{long}"));
                    let short = arg.get_short().map(|short| format!("-{short}"));
                    [long, short].contains(&Some((*name).into()))
                });
                assert!(!is_own, "{name} is an option here");
                let line = match answer.takes_value() {
                    true => vec![*name, "7"],
                    false => vec![*name],
                };
                let error = error(&line);
                assert!(error.contains(&format!(" {name}")), "{name}: {error}");
                assert!(
                    !error.contains("VALUE") && !error.contains("{}"),
                    "{name}: {error}"
                );
                // evserve understands the command line that it proposes.
                if let Some((_, typed)) = error.split_once("type:\n\n  evserve") {
                    let words = typed.split_whitespace().map(|word| word.trim_matches('\''));
                    let known = table().try_get_matches_from(
                        ["evserve"]
                            .into_iter()
                            .chain(words.filter(|word| *word != "*")),
                    );
                    let kind = known.map_err(|error| error.kind()).err();
                    assert!(
                        !matches!(kind, Some(clap::error::ErrorKind::UnknownArgument)),
                        "{name}: {error}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_whole_command_line_is_rewritten() {
        let cases: [(&[&str], &str); 23] = [
            (&["serve", "src"], "evserve src"),
            (
                &["file-server", "--root", "src", "--listen", ":80"],
                "evserve --listen :80 src",
            ),
            (&["run"], "evserve"),
            (&["8000"], "evserve --port 8000"),
            (&["echo"], "evserve --mode echo"),
            (&["epoll"], "evserve --model epoll"),
            (&["help"], "evserve --help"),
            (&["0.0.0.0:8000"], "evserve --listen 0.0.0.0:8000"),
            (&[":8000"], "evserve --listen :8000"),
            (&["src", "8000"], "evserve --port 8000 src"),
            (&["8000", "src"], "evserve --port 8000 src"),
            (&["--bind", "0.0.0.0"], "evserve --listen 0.0.0.0:8080"),
            (
                &["--bind=0.0.0.0", "src"],
                "evserve --listen 0.0.0.0:8080 src",
            ),
            (&["-b0.0.0.0", "-p", "80"], "evserve --listen 0.0.0.0:80"),
            (&["8000", "--bind", "::1"], "evserve --listen '[::1]:8000'"),
            (&["--host", "a.example"], "evserve --listen a.example:8080"),
            (&["--host", "0.0.0.0:80"], "evserve --listen 0.0.0.0:80"),
            (
                &["--mode", "echo", "--host", "0.0.0.0"],
                "evserve --mode echo --listen 0.0.0.0:7007",
            ),
            (&["-d", "a b", "-p", "80"], "evserve --port 80 'a b'"),
            (&["--spa", "src"], "evserve --fallback index.html src"),
            (&["--model", "poll", "-C"], "evserve --model poll --cors"),
            (
                &["-q", "--no-dirlist", "--hidden"],
                "evserve --access-log off --log-level warn --no-listing --hidden",
            ),
            (&["-d", "it's"], r#"evserve "it's""#),
        ];
        for (line, expected) in cases {
            let error = error(line);
            let (_, typed) = error.split_once("type:\n\n  ").expect("something to type");
            assert_eq!(typed.trim_end(), expected, "{line:?}");
        }
    }

    #[test]
    fn options_that_are_not_here_are_no_typing_mistakes() {
        for (option, expected) in [
            (
                "--precompressed",
                "in place of FILE without it; leave it out",
            ),
            ("--no-symlinks", "those that lead out of it are refused"),
            ("--random-route", "evserve serves ROOT at / only"),
            ("--route-prefix", "evserve serves ROOT at / only"),
        ] {
            let error = error(&[option]);
            assert!(error.contains(&format!("no option {option}: ")), "{error}");
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn what_exists_is_served_whatever_its_name() {
        let here = tempfile::tempdir().expect("a directory");
        let path = here.path().join("8000");
        std::fs::create_dir(&path).expect("made");
        assert_eq!(root(&path, &[], &table()), None);
        let error = error(&["--unheard-of"]);
        assert!(
            error.contains("unexpected argument '--unheard-of'"),
            "{error}"
        );
    }
}
