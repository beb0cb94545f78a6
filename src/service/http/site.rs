//! What a site answers to a request: the only place where `http1` and `files` meet.

use super::answer::{ANSWER_ROOM, Answer};
use crate::config::{AccessLog, Config, Http, StartError};
use crate::files::{Found, OpenFile, PathError, Refusal, RelativePath, Root, listing};
use crate::http1::{CODINGS, Method, Request, Status, accepted};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use std::os::fd::AsFd;
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
    pub fn decide(&self, request: &Request<'_>, now: SystemTime) -> Answer {
        let answer = match request.method {
            Method::Options => return Answer::options(),
            Method::Get | Method::Head => self.look_up(request, now),
            Method::Known | Method::Unknown => Err(Status::METHOD_NOT_ALLOWED),
        };
        answer.unwrap_or_else(|status| self.failure(status))
    }

    /// The answer to a request that cannot be done: the configured page, if there is one, or the status in words.
    pub fn failure(&self, status: Status) -> Answer {
        let pages = &self.options.error_pages;
        let page = pages.iter().find(|(code, _)| *code == status.code());
        let file = page.and_then(|(_, path)| self.configured_file(path));
        match file {
            Some(file) => Answer::whole_file(status, file),
            None => Answer::plain(status),
        }
    }

    fn look_up(&self, request: &Request<'_>, now: SystemTime) -> Result<Answer, Status> {
        let mut path = RelativePath::decode(request.target.path).map_err(|error| match error {
            PathError::Malformed => Status::BAD_REQUEST,
            PathError::NoSuchName => Status::NOT_FOUND,
        })?;
        match self.find(&mut path) {
            Ok(Found::File(file)) => Ok(self.file(request, file, &mut path, now)),
            Ok(Found::DirectoryWithoutSlash) => Ok(redirect(request, &path)),
            Ok(Found::Directory(_)) if !self.options.listing => Err(Status::FORBIDDEN),
            Ok(Found::Directory(directory)) => {
                let page = listing(
                    &self.root,
                    &mut path,
                    self.options.hidden,
                    directory.as_fd(),
                );
                let page = page.map_err(|error| refused(Refusal::Failed(error), &path))?;
                Ok(Answer::page(
                    page.into_bytes(),
                    ("text/html", "; charset=utf-8"),
                ))
            }
            Err(Refusal::NotFound) => {
                let fallback = self.options.fallback.as_ref();
                let mut path = fallback
                    .and_then(|path| configured_path(path))
                    .ok_or(Status::NOT_FOUND)?;
                match self.root.find(&mut path) {
                    Ok(Found::File(file)) => Ok(self.file(request, file, &mut path, now)),
                    _ => Err(Status::NOT_FOUND),
                }
            }
            Err(refusal) => Err(refused(refusal, &path)),
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
        let mut sibling = |suffix| {
            let sibling = self.root.find_sibling(path, suffix);
            sibling.filter(|sibling| sibling.modified >= file.modified)
        };
        let is_compressed = CODINGS.iter().any(|coding| {
            let name = request.target.path;
            name.ends_with(coding.suffix.as_bytes())
        });
        if is_compressed {
            return Answer::file(request, file, None, now);
        }
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
