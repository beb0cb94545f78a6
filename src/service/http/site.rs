//! What a site answers to a request: the only place where `http1` and `files` meet.

use super::answer::{ANSWER_ROOM, Answer};
use crate::config::{AccessLog, Config, Http, MAX_HEADERS, StartError};
use crate::files::{
    Format, Found, Key, Listing, OpenFile, Order, PathError, Refusal, RelativePath, Root,
};
use crate::http1::{CODINGS, Method, Request, Status, Verdict, accepted, media_weight};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use std::time::SystemTime;

/// What a query has by the leniency of [`crate::http1::Target`] and a Location field may not have.
const NOT_IN_A_QUERY: &AsciiSet = &CONTROLS.add(b'"').add(b'<').add(b'>').add(b'\\');

/// What all http sessions of a service share.
pub(super) struct Site {
    pub root: Root,
    pub options: Http,
    pub access_log: AccessLog,
    /// What any answer fits in that has no location.
    pub answer_room: usize,
    /// The line that `--cache-control` comes to.
    cache_control: String,
}

impl Site {
    pub fn new(root: Root, config: &Config) -> Result<Site, StartError> {
        let options = config.http.clone();
        let cache_control = options.cache_control.as_ref();
        let cache_control =
            cache_control.map_or(String::new(), |value| format!("Cache-Control: {value}\r\n"));
        if options.headers.len() + cache_control.len() > MAX_HEADERS {
            return Err(StartError(
                "too many fields are to be added to every answer".into(),
            ));
        }
        let site = Site {
            root,
            access_log: config.access_log,
            answer_room: ANSWER_ROOM + options.headers.len() + cache_control.len(),
            cache_control,
            options,
        };
        let pages = site.options.error_pages.iter().map(|(_, path)| path);
        for path in pages.chain(&site.options.fallback) {
            if site.configured_file(path).is_none() {
                let root = site.root.path().display();
                return Err(StartError(format!(
                    "there is no file {path} in {root} to answer with"
                )));
            }
        }
        Ok(site)
    }

    /// The lines that options add to an answer's head.
    pub fn more(&self, answer: &Answer) -> [&str; 2] {
        let of_files = match answer.validators {
            Some(_) => self.cache_control.as_str(),
            None => "",
        };
        [&self.options.headers, of_files]
    }

    /// What to answer. It opens files, and changes nothing.
    pub fn decide(&self, request: &Request<'_>, now: SystemTime) -> Decision {
        let decision = match request.method {
            Method::Options => return Decision::Answer(Answer::options()),
            Method::Get | Method::Head => self.look_up(request, now),
            Method::Known | Method::Unknown => Err(Status::METHOD_NOT_ALLOWED),
        };
        decision.unwrap_or_else(|status| Decision::Answer(Answer::plain(status)))
    }

    /// Does a slice of a listing; the answer, once it is complete.
    pub fn proceed(&self, listing: &mut Listing) -> Option<Answer> {
        match listing.step(&self.root) {
            Ok(None) => None,
            Ok(Some(page)) => {
                let mut answer = Answer::page(page, listing.format().media_type());
                answer.vary = Some("Accept");
                Some(answer)
            }
            Err(error) => {
                log::error!("cannot list a directory: {error}");
                Some(Answer::plain(Status::INTERNAL_SERVER_ERROR))
            }
        }
    }

    /// Gives an answer that says only its status the page that is configured for that, if there is one.
    pub fn dress(&self, answer: Answer) -> Answer {
        let pages = &self.options.error_pages;
        let page = pages.iter().find(|(code, _)| *code == answer.status.code());
        match page.and_then(|(_, path)| self.configured_file(path)) {
            Some(file) => answer.with_page(file),
            None => answer,
        }
    }

    fn look_up(&self, request: &Request<'_>, now: SystemTime) -> Result<Decision, Status> {
        let mut path = RelativePath::decode(request.target.path).map_err(|error| match error {
            PathError::Malformed => Status::BAD_REQUEST,
            PathError::NoSuchName => Status::NOT_FOUND,
        })?;
        let answer = match self.find(&mut path) {
            Ok(Found::File(file)) => self.file(request, file, &mut path, now),
            Ok(Found::DirectoryWithoutSlash) => redirect(request, &path),
            Ok(Found::Directory(_)) if !self.options.listing => return Err(Status::FORBIDDEN),
            Ok(Found::Directory(directory)) => {
                match request.conditions.verdict_without_validators() {
                    Verdict::Proceed => {}
                    Verdict::NotModified => return Ok(Decision::Answer(Answer::not_modified())),
                    Verdict::PreconditionFailed => return Err(Status::PRECONDITION_FAILED),
                }
                let order = order(request, self.options.hidden);
                let listing = Listing::begin(path, directory, order);
                return listing
                    .map(|listing| Decision::List(Box::new(listing)))
                    .map_err(|_| Status::INTERNAL_SERVER_ERROR);
            }
            Err(Refusal::NotFound) => self.fallback(request, now).ok_or(Status::NOT_FOUND)?,
            Err(refusal) => return Err(refused(refusal, &path)),
        };
        Ok(Decision::Answer(answer))
    }

    fn fallback(&self, request: &Request<'_>, now: SystemTime) -> Option<Answer> {
        let mut path = configured_path(self.options.fallback.as_ref()?)?;
        match self.root.find(&mut path) {
            Ok(Found::File(file)) => Some(self.file(request, file, &mut path, now)),
            _ => None,
        }
    }

    fn find(&self, path: &mut RelativePath) -> Result<Found, Refusal> {
        if !self.options.hidden && path.is_hidden() {
            return Err(Refusal::NotFound);
        }
        self.root.find(path)
    }

    /// The file, or the compressed sibling of it that the client likes best. A sibling that is older than its file is
    /// the past's.
    fn file(
        &self,
        request: &Request<'_>,
        file: OpenFile,
        path: &mut RelativePath,
        now: SystemTime,
    ) -> Answer {
        let name = path.as_c_str().to_bytes();
        let mut codings = CODINGS.iter();
        if codings.any(|coding| name.ends_with(coding.suffix.as_bytes())) {
            return Answer::file(request, file, None, now);
        }
        let mut sibling = |suffix| {
            let sibling = self.root.find_sibling(path, suffix);
            sibling.filter(|sibling| sibling.modified >= file.modified)
        };
        let wanted = request.accept_encoding.into_iter().flat_map(accepted);
        for coding in wanted {
            if let Some(mut found) = sibling(coding.suffix) {
                found.media_type = file.media_type;
                let mut answer = Answer::file(request, found, Some(coding.name), now);
                answer.vary = Some("Accept-Encoding");
                return answer;
            }
        }
        let others = CODINGS
            .iter()
            .any(|coding| sibling(coding.suffix).is_some());
        let mut answer = Answer::file(request, file, None, now);
        answer.vary = others.then_some("Accept-Encoding");
        answer
    }

    fn configured_file(&self, path: &str) -> Option<OpenFile> {
        match self.root.find(&mut configured_path(path)?) {
            Ok(Found::File(file)) => Some(file),
            _ => None,
        }
    }
}

/// What is to be done about a request.
pub(super) enum Decision {
    /// This is the answer.
    Answer(Answer),
    /// The answer is yet to be made.
    List(Box<Listing>),
}

/// How the request wants a directory listed: what its query says (`sort=name|size|time`, `order=asc|desc`,
/// `format=html|json|text`), else what its Accept field likes best.
fn order(request: &Request<'_>, hidden: bool) -> Order {
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
            _ => preferred_format(request.accept.unwrap_or(b"*/*")),
        },
        key: match value(b"sort") {
            Some(b"size") => Key::Size,
            Some(b"time") => Key::Time,
            _ => Key::Name,
        },
        descending: value(b"order") == Some(b"desc"),
        hidden,
    }
}

fn preferred_format(accept: &[u8]) -> Format {
    let formats = [Format::Html, Format::Json, Format::Text];
    let weight = |format: &Format| media_weight(accept, format.media_type().0);
    // The last of equals wins in `max_by_key`, and the first format is the one to prefer.
    let best = formats.into_iter().rev().max_by_key(weight);
    best.unwrap_or(Format::Html)
}

/// A path as an option has it: relative to the root, not encoded.
fn configured_path(path: &str) -> Option<RelativePath> {
    const IN_A_NAME: &AsciiSet = &CONTROLS.add(b'%');
    let encoded = percent_encode(path.as_bytes(), IN_A_NAME);
    RelativePath::decode(format!("/{encoded}").as_bytes()).ok()
}

fn redirect(request: &Request<'_>, path: &RelativePath) -> Answer {
    let mut location = path.directory_url();
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
        Refusal::Busy(error) => {
            log::debug!("cannot open {:?}: {error}", path.as_path());
            Status::SERVICE_UNAVAILABLE
        }
        Refusal::Failed(error) => {
            log::error!("cannot open {:?}: {error}", path.as_path());
            Status::INTERNAL_SERVER_ERROR
        }
    }
}
