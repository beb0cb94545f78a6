//! Responds with the files of a document root. The only file that knows both `http1` and `files`.

use super::clean_urls;
use super::compression::Compressor;
use super::configured_files::{
    ERROR_PAGE, FALLBACK, asks_for_page, configured_file, configured_name,
};
use super::fields::PREFLIGHT;
use super::listing;
use super::representation::{RepresentationBuilder, Representations, choose};
use super::response::Response;
use super::rules::FileRules;
use crate::config::{Config, DEFAULT_MEMORY_BYTES, EntityTag, HttpConfig, StartError};
use crate::files::{
    Cache, CacheEntry, CacheLimits, Dependencies, ListingBudget, Listings, Lookup, LookupError,
    Mounts, NamedRoot, OpenFile, PathError, RelativePath, Resolution, Root,
};
use crate::http1::{CODINGS, GZIP, Method, Request, StatusCode, TagParts};
use crate::observe::throttled;
use crate::session::Time;
use arrayvec::ArrayVec;
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

/// Bytes that [`crate::http1::Target`] accepts in a query, but that a Location field must not
/// contain.
pub(super) const NOT_IN_A_QUERY: &AsciiSet = &CONTROLS.add(b'"').add(b'<').add(b'>').add(b'\\');

/// How much older than its file a compressed sibling may seem and still be up to date: some tools
/// cut times to whole seconds, FAT to even ones.
const SIBLING_TOLERANCE: Duration = Duration::from_secs(2);

/// The shortest time between two log lines about a file that cannot be opened now: every client
/// that asks for it would cause one.
const LEASE_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// A document root.
pub(super) struct Site {
    pub root: NamedRoot,
    pub options: HttpConfig,
    pub cache: Cache<Representations>,
    listings: Listings,
    rules: FileRules,
    /// The file that is served where no file is found.
    fallback: Option<Box<RelativePath>>,
    /// `None`: files are sent as they are.
    compressor: Option<Arc<Compressor>>,
    /// Error pages by status code.
    error_pages: Vec<(u16, Box<RelativePath>)>,
}

/// The root, the time, and the mounts that a lookup may use.
#[derive(Clone, Copy)]
struct LookupContext<'a> {
    root: &'a Arc<Root>,
    time: &'a Time,
    mounts: Mounts,
}

/// Why there is no response yet.
enum NoResponse {
    Refused(StatusCode),
    /// It depends on a mount that may hang.
    OtherMount,
}

/// The cache returns no other error, nor does a lookup that was successful before.
impl From<LookupError> for NoResponse {
    fn from(_: LookupError) -> NoResponse {
        NoResponse::OtherMount
    }
}

impl From<StatusCode> for NoResponse {
    fn from(status: StatusCode) -> NoResponse {
        NoResponse::Refused(status)
    }
}

impl Site {
    pub fn new(named: NamedRoot, config: &Config) -> Result<Site, StartError> {
        let mut options = config.http.clone();
        // A single file is served whatever its name.
        options.hidden |= named.is_file();
        let limits = CacheLimits {
            bytes: options.cache_bytes.unwrap_or(DEFAULT_MEMORY_BYTES),
            files: options.cache_files,
        };
        let cache = Cache::new(limits, options.watches);
        let name = named.name().display();
        let gone = || StartError(format!("cannot serve {name}: it was removed"));
        let root = named.last_known().ok_or_else(gone)?;
        cache.reset(Some(&root));
        let fallback = options.fallback.iter();
        let fallback = fallback
            .map(|path| configured_file(&format!("--fallback {path}"), path, &root))
            .next();
        let pages = options.error_pages.iter();
        let pages = pages.map(|(code, path)| {
            let option = format!("--error-page {code}={path}");
            Ok((*code, configured_file(&option, path, &root)?))
        });
        Ok(Site {
            fallback: fallback.transpose()?,
            error_pages: pages.collect::<Result<_, _>>()?,
            cache,
            listings: Listings::new(listing_budget(&options), options.hidden),
            root: named,
            rules: FileRules::new(&options)?,
            compressor: options.compress.then(Arc::default),
            options,
        })
    }

    /// The directory that is served now. The cache holds files of this one only.
    pub fn root(&self, time: &Time, mounts: Mounts) -> Result<Option<Arc<Root>>, LookupError> {
        let root = match self.root.resolve(time.now(), mounts)? {
            Resolution::Unchanged(root) => root,
            Resolution::Changed(root) => {
                self.cache.reset(Some(&root));
                root
            }
            Resolution::Missing(true) => {
                self.cache.reset(None);
                return Ok(None);
            }
            Resolution::Missing(false) => return Ok(None),
        };
        self.cache.trust_root(&root, self.root.valid_until());
        Ok(Some(root))
    }

    /// Responds with a cached file if memory alone shows that the file is unchanged. Nearly all
    /// requests end here.
    #[inline]
    pub fn cached_response(&self, request: &Request<'_>, time: &Time) -> Option<Response> {
        if self
            .compressor
            .as_ref()
            .is_some_and(|one| one.has_results())
        {
            return None;
        }
        let target = request.target.path;
        let asks_for_file = matches!(request.method, Method::Get | Method::Head);
        // An encoded path could be mistaken for the name of another cache entry.
        if !asks_for_file || target.contains(&b'%') {
            return None;
        }
        let entry = self.cache.look_up_without_io(target, time.now())?;
        let response = self.file(request, target, &entry, time);
        // An error status may have a configured page.
        (response.status.code() < 400).then_some(response)
    }

    /// Responds to a request.
    ///
    /// # Errors
    /// [`LookupError::OtherMount`] if the response depends on a mount outside of `mounts`.
    pub fn respond(
        &self,
        request: &Request<'_>,
        time: &Time,
        mounts: Mounts,
    ) -> Result<Response, LookupError> {
        let Some(root) = self.root(time, mounts)? else {
            return Ok(Response::status_text(StatusCode::SERVICE_UNAVAILABLE));
        };
        let cx = LookupContext {
            root: &root,
            time,
            mounts,
        };
        self.put_compressed(cx);
        let response = match request.method {
            Method::Options => Ok(self.options_response()),
            Method::Get | Method::Head => self.look_up(request, cx),
            Method::Post | Method::Unsupported | Method::Unknown => {
                Err(StatusCode::METHOD_NOT_ALLOWED.into())
            }
        };
        let response = match response {
            Ok(response) => response,
            Err(NoResponse::Refused(status)) => Response::status_text(status),
            Err(NoResponse::OtherMount) => return Err(LookupError::OtherMount),
        };
        self.with_error_page(response, cx)
    }

    /// The response with this status, and its page unless that is on another mount.
    pub fn error_response(&self, status: StatusCode, time: &Time) -> Response {
        let mounts = Mounts::Own;
        let response = match self.root(time, mounts) {
            Ok(Some(root)) => {
                let cx = LookupContext {
                    root: &root,
                    time,
                    mounts,
                };
                self.with_error_page(Response::status_text(status), cx).ok()
            }
            Ok(None) | Err(_) => None,
        };
        response.unwrap_or_else(|| Response::status_text(status))
    }

    /// Replaces the status as plain text by the configured error page, if there is one.
    fn with_error_page(
        &self,
        response: Response,
        cx: LookupContext<'_>,
    ) -> Result<Response, LookupError> {
        let mut pages = self.error_pages.iter();
        let Some((_, path)) = pages.find(|(code, _)| *code == response.status.code()) else {
            return Ok(response);
        };
        Ok(match self.cached_configured_file(ERROR_PAGE, path, cx)? {
            Some(entry) => {
                // A request that asks for HTML might have got the fallback.
                let depends = self.fallback.is_some() && response.status == StatusCode::NOT_FOUND;
                Response {
                    vary: response.vary.or(depends.then_some("Accept")),
                    ..response.with_page(&entry.value[0])
                }
            }
            None => response,
        })
    }

    /// The response to OPTIONS, which may be a preflight request.
    fn options_response(&self) -> Response {
        let response = Response::options();
        match self.options.cors {
            Some(_) => response.with_line(PREFLIGHT.as_bytes()),
            None => response,
        }
    }

    fn look_up(
        &self,
        request: &Request<'_>,
        cx: LookupContext<'_>,
    ) -> Result<Response, NoResponse> {
        if cx.mounts == Mounts::Own && cx.root.can_hang() {
            return Err(NoResponse::OtherMount);
        }
        let target = request.target.path;
        let now = cx.time.now();
        // An encoded path could be mistaken for the name of another cache entry.
        if !target.contains(&b'%') {
            if let Some(entry) = self.cache.get(cx.root, target, now, cx.mounts)? {
                return Ok(self.file(request, target, &entry, cx.time));
            }
            if self.cache.is_missing(target, now) {
                return self.fall_back(request, cx);
            }
        }
        let mut path = RelativePath::decode(target).map_err(|error| match error {
            PathError::Malformed => StatusCode::BAD_REQUEST,
            PathError::NoSuchName => StatusCode::NOT_FOUND,
        })?;
        let name = path.normalized();
        let is_hidden = !self.options.hidden && path.is_hidden();
        if is_hidden || self.cache.is_missing(&name, now) {
            return self.fall_back(request, cx);
        }
        if *name != *target
            && let Some(entry) = self.cache.get(cx.root, &name, now, cx.mounts)?
        {
            return Ok(self.file(request, &name, &entry, cx.time));
        }
        let mut dependencies = Dependencies::new(cx.mounts);
        if self.options.clean_urls && !cx.root.is_single_file() {
            let indexes = &self.options.indexes;
            if let Some(to) =
                clean_urls::redirect(cx.root, (target, &path), indexes, &mut dependencies)?
            {
                return Ok(redirect(request, to));
            }
            clean_urls::complete(cx.root, &mut path, &mut dependencies)?;
        }
        match cx.root.look_up(&mut path, &mut dependencies) {
            Ok(Lookup::File(found)) => {
                let entry = self.cache_file(&name, found, &mut path, dependencies, cx)?;
                Ok(self.file(request, &name, &entry, cx.time))
            }
            Ok(Lookup::DirectoryWithoutSlash) => Ok(redirect(request, path.slash_reference())),
            Ok(Lookup::Directory(_)) if !self.options.listing => Err(StatusCode::FORBIDDEN.into()),
            Ok(Lookup::Directory(directory)) => Ok(listing::respond(
                (&self.listings, self.compressor.is_some()),
                request,
                path,
                directory,
                cx.root,
                cx.mounts,
            )?),
            Err(LookupError::NotFound) => {
                self.cache.put_missing(&name, now);
                self.fall_back(request, cx)
            }
            Err(LookupError::OtherMount) => Err(NoResponse::OtherMount),
            Err(refusal) => {
                if cx.root.is_single_file() && matches!(refusal, LookupError::Forbidden) {
                    log_unreadable(cx.root);
                }
                Err(status_of(refusal, &path).into())
            }
        }
    }

    /// The response with a file that is cached under `name`. Starts to compress it if the client
    /// would prefer that.
    fn file(
        &self,
        request: &Request<'_>,
        name: &[u8],
        entry: &Arc<CacheEntry<Representations>>,
        time: &Time,
    ) -> Response {
        let (chosen, missing) = choose(&entry.value, request.accept_encoding);
        if let (Some(coding), Some(compressor)) = (missing, &self.compressor) {
            compressor.start(name, entry, coding, time.now());
        }
        Response::of_file(request, chosen, time)
    }

    /// Puts what was compressed meanwhile into the cache, where its file still is the same. What can
    /// never fit is dropped, and its file stays.
    fn put_compressed(&self, cx: LookupContext<'_>) {
        let Some(compressor) = self.compressor.as_ref().filter(|one| one.has_results()) else {
            return;
        };
        let now = cx.time.now();
        for compressed in compressor.take() {
            let cached = self.cache.get(cx.root, &compressed.name, now, cx.mounts);
            let is_same =
                matches!(&cached, Ok(Some(cached)) if Arc::ptr_eq(cached, &compressed.entry));
            let name = compressed.name.clone();
            let fits = |entry: &CacheEntry<_>| entry.cost.bytes <= self.cache.limits().bytes;
            if let Some(entry) = compressed.into_entry().filter(fits)
                && is_same
            {
                self.cache.put(cx.root, &name, now, entry);
            }
        }
    }

    fn fall_back(
        &self,
        request: &Request<'_>,
        cx: LookupContext<'_>,
    ) -> Result<Response, NoResponse> {
        let Some(path) = self.fallback.as_ref().filter(|_| asks_for_page(request)) else {
            return Err(StatusCode::NOT_FOUND.into());
        };
        let entry = self.cached_configured_file(FALLBACK, path, cx)?;
        let entry = entry.ok_or(StatusCode::NOT_FOUND)?;
        Ok(self.file(request, &configured_name(FALLBACK, path), &entry, cx.time))
    }

    /// Looks up a file that an option names. It is cached under `prefix` and its path, a name that no
    /// request can have.
    fn cached_configured_file(
        &self,
        prefix: &[u8],
        path: &RelativePath,
        cx: LookupContext<'_>,
    ) -> Result<Option<Arc<CacheEntry<Representations>>>, LookupError> {
        if cx.mounts == Mounts::Own && cx.root.can_hang() {
            return Err(LookupError::OtherMount);
        }
        let name = configured_name(prefix, path);
        if let Some(entry) = self.cache.get(cx.root, &name, cx.time.now(), cx.mounts)? {
            return Ok(Some(entry));
        }
        let (mut path, mut dependencies) = (path.clone(), Dependencies::new(cx.mounts));
        match cx.root.look_up(&mut path, &mut dependencies) {
            Ok(Lookup::File(file)) => self
                .cache_file(&name, file, &mut path, dependencies, cx)
                .map(Some),
            Err(LookupError::OtherMount) => Err(LookupError::OtherMount),
            Ok(_) | Err(_) => Ok(None),
        }
    }

    /// Caches a file and its compressed siblings. Siblings older than the file are ignored.
    fn cache_file(
        &self,
        name: &[u8],
        file: OpenFile,
        path: &mut RelativePath,
        mut dependencies: Dependencies,
        cx: LookupContext<'_>,
    ) -> Result<Arc<CacheEntry<Representations>>, LookupError> {
        let mut siblings = ArrayVec::new();
        let is_coded = |suffix: &str| path.as_c_str().to_bytes().ends_with(suffix.as_bytes());
        let is_svgz = is_coded(".svgz");
        if self.options.precompressed
            && !is_svgz
            && !CODINGS.iter().any(|coding| is_coded(coding.suffix))
        {
            for coding in CODINGS {
                let sibling = cx
                    .root
                    .find_sibling(path, coding.suffix, &mut dependencies)?;
                if let Some(sibling) = sibling.filter(|one| !is_older(one, &file)) {
                    siblings.push((coding, sibling));
                }
            }
        }
        let is_fallback = name.starts_with(FALLBACK);
        let builder = RepresentationBuilder {
            limits: self.cache.limits(),
            more: match is_fallback {
                true => self.rules.fallback_lines(),
                false => self.rules.lines(path.as_path()),
            },
            media_type: self.rules.media_type(path.as_path()),
            coding: is_svgz.then_some(GZIP),
            is_fallback,
            compresses: self.compressor.is_some(),
            tag_parts: match self.options.entity_tag {
                EntityTag::Full => TagParts::All,
                EntityTag::Mtime => TagParts::LengthAndTime,
            },
            now: cx.time.wall(),
        };
        let entry = builder.build(file, siblings, dependencies);
        Ok(self.cache.put(cx.root, name, cx.time.now(), entry))
    }
}

fn listing_budget(options: &HttpConfig) -> ListingBudget {
    match options.listing_processes {
        0 | 1 => ListingBudget::new(options.listing_bytes),
        processes => ListingBudget::shared_by_processes(options.listing_bytes, processes),
    }
}

/// True if the times of the files say that the sibling was made from an earlier version of the
/// file.
fn is_older(sibling: &OpenFile, file: &OpenFile) -> bool {
    let age = file.modified.duration_since(sibling.modified);
    age.is_ok_and(|age| age >= SIBLING_TOLERANCE)
}

/// Redirects to this reference, with the same query.
fn redirect(request: &Request<'_>, mut location: String) -> Response {
    if let Some(query) = request.target.query {
        location.push('?');
        location.extend(percent_encode(query, NOT_IN_A_QUERY));
    }
    Response {
        location: Some(location),
        ..Response::status_text(StatusCode::MOVED_PERMANENTLY)
    }
}

/// Logs why the only file that is served is refused.
fn log_unreadable(root: &Root) {
    let path = root.path().display();
    throttled!(
        every LEASE_LOG_INTERVAL,
        Warn,
        "{path} cannot be read: its permissions forbid it, or the sandbox does because it was replaced; requests get \
         403. Start the program again to serve it, or see --sandbox"
    );
}

fn status_of(refusal: LookupError, path: &RelativePath) -> StatusCode {
    match refusal {
        LookupError::NotFound => StatusCode::NOT_FOUND,
        LookupError::Forbidden | LookupError::OtherMount => StatusCode::FORBIDDEN,
        LookupError::Busy(error) if error.kind() == ErrorKind::WouldBlock => {
            let path = path.as_path();
            throttled!(
                every LEASE_LOG_INTERVAL,
                Warn,
                "cannot open {path:?} now: another program has a lease on it (fcntl(2)) or renames a directory of its path"
            );
            StatusCode::SERVICE_UNAVAILABLE
        }
        LookupError::Busy(error) => {
            log::debug!("cannot open {:?}: {error}", path.as_path());
            StatusCode::SERVICE_UNAVAILABLE
        }
        LookupError::Failed(error) => {
            throttled!(Error, "cannot open {:?}: {error}", path.as_path());
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}
