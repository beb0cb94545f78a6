//! What a folder of files answers to a request: the only place where `http1` and `files` meet.

use super::answer::{Answer, Pieces};
use super::resource::{Chosen, Maker, Resource};
use super::response::{Handler, LookUp, Outcome, Response, Task};
use crate::config::{Config, DEFAULT_MEMORY, EntityTag, Http, MAX_HEADERS, StartError};
use crate::files::{
    Cache, CacheEntry, CacheLimits, Dependencies, Format, Found, Key, Led, Listing, ListingError,
    Listings, Memory, Mounts, NamedRoot, OpenFile, Order, PathError, Refusal, RelativePath, Root,
    remote_mount,
};
use crate::http1::{CODINGS, List, Method, Request, StatusCode, TagParts, Verdict, media_weight};
use crate::observe::throttled;
use crate::offload;
use crate::session::Time;
use arrayvec::ArrayVec;
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use std::io::ErrorKind;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// What a query has by the leniency of [`crate::http1::Target`] and a Location field may not have.
const NOT_IN_A_QUERY: &AsciiSet = &CONTROLS.add(b'"').add(b'<').add(b'>').add(b'\\');

/// By how much a compressed sibling may seem older than its file and be as new: compressors and copies cut times to
/// whole seconds, FAT to even ones.
const SIBLING_STEP: Duration = Duration::from_secs(2);

/// How often it is logged that a file cannot be opened for the moment: each client that asks for it would cause a line.
const LEASE_PAUSE: Duration = Duration::from_secs(60);

/// A folder of files, as a handler. What depends on other mounts than the root's own, or on a root that can hang, is looked
/// up where one may wait.
pub(super) struct Files(Arc<Site>);

/// A folder of files.
struct Site {
    root: NamedRoot,
    /// A loop has asked for the [notifier](Handler::notifier).
    is_in_loop: AtomicBool,
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

/// Where a look-up is made, when, and how far it may go.
#[derive(Clone, Copy)]
struct At<'a> {
    root: &'a Arc<Root>,
    time: &'a Time,
    mounts: Mounts,
}

/// Why there is no answer yet.
enum Unmade {
    Refused(StatusCode),
    /// It depends on other mounts than those that may be looked at.
    Outside,
}

/// Of the cache and of what has been found, there is no other refusal.
impl From<Refusal> for Unmade {
    fn from(_: Refusal) -> Unmade {
        Unmade::Outside
    }
}

impl From<StatusCode> for Unmade {
    fn from(status: StatusCode) -> Unmade {
        Unmade::Refused(status)
    }
}

impl Files {
    pub fn new(named: NamedRoot, config: &Config) -> Result<Files, StartError> {
        Ok(Files(Arc::new(Site::new(named, config)?)))
    }

    /// The same look-up, on all mounts.
    fn look_up(&self, request: &Request<'_>) -> LookUp {
        let path = RelativePath::decode(request.target.path);
        let root = self.0.root.last_known();
        let mount = path.ok().zip(root).map(|(path, root)| root.mount_of(&path));
        let site = self.0.clone();
        LookUp {
            mount: mount.unwrap_or_default(),
            look: Box::new(move |request, time| {
                let made = site.answer(request, time, Mounts::All);
                made.unwrap_or_else(|_| Outcome::Answer(Answer::plain(StatusCode::FORBIDDEN)))
            }),
        }
    }
}

impl Site {
    fn new(named: NamedRoot, config: &Config) -> Result<Site, StartError> {
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
        let limits = CacheLimits {
            bytes: options.cache_bytes.unwrap_or(DEFAULT_MEMORY),
            files: options.cache_files,
        };
        let cache = Cache::new(limits, options.watches);
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
            is_in_loop: AtomicBool::new(false),
            more,
            options,
        })
    }

    /// The directory that is served at the moment. What is remembered is of this one.
    fn root(&self, time: &Time, mounts: Mounts) -> Result<Option<Arc<Root>>, Refusal> {
        let root = match self.root.follow(time.now(), mounts)? {
            Led::Same(root) => root,
            Led::Other(root) => {
                self.cache.begin(Some(&root));
                root
            }
            Led::Nowhere(true) => {
                self.cache.begin(None);
                return Ok(None);
            }
            Led::Nowhere(false) => return Ok(None),
        };
        self.cache.believe(&root, self.root.believed_until());
        Ok(Some(root))
    }

    /// The answer with a file that is remembered, where memory alone says that it holds. Nearly all requests end here.
    #[inline]
    fn remembered(&self, request: &Request<'_>, time: &Time) -> Option<Answer> {
        let target = request.target.path;
        let asks_for_file = matches!(request.method, Method::Get | Method::Head);
        // What is encoded could be taken for the name of something else.
        if !asks_for_file || target.contains(&b'%') {
            return None;
        }
        let kept = self.cache.believed(target, time.now())?;
        let answer = file(request, kept, time);
        // What is refused may have a page of its own.
        (answer.status.code() < 400).then_some(answer)
    }

    /// The answer to a request.
    ///
    /// # Errors
    /// [`Refusal::Outside`] if it depends on other mounts than these.
    fn answer(
        &self,
        request: &Request<'_>,
        time: &Time,
        mounts: Mounts,
    ) -> Result<Outcome, Refusal> {
        let Some(root) = self.root(time, mounts)? else {
            let answer = Answer::plain(StatusCode::SERVICE_UNAVAILABLE);
            return Ok(Outcome::Answer(answer));
        };
        let at = At {
            root: &root,
            time,
            mounts,
        };
        let made = match request.method {
            Method::Options => Ok(Outcome::Answer(Answer::options())),
            Method::Get | Method::Head => self.look_up(request, at),
            Method::Known | Method::Unknown => Err(StatusCode::METHOD_NOT_ALLOWED.into()),
        };
        let answer = match made {
            Ok(Outcome::Answer(answer)) => answer,
            Ok(later) => return Ok(later),
            Err(Unmade::Refused(status)) => Answer::plain(status),
            Err(Unmade::Outside) => return Err(Refusal::Outside),
        };
        self.with_error_page(answer, at).map(Outcome::Answer)
    }

    /// Gives an answer that says only its status the page that is configured for that, if there is one.
    fn with_error_page(&self, answer: Answer, at: At<'_>) -> Result<Answer, Refusal> {
        let mut pages = self.error_pages.iter();
        let Some((_, path)) = pages.find(|(code, _)| *code == answer.status.code()) else {
            return Ok(answer);
        };
        Ok(match self.configured(path, at)? {
            Some(kept) => answer.with_page(&Chosen::plain(kept)),
            None => answer,
        })
    }

    fn look_up(&self, request: &Request<'_>, at: At<'_>) -> Result<Outcome, Unmade> {
        if at.mounts == Mounts::Own && at.root.can_hang() {
            return Err(Unmade::Outside);
        }
        let target = request.target.path;
        let now = at.time.now();
        // What is encoded could be taken for the name of something else.
        if !target.contains(&b'%') {
            if let Some(kept) = self.cache.get(at.root, target, now, at.mounts)? {
                return Ok(Outcome::Answer(file(request, kept, at.time)));
            }
            if self.cache.is_missing(target, now) {
                return self.fall_back(request, at);
            }
        }
        let mut path = RelativePath::decode(target).map_err(|error| match error {
            PathError::Malformed => StatusCode::BAD_REQUEST,
            PathError::NoSuchName => StatusCode::NOT_FOUND,
        })?;
        let name = path.name();
        let is_hidden = !self.options.hidden && path.is_hidden();
        if is_hidden || self.cache.is_missing(&name, now) {
            return self.fall_back(request, at);
        }
        if *name != *target
            && let Some(kept) = self.cache.get(at.root, &name, now, at.mounts)?
        {
            return Ok(Outcome::Answer(file(request, kept, at.time)));
        }
        let mut dependencies = Dependencies::new(at.mounts);
        match at.root.find(&mut path, &mut dependencies) {
            Ok(Found::File(found)) => {
                let kept = self.remember(&name, found, &mut path, dependencies, at)?;
                Ok(Outcome::Answer(file(request, kept, at.time)))
            }
            Ok(Found::DirectoryWithoutSlash) => Ok(Outcome::Answer(redirect(request, &path))),
            Ok(Found::Directory(_)) if !self.options.listing => Err(StatusCode::FORBIDDEN.into()),
            Ok(Found::Directory(directory)) => {
                match request.conditions.verdict_without_validators() {
                    Verdict::Proceed => {}
                    Verdict::NotModified => return Ok(Outcome::Answer(Answer::not_modified())),
                    Verdict::PreconditionFailed => {
                        return Err(StatusCode::PRECONDITION_FAILED.into());
                    }
                }
                let mount = match at.mounts {
                    Mounts::Own => None,
                    Mounts::All => remote_mount(&directory),
                };
                let order = order(request);
                if request.method == Method::Head {
                    return Ok(Outcome::Answer(listed(Answer::unmade, order.format)));
                }
                let root = at.root.clone();
                let listing = self
                    .listings
                    .begin(root, path, target, directory, mount, order);
                Ok(Outcome::Later(Box::new(ListingTask {
                    listing: Some(listing),
                })))
            }
            Err(Refusal::NotFound) => {
                self.cache.put_missing(&name, now);
                self.fall_back(request, at)
            }
            Err(Refusal::Outside) => Err(Unmade::Outside),
            Err(refusal) => Err(refused(refusal, &path).into()),
        }
    }

    fn fall_back(&self, request: &Request<'_>, at: At<'_>) -> Result<Outcome, Unmade> {
        let kept = match &self.fallback {
            Some(path) => self.configured(path, at)?,
            None => None,
        };
        let answer = kept.map(|kept| file(request, kept, at.time));
        Ok(answer.map(Outcome::Answer).ok_or(StatusCode::NOT_FOUND)?)
    }

    /// What a path leads to that an option has named. It is remembered under a name that no request has.
    fn configured(
        &self,
        path: &RelativePath,
        at: At<'_>,
    ) -> Result<Option<Arc<CacheEntry<Resource>>>, Refusal> {
        if at.mounts == Mounts::Own && at.root.can_hang() {
            return Err(Refusal::Outside);
        }
        let name = path.as_c_str().to_bytes();
        if let Some(kept) = self.cache.get(at.root, name, at.time.now(), at.mounts)? {
            return Ok(Some(kept));
        }
        let (mut path, mut dependencies) = (path.clone(), Dependencies::new(at.mounts));
        match at.root.find(&mut path, &mut dependencies) {
            Ok(Found::File(file)) => self
                .remember(name, file, &mut path, dependencies, at)
                .map(Some),
            Err(Refusal::Outside) => Err(Refusal::Outside),
            Ok(_) | Err(_) => Ok(None),
        }
    }

    /// Makes of a file what is sent of it, with its compressed siblings. A sibling that is older than its file is the
    /// past's.
    fn remember(
        &self,
        name: &[u8],
        file: OpenFile,
        path: &mut RelativePath,
        mut dependencies: Dependencies,
        at: At<'_>,
    ) -> Result<Arc<CacheEntry<Resource>>, Refusal> {
        let mut siblings = ArrayVec::new();
        let is_coded = |suffix: &str| path.as_c_str().to_bytes().ends_with(suffix.as_bytes());
        if !CODINGS.iter().any(|coding| is_coded(coding.suffix)) {
            for coding in CODINGS {
                let sibling = at
                    .root
                    .find_sibling(path, coding.suffix, &mut dependencies)?;
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
            now: at.time.wall(),
        };
        let kept = maker.make(file, siblings, dependencies);
        Ok(self.cache.put(at.root, name, at.time.now(), kept))
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
fn file(request: &Request<'_>, kept: Arc<CacheEntry<Resource>>, time: &Time) -> Answer {
    let chosen = Chosen::new(kept, request.accept_encoding);
    Answer::file(request, chosen, time.wall())
}

impl Handler for Files {
    /// Opens files, and changes nothing.
    fn answer(&self, request: &Request<'_>, time: &Time) -> Response {
        if let Some(answer) = self.0.remembered(request, time) {
            return Response(Outcome::Answer(answer));
        }
        let made = self.0.answer(request, time, Mounts::Own);
        Response(made.unwrap_or_else(|_| Outcome::Elsewhere(self.look_up(request))))
    }

    /// A page that is on another mount is done without: there may be no request that could wait for it.
    fn refusal(&self, status: StatusCode, time: &Time) -> Response {
        let mounts = Mounts::Own;
        let answer = match self.0.root(time, mounts) {
            Ok(Some(root)) => {
                let at = At {
                    root: &root,
                    time,
                    mounts,
                };
                self.0.with_error_page(Answer::plain(status), at).ok()
            }
            Ok(None) | Err(_) => None,
        };
        let answer = answer.unwrap_or_else(|| Answer::plain(status));
        Response(Outcome::Answer(answer))
    }

    fn about(&self) -> String {
        let root = self.0.root.last_known();
        let path = root.as_deref().map_or(self.0.root.name(), Root::path);
        path.display().to_string()
    }

    fn notifier(&self) -> Option<BorrowedFd<'_>> {
        self.0.is_in_loop.store(true, Relaxed);
        self.0.cache.notifier(&*self.0.root.last_known()?)
    }

    fn notified(&self) {
        self.0.cache.notified();
    }

    fn directories(&self) -> Vec<PathBuf> {
        vec![self.0.root.name().to_owned()]
    }

    fn is_ready(&self, time: &Time) -> bool {
        match self.0.root(time, Mounts::Own) {
            Ok(root) => root.is_some(),
            // A loop does not wait: the next question gets the answer.
            Err(_) if self.0.is_in_loop.load(Relaxed) => {
                let (site, time) = (self.0.clone(), time.clone());
                offload::run(0, Box::new(move || drop(site.root(&time, Mounts::All))));
                self.0.root.last_known().is_some()
            }
            Err(_) => matches!(self.0.root(time, Mounts::All), Ok(Some(_))),
        }
    }
}

/// A directory is read, and its page made, slice by slice.
struct ListingTask {
    /// There is one until the answer is there.
    listing: Option<Result<Listing, ListingError>>,
}

impl Task for ListingTask {
    fn mount(&self) -> Option<u64> {
        self.listing.as_ref()?.as_ref().ok()?.mount()
    }

    fn step(&mut self, work: &mut usize) -> Option<Result<Answer, StatusCode>> {
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
fn refused_listing(error: ListingError) -> StatusCode {
    match error {
        ListingError::Unreadable(kind) => {
            throttled!(Error, "cannot list a directory: {kind}");
            StatusCode::INTERNAL_SERVER_ERROR
        }
        ListingError::TooLarge => {
            throttled!(
                every LOG_PAUSE,
                Warn,
                "cannot list a directory: it has too many entries for --listing-bytes"
            );
            StatusCode::INSUFFICIENT_STORAGE
        }
        ListingError::Busy => {
            throttled!(
                every LOG_PAUSE,
                Warn,
                "cannot list a directory now: other listings take all of --listing-bytes"
            );
            StatusCode::SERVICE_UNAVAILABLE
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
        let found = root.find(&mut path.clone(), &mut Dependencies::new(Mounts::All));
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
    let mut answer = Answer::plain(StatusCode::MOVED_PERMANENTLY);
    answer.location = Some(location);
    answer
}

fn refused(refusal: Refusal, path: &RelativePath) -> StatusCode {
    match refusal {
        Refusal::NotFound => StatusCode::NOT_FOUND,
        Refusal::Forbidden | Refusal::Outside => StatusCode::FORBIDDEN,
        Refusal::Busy(error) if error.kind() == ErrorKind::WouldBlock => {
            let path = path.as_path();
            throttled!(
                every LEASE_PAUSE,
                Warn,
                "{path:?} cannot be opened now: another program has a lease on it (fcntl(2)), or renames what leads there"
            );
            StatusCode::SERVICE_UNAVAILABLE
        }
        Refusal::Busy(error) => {
            log::debug!("cannot open {:?}: {error}", path.as_path());
            StatusCode::SERVICE_UNAVAILABLE
        }
        Refusal::Failed(error) => {
            throttled!(Error, "cannot open {:?}: {error}", path.as_path());
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}
