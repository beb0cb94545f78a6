//! Checks the layers: which module may import which, and which names each must not use. Files of
//! one module must not import each other in a cycle.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};

/// The modules from the bottom up, and what each may import. Every module must be listed.
pub const LAYERS: &[(&str, &[&str])] = &[
    ("recording", &[]),
    ("trace", &["recording"]),
    ("sys", &["recording", "trace"]),
    ("lines", &["sys"]),
    ("background", &["sys"]),
    ("offload", &[]),
    ("auth", &["sys"]),
    ("net", &["sys"]),
    ("config", &["auth", "net"]),
    ("session", &[]),
    ("http1", &[]),
    ("client", &["session", "http1"]),
    ("files", &["sys", "trace"]),
    (
        "observe",
        &["session", "config", "lines", "recording", "sys", "trace"],
    ),
    ("confine", &["config"]),
    ("tls", &["session", "config", "net", "observe", "sys"]),
    (
        "service",
        &[
            "auth",
            "session",
            "http1",
            "files",
            "config",
            "observe",
            "background",
            "offload",
        ],
    ),
    ("poller", &["recording", "sys", "trace"]),
    ("uring", &["poller", "recording", "sys", "trace"]),
    (
        "model",
        &[
            "service",
            "poller",
            "uring",
            "session",
            "net",
            "config",
            "observe",
            "offload",
            "recording",
            "sys",
            "trace",
        ],
    ),
    (
        "server",
        &[
            "auth",
            "model",
            "service",
            "tls",
            "session",
            "net",
            "config",
            "observe",
            "confine",
            "recording",
            "sys",
            "trace",
        ],
    ),
    (
        "cli",
        &[
            "auth", "model", "service", "http1", "net", "config", "observe", "lines", "sys",
            "trace",
        ],
    ),
    ("replay", &["recording"]),
    ("program", &["cli", "server", "model", "net", "replay"]),
    ("main", &["program"]),
];

/// The only places where a path may begin with this, or a single name may occur.
const WORDS: &[(&str, &[&str])] = &[
    ("mio", &["poller/epoll.rs"]),
    ("argon2", &["auth/hashing.rs"]),
    ("bcrypt", &["auth/hashing.rs"]),
    ("blake2", &["auth/hashing.rs"]),
    ("httparse", &["http1/request.rs"]),
    (
        "Instant::now",
        &[
            "model/",
            "lines/",
            "observe/",
            "recording/recorder.rs",
            "server.rs",
            "server/",
            "tls/tickets.rs",
            "trace.rs",
        ],
    ),
    (
        "SystemTime::now",
        &[
            "model/clock.rs",
            "server/certificates.rs",
            "sys/untraced.rs",
            "cli/operator_log.rs",
        ],
    ),
    ("landlock", &["confine/"]),
    ("ppp", &["service/proxy_header.rs"]),
    ("rustls", &["tls/"]),
    // Recordings and pages are whole files, read and written before the program ends.
    ("std::fs", &["program.rs"]),
    (
        "std::thread",
        &[
            "background.rs",
            "cli/operator_log.rs",
            "model/",
            "offload.rs",
            // It waits where nobody else has to.
            "observe/short_recording.rs",
            "server/recording.rs",
            "server/reload.rs",
            // For `thread::panicking` in a check of debug builds.
            "session/connection.rs",
        ],
    ),
    ("TcpStream", &[]),
    ("TcpListener", &[]),
    ("socket2", &["net/"]),
    // The trace prints error names. Recordings need memory that processes share.
    (
        "rustix",
        &["sys/", "confine/", "recording/", "trace.rs", "trace/"],
    ),
    // fork(2) and signal handlers need `unsafe`.
    ("nix", &["sys/", "confine/", "model/process.rs", "trace.rs"]),
];

/// Modules whose files may import the file above them, although it imports them: they hold methods
/// of its type.
const PARTS: &[&str] = &[
    "model::event_loop",
    "model::thread_group",
    "session::connection",
];

/// The segments of a path such as `crate::net::Listener`.
type Names = Vec<String>;

/// What is read from a source file. Test modules are skipped.
#[derive(Default)]
struct Source {
    /// Below `src`.
    file: String,
    /// Such as `["net", "listener"]`.
    module: Names,
    /// What `use` brings into scope, by its name here, and whether it is re-exported (`pub use`).
    uses: Vec<(String, Names, bool)>,
    /// All other paths, including single names.
    paths: Vec<Names>,
}

impl Source {
    fn read(src: &Path, path: &Path) -> Source {
        let file = path.strip_prefix(src).expect("below src");
        let module = file.with_extension("");
        let module = module
            .iter()
            .map(|name| name.to_str().expect("UTF-8").to_owned());
        let tokens = read_to_string(path).expect("a source file").parse();
        let mut source = Source {
            file: file.to_str().expect("UTF-8").to_owned(),
            module: module.filter(|name| name != "mod").collect(),
            ..Source::default()
        };
        let tokens = tokens.unwrap_or_else(|error| panic!("{}: {error}", source.file));
        source.walk(tokens);
        source
    }

    fn walk(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let mut at = 0;
        let mut is_public = false;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Punct(mark) if mark.as_char() == '#' && is_test(tokens.get(at + 1)) => {
                    at = end_of_item(&tokens, at + 2);
                    continue;
                }
                TokenTree::Ident(word) if word == "pub" => is_public = true,
                TokenTree::Ident(word) if word == "use" => {
                    let end = end_of_statement(&tokens, at);
                    self.add_uses(&[], &tokens[at + 1..end], is_public);
                    (at, is_public) = (end, false);
                }
                TokenTree::Ident(_) => {
                    let (names, next) = path(&tokens, at);
                    self.paths.push(names);
                    (at, is_public) = (next, false);
                    continue;
                }
                // Such as `pub(super)`.
                TokenTree::Group(group)
                    if is_public && group.delimiter() == Delimiter::Parenthesis => {}
                TokenTree::Group(group) => self.walk(group.stream()),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            at += 1;
        }
    }

    /// Adds what a `use` tree brings into scope.
    fn add_uses(&mut self, before: &[String], tree: &[TokenTree], is_public: bool) {
        for part in tree
            .split(|token| is_mark(token, ','))
            .filter(|part| !part.is_empty())
        {
            let (names, next) = path(part, 0);
            let mut all = [before, &names].concat();
            match &part[next..] {
                [.., TokenTree::Group(group)] => {
                    let inside: Vec<_> = group.stream().into_iter().collect();
                    self.add_uses(&all, &inside, is_public);
                }
                rest => {
                    let alias = match rest {
                        [TokenTree::Ident(word), TokenTree::Ident(alias)] if word == "as" => {
                            Some(alias.to_string())
                        }
                        _ => None,
                    };
                    if all.len() > 1 && all.last().is_some_and(|last| last == "self") {
                        all.pop();
                    }
                    let name = alias.or_else(|| all.last().cloned());
                    self.uses.extend(name.map(|name| (name, all, is_public)));
                }
            }
        }
    }

    /// All paths in the file.
    fn all_paths(&self) -> impl Iterator<Item = &Names> {
        let used = self.uses.iter().map(|(_, names, _)| names);
        used.chain(&self.paths)
    }
}

fn is_mark(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

fn is_test(token: Option<&TokenTree>) -> bool {
    token.is_some_and(|token| token.to_string().replace(' ', "") == "[cfg(test)]")
}

/// The index behind the item that begins here: behind its braces or its semicolon.
fn end_of_item(tokens: &[TokenTree], from: usize) -> usize {
    let is_end = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        token => is_mark(token, ';'),
    };
    let end = tokens[from..].iter().position(is_end);
    end.map_or(tokens.len(), |end| from + end + 1)
}

fn end_of_statement(tokens: &[TokenTree], from: usize) -> usize {
    let end = tokens[from..].iter().position(|token| is_mark(token, ';'));
    end.map_or(tokens.len(), |end| from + end)
}

/// The segments of the path that begins here, and the index behind it.
fn path(tokens: &[TokenTree], from: usize) -> (Names, usize) {
    let (mut names, mut at) = (Names::new(), from);
    while let Some(TokenTree::Ident(name)) = tokens.get(at) {
        names.push(name.to_string());
        at += 1;
        match tokens.get(at..at + 2) {
            Some([one, other]) if is_mark(one, ':') && is_mark(other, ':') => at += 2,
            _ => break,
        }
    }
    (names, at)
}

fn find(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            find(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

fn sources() -> Vec<Source> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    find(&src, &mut files);
    let all = files.iter().map(|path| Source::read(&src, path));
    all.filter(|source| source.file != "lib.rs").collect()
}

/// Resolves paths to files.
struct Map {
    modules: BTreeSet<Names>,
    /// The meaning of a name in a module's scope.
    scope: BTreeMap<(Names, String), Names>,
}

impl Map {
    fn new(sources: &[Source]) -> Map {
        let mut map = Map {
            modules: sources.iter().map(|source| source.module.clone()).collect(),
            scope: BTreeMap::new(),
        };
        for source in sources {
            for (name, names, _) in &source.uses {
                if let Some(names) = map.absolute(&source.module, names) {
                    map.scope
                        .insert((source.module.clone(), name.clone()), names);
                }
            }
        }
        map
    }

    /// The same path from the crate's root. Returns `None` for a path into another crate and for a
    /// local name.
    fn absolute(&self, module: &[String], names: &[String]) -> Option<Names> {
        let (first, rest) = names.split_first()?;
        match first.as_str() {
            "crate" | "evserve" => Some(rest.to_vec()),
            "self" => Some([module, rest].concat()),
            "super" => {
                let (_, above) = module.split_last()?;
                match rest.first() {
                    Some(name) if name == "super" => self.absolute(above, rest),
                    _ => Some([above, rest].concat()),
                }
            }
            _ => {
                let child = [module, std::slice::from_ref(first)].concat();
                let is_child = self.modules.contains(&child) && !rest.is_empty();
                is_child.then(|| [module, names].concat())
            }
        }
    }

    /// The file that defines an item; re-exports are followed.
    fn file(&self, names: &[String], steps: usize) -> Option<&Names> {
        let lengths = (1..=names.len()).rev();
        let module = lengths
            .filter_map(|length| self.modules.get(&names[..length]))
            .next()?;
        let meant = names.get(module.len());
        let meant = meant.and_then(|name| self.scope.get(&(module.clone(), name.clone())));
        match meant {
            Some(meant) if steps > 0 => {
                let behind = &names[module.len() + 1..];
                self.file(&[meant, behind].concat(), steps - 1)
            }
            _ => Some(module),
        }
    }

    /// The files that a file needs, each with a path that needs it.
    fn needs<'a>(&'a self, source: &'a Source) -> BTreeMap<&'a Names, &'a Names> {
        let private = source.uses.iter().filter(|(_, _, is_public)| !is_public);
        let paths = private.map(|(_, names, _)| names);
        let paths = paths.chain(source.paths.iter().filter(|names| names.len() > 1));
        let file = |names: &'a Names| {
            let absolute = self.absolute(&source.module, names)?;
            Some((self.file(&absolute, 4)?, names))
        };
        let needs = paths.filter_map(file);
        needs.filter(|(file, _)| **file != source.module).collect()
    }
}

#[test]
fn imports_point_down() {
    let sources = sources();
    let known: BTreeSet<_> = LAYERS.iter().map(|(module, _)| *module).collect();
    let there: BTreeSet<_> = sources.iter().map(|source| &*source.module[0]).collect();
    assert_eq!(there, known, "the modules and the table of them");
    for source in &sources {
        let module = &*source.module[0];
        let plan = LAYERS.iter().find(|(known, _)| *known == module);
        let (_, allowed) = plan.expect("planned");
        for names in source.all_paths() {
            if let [first, import, ..] = &names[..]
                && (first == "crate" || first == "evserve")
                && known.contains(&**import)
            {
                let is_allowed = import == module || allowed.contains(&&**import);
                assert!(is_allowed, "{} must not import {import}", source.file);
            }
        }
    }
}

/// A module imports only modules that precede it in the table.
#[test]
fn the_table_of_layers_points_down() {
    for (index, (module, allowed)) in LAYERS.iter().enumerate() {
        for import in *allowed {
            let is_below = LAYERS[..index].iter().any(|(known, _)| known == import);
            assert!(
                is_below,
                "{module} may import {import}, which is not above it in the table"
            );
        }
    }
}

#[test]
fn files_of_a_module_have_no_import_cycle() {
    let sources = sources();
    let map = Map::new(&sources);
    let is_part = |from: &Names, to: &Names| {
        from.len() == to.len() + 1 && from.starts_with(to) && PARTS.contains(&&*to.join("::"))
    };
    let mut needs: BTreeMap<&Names, BTreeMap<&Names, &Names>> = BTreeMap::new();
    for source in &sources {
        let mut own = map.needs(source);
        own.retain(|file, _| file[0] == source.module[0] && !is_part(&source.module, file));
        needs.insert(&source.module, own);
    }
    // A file that needs none of the remaining files is in no cycle.
    while let Some(free) = needs.keys().copied().find(|file| {
        let mut own = needs[*file].keys();
        own.all(|other| !needs.contains_key(*other))
    }) {
        needs.remove(free);
    }
    // Neither is a file that none of the remaining files needs.
    while let Some(free) = needs.keys().copied().find(|file| {
        let mut all = needs.values();
        all.all(|own| !own.contains_key(*file))
    }) {
        needs.remove(free);
    }
    let mut circle = String::new();
    for (file, own) in &needs {
        for (other, names) in own.iter().filter(|(other, _)| needs.contains_key(*other)) {
            let (file, other) = (file.join("::"), other.join("::"));
            circle += &format!("\n{file} needs {other} ({})", names.join("::"));
        }
    }
    assert!(
        circle.is_empty(),
        "files of one module import each other:{circle}"
    );
}

#[test]
fn modules_do_not_use_forbidden_names() {
    for source in sources() {
        for (word, places) in WORDS {
            let word: Vec<_> = word.split("::").collect();
            let is_used = source.all_paths().any(|names| match word[..] {
                [name] if name.starts_with(char::is_uppercase) => {
                    names.iter().any(|one| one == name)
                }
                [name] => names.len() > 1 && names[0] == name,
                _ => names.windows(word.len()).any(|window| window == word),
            });
            let is_allowed = places.iter().any(|place| source.file.starts_with(place));
            let word = word.join("::");
            assert!(
                is_allowed || !is_used,
                "{} must not name {word}",
                source.file
            );
        }
    }
}

/// Code behind a test module is scanned, the test module is not.
#[test]
fn the_scan_skips_only_test_modules() {
    let text = "use crate::{a::{self, B as C}, d}; #[cfg(test)] mod tests { use crate::e; } \
                #[cfg(test)] pub fn f() -> g::H {} pub(super) use self::i::J; fn k() { l::m!(n::o) }";
    let mut source = Source::default();
    source.walk(text.parse().expect("Rust"));
    let shown = |names: &Names| names.join("::");
    let mut uses = source.uses.iter().map(|(name, names, is_public)| {
        format!(
            "{name} = {}{}",
            shown(names),
            if *is_public { ", handed on" } else { "" }
        )
    });
    let uses: Vec<_> = uses.by_ref().collect();
    let expected = [
        "a = crate::a",
        "C = crate::a::B",
        "d = crate::d",
        "J = self::i::J, handed on",
    ];
    assert_eq!(uses, expected);
    let paths: Vec<_> = source.paths.iter().map(shown).collect();
    assert_eq!(paths, ["fn", "k", "l::m", "n::o"]);
}
