//! The values of options: how they are read, and how --help writes the defaults.

use crate::config::{CacheRule, MIN_LISTING_BYTES};
use crate::http1::{MAX_HEAD, is_connection_field, is_reserved_field, is_token};
use crate::net::Address;
use bytesize::ByteSize;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use ipnet::IpNet;
use log::LevelFilter;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A proxy whose PROXY headers are believed.
#[derive(Clone, Debug)]
pub(super) enum TrustedProxy {
    Network(IpNet),
    Unix,
}

/// A number of things.
pub(super) fn count(
    range: RangeInclusive<u32>,
) -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync + 'static {
    move |text| match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ if *range.end() == u32::MAX => {
            Err(format!("expected a number, at least {}", range.start()))
        }
        _ => Err(format!(
            "expected a number from {} to {}",
            range.start(),
            range.end()
        )),
    }
}

pub(super) fn size(text: &str) -> Result<u64, String> {
    let size: Result<ByteSize, _> = text.parse();
    size.map(|size| size.as_u64())
        .map_err(|_| "expected a size such as 16KiB, 1MiB or 4096".into())
}

pub(super) fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| {
        "expected a port from 0 to 65535; an address with a port goes to --listen".into()
    })
}

/// A port of an address in a URL.
pub(super) fn port_of_url(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a port from 1 to 65535".into()),
        Ok(port) => Ok(port),
    }
}

pub(super) fn status_address(text: &str) -> Result<Address, String> {
    if let Ok(port) = text.parse() {
        return Ok(Address::loopback(port));
    }
    match text.parse::<Address>() {
        Ok(address) if !address.is_datagram() => Ok(address),
        // The others say what is wrong with an interface or a name.
        Err(error) if !error.contains("is not an address") => Err(error),
        _ => Err(
            "expected PORT, HOST:PORT, [IPV6]:PORT, :PORT or unix:PATH, with ports up to 65535"
                .into(),
        ),
    }
}

pub(super) fn file_mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode @ 0..=0o777) => Ok(mode),
        _ => Err("expected three octal digits, such as 660".into()),
    }
}

pub(super) fn memory_size(text: &str) -> Result<usize, String> {
    usize::try_from(size(text)?).map_err(|_| "expected less than this machine can address".into())
}

pub(super) fn listing_size(text: &str) -> Result<usize, String> {
    match memory_size(text)? {
        size if size >= MIN_LISTING_BYTES => Ok(size),
        _ => Err("expected at least 64KiB: hardly any directory fits in less".into()),
    }
}

pub(super) fn head_size(text: &str) -> Result<usize, String> {
    let size = size(text)?;
    match usize::try_from(size) {
        Ok(size) if (256..=MAX_HEAD).contains(&size) => Ok(size),
        _ => Err(format!("expected a size from 256 to {MAX_HEAD} bytes")),
    }
}

/// A Cache-Control value, perhaps behind a pattern for the files that get it. A directive such as
/// `max-age=1` has none of the characters that make a pattern.
pub(super) fn cache_rule(text: &str) -> Result<CacheRule, String> {
    let is_pattern = |text: &str| text.contains(['*', '?', '[', '.', '/']);
    let (pattern, value) = match text.split_once('=') {
        Some((pattern, value)) if is_pattern(pattern) => (Some(pattern), value),
        _ => (None, text),
    };
    let pattern = pattern.map(|text| {
        glob::Pattern::new(text.trim_start_matches('/'))
            .map_err(|error| format!("`{text}` is no pattern: {error}"))
    });
    if value.trim().is_empty() {
        return Err("expected a value, such as max-age=3600 or '*.html=no-cache'".into());
    }
    Ok(CacheRule {
        pattern: pattern.transpose()?,
        value: field_value(value.trim())?,
    })
}

/// An extension without its dot, and a media type.
pub(super) fn media_type(text: &str) -> Result<(String, String), String> {
    let expected = || "expected EXTENSION=TYPE, such as md=text/markdown".to_owned();
    let (extension, media_type) = text.split_once('=').ok_or_else(expected)?;
    let extension = extension.trim_start_matches("*").trim_start_matches('.');
    let (essence, _) = media_type.split_once(';').unwrap_or((media_type, ""));
    let names = essence.trim().split_once('/');
    let is_type =
        names.is_some_and(|(kind, sub)| is_token(kind.as_bytes()) && is_token(sub.as_bytes()));
    if !is_type || extension.is_empty() || extension.contains(['/', '.']) {
        return Err(expected());
    }
    Ok((
        extension.to_ascii_lowercase(),
        field_value(media_type.trim())?,
    ))
}

/// An origin as browsers send it (RFC 6454 section 6.2), or `*` for all.
pub(super) fn origin(text: &str) -> Result<String, String> {
    let host = text
        .split_once("://")
        .filter(|(scheme, _)| is_token(scheme.as_bytes()));
    let is_host = |host: &str| {
        !host.is_empty()
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-.:[]_".contains(&b))
    };
    match text == "*" || text == "null" || host.is_some_and(|(_, host)| is_host(host)) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("expected an origin such as https://example.org, without a path".into()),
    }
}

pub(super) fn header(text: &str) -> Result<String, String> {
    let (name, value) = text.split_once(':').ok_or("expected `Name: value`")?;
    if !is_token(name.as_bytes()) {
        return Err(format!("`{name}` is not the name of a field"));
    }
    // Another name for the program misleads no client.
    let is_server = name.eq_ignore_ascii_case("server");
    if is_connection_field(name) {
        return Err(format!(
            "{name} is about the connection, not the response; leave it out, evserve sends it \
             where it is needed"
        ));
    }
    let is = |own: &&str| name.eq_ignore_ascii_case(own);
    let is_own = is_reserved_field(name) || ["retry-after", "www-authenticate"].iter().any(is);
    if is_own && !is_server {
        return Err(format!(
            "evserve sets {name} itself, for each response; leave it out"
        ));
    }
    Ok(format!("{name}: {}", field_value(value.trim())?))
}

pub(super) fn field_value(text: &str) -> Result<String, String> {
    match text.chars().all(|c| c == '\t' || !c.is_control()) {
        true => Ok(text.into()),
        false => Err("expected one line: a field has no line breaks".into()),
    }
}

pub(super) fn file_name(text: &str) -> Result<String, String> {
    match text.is_empty() || text.contains(['/', '\0']) || text == "." || text == ".." {
        true => Err("expected the name of a file, without a path".into()),
        false => Ok(text.into()),
    }
}

pub(super) fn error_page(text: &str) -> Result<(u16, String), String> {
    let (status, file) = text
        .split_once('=')
        .ok_or("expected STATUS=FILE, such as 404=404.html")?;
    match status.parse() {
        Ok(status @ 400..=599) => Ok((status, file.into())),
        _ => Err(format!("expected a status from 400 to 599, not `{status}`")),
    }
}

pub(super) fn trusted_proxy(text: &str) -> Result<TrustedProxy, String> {
    if text == "unix" {
        return Ok(TrustedProxy::Unix);
    }
    let network = text.parse::<IpNet>().ok();
    let network = network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let network = network.map(TrustedProxy::Network);
    network.ok_or_else(|| {
        "expected an address, a network such as 10.0.0.0/8 or 2001:db8::/32, or unix".into()
    })
}

pub(super) fn levels() -> impl TypedValueParser<Value = LevelFilter> {
    let names = ["off", "error", "warn", "info", "debug", "trace"];
    PossibleValuesParser::new(names).try_map(|name| name.parse::<LevelFilter>())
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| "expected a time with a unit, such as 500ms, 10s or 2m".into())
}

pub(super) fn positive(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("expected a time above zero".into()),
        time => Ok(time),
    }
}

/// A time as an option's value.
pub(super) fn shown_time(time: Duration) -> String {
    match time.subsec_millis() {
        0 => format!("{}s", time.as_secs()),
        _ => format!("{}ms", time.as_millis()),
    }
}

/// A size as an option's value.
pub(super) fn shown_size(bytes: u64) -> String {
    let units = [("MiB", 1024 * 1024), ("KiB", 1024)];
    let unit = units
        .iter()
        .find(|(_, unit)| bytes.is_multiple_of(*unit) && bytes > 0);
    unit.map_or(bytes.to_string(), |(name, unit)| {
        format!("{}{name}", bytes / unit)
    })
}
