//! URLs, and the names of files made from them.

use evserve::client::Get;
use std::net::{SocketAddr, ToSocketAddrs};

/// The longest name of a file, in bytes.
const MAX_NAME: usize = 200;

/// A URL with the scheme http, in parts.
#[derive(Debug, PartialEq, Eq)]
pub struct Url {
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    target: String,
}

impl Url {
    pub fn parse(text: &str) -> Result<Url, String> {
        let has_scheme = |scheme: &str| {
            let begin = text.get(..scheme.len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
        };
        if has_scheme("https://") {
            return Err("only http is supported, not https".into());
        }
        if !has_scheme("http://") {
            return Err("it does not begin with http://".into());
        }
        let rest = &text["http://".len()..];
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err("user names and passwords are not supported".into());
        }
        let (host, port) = split_authority(authority).ok_or("there is no such host or port")?;
        let target = match target.starts_with('/') {
            true => target.into(),
            false => format!("/{target}"),
        };
        Ok(Url { host, port, target })
    }

    /// The host and the port, as the request names them.
    pub fn authority(&self) -> String {
        let Url { host, port, .. } = self;
        match (host.contains(':'), port) {
            (true, 80) => format!("[{host}]"),
            (true, port) => format!("[{host}]:{port}"),
            (false, 80) => host.clone(),
            (false, port) => format!("{host}:{port}"),
        }
    }

    pub fn request(&self) -> Result<Get, String> {
        let get = Get::new(&self.authority(), &self.target);
        get.ok_or("it is too long, or has characters that must be percent-encoded".into())
    }

    /// Asks the resolver, which may take a while.
    pub fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        match (&*self.host, self.port).to_socket_addrs() {
            Ok(addresses) => Ok(addresses.collect()),
            Err(error) => Err(format!("the host {} is unknown: {error}", self.host)),
        }
    }

    /// A name for the file: the last part of the path, with the query. It has letters, digits and
    /// `._-` only, and begins with no dot, so it leads nowhere.
    pub fn file_name(&self) -> String {
        let query = self.target.find('?').unwrap_or(self.target.len());
        let (path, query) = self.target.split_at(query);
        let last = path.rsplit('/').next().unwrap_or_default();
        let last = if last.is_empty() { "index.html" } else { last };
        let mut in_front = true;
        let safe = |c: char| {
            in_front &= c == '.';
            match c {
                '.' if in_front => '_',
                '.' | '_' | '-' => c,
                c if c.is_ascii_alphanumeric() => c,
                _ => '_',
            }
        };
        let all = last.chars().chain(query.chars());
        all.map(safe).take(MAX_NAME).collect()
    }
}

fn split_authority(authority: &str) -> Option<(String, u16)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port)
        }
        None => {
            let end = authority.find(':').unwrap_or(authority.len());
            let (host, port) = authority.split_at(end);
            let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
            (!host.is_empty() && host.chars().all(is_name)).then_some(())?;
            (host, port)
        }
    };
    let port = match port {
        "" | ":" => 80,
        port => port
            .strip_prefix(':')?
            .parse()
            .ok()
            .filter(|port| *port != 0)?,
    };
    Some((host.to_ascii_lowercase(), port))
}

#[test]
fn urls() {
    for (text, host, target, name) in [
        ("http://a", "a", "/", "index.html"),
        ("HTTP://A.b:80/x#y", "a.b", "/x", "x"),
        (
            "http://a:8080/x/y.z?q=/../w",
            "a:8080",
            "/x/y.z?q=/../w",
            "y.z_q__.._w",
        ),
        ("http://a?q", "a", "/?q", "index.html_q"),
        ("http://[::1]:1/..", "[::1]:1", "/..", "__"),
        ("http://a/.bashrc", "a", "/.bashrc", "_bashrc"),
        ("http://a/%2e%2e%2fx", "a", "/%2e%2e%2fx", "_2e_2e_2fx"),
        ("http://a/b/", "a", "/b/", "index.html"),
    ] {
        let url = Url::parse(text).expect(text);
        let found = (url.authority(), &*url.target, url.file_name());
        assert_eq!(found, (host.into(), target, name.into()), "{text}");
        assert!(url.request().is_ok(), "{text}");
    }
    for text in [
        "a",
        "ftp://a/",
        "https://a/",
        "http://",
        "http:///x",
        "http://u:p@a/",
        "http://a:0/",
        "http://a:x/",
        "http://a:70000/",
        "http://[::1/",
        "http://[x]/",
        "http://a b/",
        "http://ä/",
    ] {
        assert!(Url::parse(text).is_err(), "{text}");
    }
    for text in ["http://a/b c", "http://a/\r\nX: y", "http://a/ä"] {
        assert!(
            Url::parse(text).is_ok_and(|url| url.request().is_err()),
            "{text:?}"
        );
    }
}
