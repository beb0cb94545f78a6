//! What a folder of files answers to a request: the only place where `http1` and `files` meet.

use super::answer::{Answer, Pieces};
use super::resource::{Chosen, Maker, Resource};
use super::response::{Handler, Made, Response, Task};
use crate::config::{Config, EntityTag, Http, MAX_HEADERS, StartError};
use crate::files::{
    Cache, CacheLimits, Format, Found, Kept, Key, Led, Listing, ListingError, Listings, Memory,
    NamedRoot, OpenFile, Order, PathError, Refusal, RelativePath, Root, Trace,
};
use crate::http1::{CODINGS, List, Method, Request, Status, TagParts, Verdict, media_weight};
use crate::observe::throttled;
use crate::session::Time;
use arrayvec::ArrayVec;
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use std::io::ErrorKind;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What a query has by the leniency of [`crate::http1::Target`] and a Location field may not have.
const NOT_IN_A_QUERY: &AsciiSet = &CONTROLS.add(b'"').add(b'<').add(b'>').add(b'\\');

/// By how much a compressed sibling may seem older than its file and be as new: compressors and copies cut times to
/// whole seconds, FAT to even ones.
const SIBLING_STEP: Duration = Duration::from_secs(2);

/// How often it is logged that a file cannot be opened for the moment: each client that asks for it would cause a line.
const LEASE_PAUSE: Duration = Duration::from_secs(60);

/// A folder of files.
pub(super) struct Site {
    root: NamedRoot,
    options: Http,
    cache: Cache<Resource>,
    listings: Listings,
    /// The lines that options add to the head of an answer from a file.
    more: String,
    /// What is served where there is nothing.
    fallback: Option<Box<RelativePath>>,
    /// What is served with which status code.
    error_pages: Vec<(u16, Box<RelativePath>)>,
}

impl Site {
    pub fn new(named: NamedRoot, config: &Config) -> Result<Site, StartError> {
        let options = config.http.clone();
        let cache_control = options.cache_control.as_ref();
        let cache_control =
            cache_control.map_or(String::new(), |value| format!("Cache-Control: {value}\r\n"));
        let more = format!("{}{cache_control}", options.headers);
        if more.len() > MAX_HEADERS {
            return Err(StartError(
                "too many fields are to be added to every answer".into(),
            ));
        }
        let cache = Cache::new(CacheLimits {
            bytes: options.cache_bytes,
            files: options.cache_files,
        });
        let name = named.name().display();
        let gone = || StartError(format!("cannot serve {name}: it is gone"));
        let root = named.last_known().ok_or_else(gone)?;
        cache.begin(Some(&root));
        let fallback = options.fallback.iter();
        let fallback = fallback.map(|path| configured_file(path, &root)).next();
        let pages = options.error_pages.iter();
        let pages = pages.map(|(code, path)| Ok((*code, configured_file(path, &root)?)));
        Ok(Site {
            fallback: fallback.transpose()?,
            error_pages: pages.collect::<Result<_, _>>()?,
            cache,
            listings: Listings::new(listing_memory(&options), options.hidden),
            root: named,
            more,
            options,
        })
    }

    /// The directory that is served at the moment. What is remembered is of this one.
    fn root(&self, time: &Time) -> Option<Arc<Root>> {
        match self.root.follow(time.now()) {
            Led::Same(root) => Some(root),
            Led::Other(root) => {
                self.cache.begin(Some(&root));
                Some(root)
            }
            Led::Nowhere(true) => {
                self.cache.begin(None);
                None
            }
            Led::Nowhere(false) => None,
        }
    }

    /// Gives an answer that says only its status the page that is configured for that, if there is one.
    fn dress(&self, root: &Root, answer: Answer, time: &Time) -> Answer {
        let mut pages = self.error_pages.iter();
        let page = pages.find(|(code, _)| *code == answer.status.code());
        match page.and_then(|(_, path)| self.configured(root, path, time)) {
            Some(kept) => answer.with_page(&Chosen::plain(kept)),
            None => answer,
        }
    }

    fn look_up(
        &self,
        root: &Arc<Root>,
        request: &Request<'_>,
        time: &Time,
    ) -> Result<Made, Status> {
        let target = request.target.path;
        let now = time.now();
        // What is encoded could be taken for the name of something else.
        if !target.contains(&b'%') {
            if let Some(kept) = self.cache.get(root, target, now) {
                return Ok(Made::Answer(file(request, kept, time)));
            }
            if self.cache.is_missing(target, now) {
                return self.fall_back(root, request, time);
            }
        }
        let mut path = RelativePath::decode(target).map_err(|error| match error {
            PathError::Malformed => Status::BAD_REQUEST,
            PathError::NoSuchName => Status::NOT_FOUND,
        })?;
        let name = path.name();
        let is_hidden = !self.options.hidden && path.is_hidden();
        if is_hidden || self.cache.is_missing(&name, now) {
            return self.fall_back(root, request, time);
        }
        if *name != *target
            && let Some(kept) = self.cache.get(root, &name, now)
        {
            return Ok(Made::Answer(file(request, kept, time)));
        }
        let mut trace = Trace::new();
        match root.find(&mut path, &mut trace) {
            Ok(Found::File(found)) => {
                let kept = self.remember(root, &name, found, &mut path, trace, time);
                Ok(Made::Answer(file(request, kept, time)))
            }
            Ok(Found::DirectoryWithoutSlash) => Ok(Made::Answer(redirect(request, &path))),
            Ok(Found::Directory(_)) if !self.options.listing => Err(Status::FORBIDDEN),
            Ok(Found::Directory(directory)) => {
                match request.conditions.verdict_without_validators() {
                    Verdict::Proceed => {}
                    Verdict::NotModified => return Ok(Made::Answer(Answer::not_modified())),
                    Verdict::PreconditionFailed => return Err(Status::PRECONDITION_FAILED),
                }
                let order = order(request);
                if request.method == Method::Head {
                    return Ok(Made::Answer(listed(Answer::unmade, order.format)));
                }
                let listing = self
                    .listings
                    .begin(root.clone(), path, target, directory, order);
                Ok(Made::Later(Box::new(ListingTask {
                    listing: Some(listing),
                })))
            }
            Err(Refusal::NotFound) => {
                self.cache.put_missing(&name, now);
                self.fall_back(root, request, time)
            }
            Err(refusal) => Err(refused(refusal, &path)),
        }
    }

    fn fall_back(&self, root: &Root, request: &Request<'_>, time: &Time) -> Result<Made, Status> {
        let path = self.fallback.as_ref();
        let kept = path.and_then(|path| self.configured(root, path, time));
        let answer = kept.map(|kept| file(request, kept, time));
        answer.map(Made::Answer).ok_or(Status::NOT_FOUND)
    }

    /// What a path leads to that an option has named. It is remembered under a name that no request has.
    fn configured(
        &self,
        root: &Root,
        path: &RelativePath,
        time: &Time,
    ) -> Option<Arc<Kept<Resource>>> {
        let name = path.as_c_str().to_bytes();
        if let Some(kept) = self.cache.get(root, name, time.now()) {
            return Some(kept);
        }
        let (mut path, mut trace) = (path.clone(), Trace::new());
        match root.find(&mut path, &mut trace) {
            Ok(Found::File(file)) => Some(self.remember(root, name, file, &mut path, trace, time)),
            _ => None,
        }
    }

    /// Makes of a file what is sent of it, with its compressed siblings. A sibling that is older than its file is the
    /// past's.
    fn remember(
        &self,
        root: &Root,
        name: &[u8],
        file: OpenFile,
        path: &mut RelativePath,
        mut trace: Trace,
        time: &Time,
    ) -> Arc<Kept<Resource>> {
        let mut siblings = ArrayVec::new();
        let is_coded = |suffix: &str| path.as_c_str().to_bytes().ends_with(suffix.as_bytes());
        if !CODINGS.iter().any(|coding| is_coded(coding.suffix)) {
            for coding in CODINGS {
                let sibling = root.find_sibling(path, coding.suffix, &mut trace);
                if let Some(sibling) = sibling.filter(|one| !is_older(one, &file)) {
                    siblings.push((coding, sibling));
                }
            }
        }
        let maker = Maker {
            limits: self.cache.limits(),
            more: &self.more,
            tag_parts: match self.options.entity_tag {
                EntityTag::Full => TagParts::All,
                EntityTag::Mtime => TagParts::LengthAndTime,
            },
            now: time.wall(),
        };
        let kept = maker.make(file, siblings, trace);
        self.cache.put(root, name, time.now(), kept)
    }
}

fn listing_memory(options: &Http) -> Memory {
    match options.listing_processes {
        0 | 1 => Memory::new(options.listing_bytes),
        processes => Memory::of_processes(options.listing_bytes, processes),
    }
}

/// True if the sibling was made from an earlier version of the file, as far as their times tell.
fn is_older(sibling: &OpenFile, file: &OpenFile) -> bool {
    let age = file.modified.duration_since(sibling.modified);
    age.is_ok_and(|age| age >= SIBLING_STEP)
}

/// A file, as the request wants it.
fn file(request: &Request<'_>, kept: Arc<Kept<Resource>>, time: &Time) -> Answer {
    let chosen = Chosen::new(kept, request.accept_encoding);
    Answer::file(request, chosen, time.wall())
}

impl Handler for Site {
    /// Opens files, and changes nothing.
    fn answer(&self, request: &Request<'_>, time: &Time) -> Response {
        let Some(root) = self.root(time) else {
            let answer = Answer::plain(Status::SERVICE_UNAVAILABLE);
            return Response(Made::Answer(answer));
        };
        let made = match request.method {
            Method::Options => Ok(Made::Answer(Answer::options())),
            Method::Get | Method::Head => self.look_up(&root, request, time),
            Method::Known | Method::Unknown => Err(Status::METHOD_NOT_ALLOWED),
        };
        let made = made.unwrap_or_else(|status| Made::Answer(Answer::plain(status)));
        Response(match made {
            Made::Answer(answer) => Made::Answer(self.dress(&root, answer, time)),
            later @ (Made::Later(_) | Made::Stream(..)) => later,
        })
    }

    fn refusal(&self, status: Status, time: &Time) -> Response {
        let answer = Answer::plain(status);
        Response(Made::Answer(match self.root(time) {
            Some(root) => self.dress(&root, answer, time),
            None => answer,
        }))
    }

    fn about(&self) -> String {
        let root = self.root.last_known();
        let path = root.as_deref().map_or(self.root.name(), Root::path);
        path.display().to_string()
    }

    fn notifier(&self) -> Option<BorrowedFd<'_>> {
        self.cache.notifier(&*self.root.last_known()?)
    }

    fn notified(&self) {
        self.cache.notified();
    }

    fn directories(&self) -> Vec<PathBuf> {
        vec![self.root.name().to_owned()]
    }

    fn is_ready(&self, time: &Time) -> bool {
        self.root(time).is_some()
    }
}

/// A directory is read, and its page made, slice by slice.
struct ListingTask {
    /// There is one until the answer is there.
    listing: Option<Result<Listing, ListingError>>,
}

impl Task for ListingTask {
    fn step(&mut self, work: &mut usize) -> Option<Result<Answer, Status>> {
        let ready = match &mut self.listing {
            Some(Ok(listing)) => listing.step(work),
            Some(Err(error)) => Err(*error),
            None => return None,
        };
        match ready {
            Ok(false) => None,
            Ok(true) => {
                let listing = self.listing.take()?.ok()?;
                let format = listing.format();
                let pieces = |media_type| Answer::pieces(Box::new(listing), media_type);
                Some(Ok(listed(pieces, format)))
            }
            Err(error) => {
                self.listing = None;
                Some(Err(refused_listing(error)))
            }
        }
    }
}

/// How often it is logged that there is no memory for a listing: the same clients may ask all day.
const LOG_PAUSE: Duration = Duration::from_secs(60);

/// The status to refuse a listing with.
fn refused_listing(error: ListingError) -> Status {
    match error {
        ListingError::Unreadable(kind) => {
            throttled!(Error, "cannot list a directory: {kind}");
            Status::INTERNAL_SERVER_ERROR
        }
        ListingError::TooLarge => {
            throttled!(
                every LOG_PAUSE,
                Warn,
                "cannot list a directory: it has too many entries for --listing-bytes"
            );
            Status::INSUFFICIENT_STORAGE
        }
        ListingError::Busy => {
            throttled!(
                every LOG_PAUSE,
                Warn,
                "cannot list a directory now: other listings take all of --listing-bytes"
            );
            Status::SERVICE_UNAVAILABLE
        }
    }
}

impl Pieces for Listing {
    fn left(&self) -> u64 {
        Listing::left(self)
    }

    fn next(&mut self, work: &mut usize) -> Vec<u8> {
        self.write_piece(work)
    }
}

/// The answer that `make` makes of a media type, with what belongs to a listing in this format.
fn listed(make: impl FnOnce((&'static str, &'static str)) -> Answer, format: Format) -> Answer {
    let mut answer = make(format.media_type());
    answer.vary = Some("Accept");
    answer.has_policy = format == Format::Html;
    answer
}

/// How the request wants a directory listed: what its query says (`sort=name|size|time`, `order=asc|desc`,
/// `format=html|json|text`), else what its Accept field likes best.
fn order(request: &Request<'_>) -> Order {
    let query = request.target.query.unwrap_or_default();
    let value = |name: &[u8]| {
        let mut pairs = query.split(|&b| b == b'&');
        pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
    };
    Order {
        format: match value(b"format") {
            Some(b"html") => Format::Html,
            Some(b"json") => Format::Json,
            Some(b"text") => Format::Text,
            _ => preferred_format(request.accept.unwrap_or(List::from(&b"*/*"[..]))),
        },
        key: match value(b"sort") {
            Some(b"size") => Key::Size,
            Some(b"time") => Key::Time,
            _ => Key::Name,
        },
        descending: value(b"order") == Some(b"desc"),
    }
}

fn preferred_format(accept: List<'_>) -> Format {
    let formats = [Format::Html, Format::Json, Format::Text];
    let weight = |format: &Format| media_weight(accept, format.media_type().0);
    // The last of equals wins in `max_by_key`, and the first format is the one to prefer.
    let best = formats.into_iter().rev().max_by_key(weight);
    best.unwrap_or(Format::Html)
}

/// A path as an option has it, relative to the root and not encoded. There must be a file.
fn configured_file(text: &str, root: &Root) -> Result<Box<RelativePath>, StartError> {
    const IN_A_NAME: &AsciiSet = &CONTROLS.add(b'%');
    let encoded = percent_encode(text.as_bytes(), IN_A_NAME);
    let path = RelativePath::decode(format!("/{encoded}").as_bytes()).ok();
    let is_file = |path: &RelativePath| {
        let found = root.find(&mut path.clone(), &mut Trace::new());
        matches!(found, Ok(Found::File(_)))
    };
    path.filter(is_file).map(Box::new).ok_or_else(|| {
        let root = root.path().display();
        StartError(format!("there is no file {text} in {root} to answer with"))
    })
}

fn redirect(request: &Request<'_>, path: &RelativePath) -> Answer {
    let mut location = path.slash_reference();
    if let Some(query) = request.target.query {
        location.push('?');
        location.extend(percent_encode(query, NOT_IN_A_QUERY));
    }
    let mut answer = Answer::plain(Status::MOVED_PERMANENTLY);
    answer.location = Some(location);
    answer
}

fn refused(refusal: Refusal, path: &RelativePath) -> Status {
    match refusal {
        Refusal::NotFound => Status::NOT_FOUND,
        Refusal::Forbidden => Status::FORBIDDEN,
        Refusal::Busy(error) if error.kind() == ErrorKind::WouldBlock => {
            let path = path.as_path();
            throttled!(
                every LEASE_PAUSE,
                Warn,
                "{path:?} cannot be opened now: another program has a lease on it (fcntl(2)), or renames what leads there"
            );
            Status::SERVICE_UNAVAILABLE
        }
        Refusal::Busy(error) => {
            log::debug!("cannot open {:?}: {error}", path.as_path());
            Status::SERVICE_UNAVAILABLE
        }
        Refusal::Failed(error) => {
            throttled!(Error, "cannot open {:?}: {error}", path.as_path());
            Status::INTERNAL_SERVER_ERROR
        }
    }
}
