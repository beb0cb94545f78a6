//! Which mode listens at which address, from --mode, --listen, --port and inherited sockets.

use super::options::Options;
use crate::config::ServiceAddress;
use crate::net::{Address, InheritedSocket};
use crate::service::{self, SERVICES};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A port for an encrypted address, to be suggested.
const TLS_PORT: u16 = 8443;

/// Each mode listens at least once: at its default port, unless the options say otherwise.
pub(super) fn listen(
    options: &Options,
    inherited: Vec<InheritedSocket>,
) -> Result<Vec<ServiceAddress>, String> {
    let modes = modes(&options.content.modes, &inherited);
    let mut all = Vec::new();
    for InheritedSocket { name, address } in inherited {
        let (name, is_encrypted) = mode_of_socket(name);
        let service = match (name, &modes[..]) {
            (Some(name), _) if modes.contains(&name) => name,
            (_, [mode]) => mode.clone(),
            (name, _) => {
                let name = name.unwrap_or("nothing".into());
                return Err(format!(
                    "the inherited socket {address} is called {name}; expected a mode: {}",
                    modes.join(", ")
                ));
            }
        };
        let address = match is_encrypted {
            true => address.encrypted()?,
            false => address,
        };
        all.push(ServiceAddress { service, address });
    }
    let port = options.listening.port;
    if let (Some(port), true) = (port, modes.len() > 1) {
        return Err(format!(
            "--port {port} does not say for which mode; type for example --listen {}={port}",
            modes[0]
        ));
    }
    for text in &options.listening.listen {
        let (service, address) = mode_and_address(text, &modes)?;
        let address = whole_address(address, port, default_port(service)?)?;
        all.push(ServiceAddress {
            service: service.into(),
            address: address.parse::<Address>()?,
        });
    }
    if let (Some(port), true, [mode]) = (port, options.listening.listen.is_empty(), &modes[..]) {
        all.push(ServiceAddress {
            service: mode.clone(),
            address: Address::loopback(port),
        });
    }
    for mode in &modes {
        if !all.iter().any(|one| one.service == *mode) {
            all.push(ServiceAddress {
                service: mode.clone(),
                address: Address::loopback(default_port(mode)?),
            });
        }
    }
    Ok(all)
}

/// The mode that an inherited socket is for, and whether its connections are encrypted: `tls`, or
/// the mode with `-tls` behind it. A colon is not allowed in such a name.
fn mode_of_socket(name: Option<String>) -> (Option<String>, bool) {
    match name
        .as_deref()
        .map(|name| (name, name.strip_suffix("-tls")))
    {
        Some(("tls", _)) => (None, true),
        Some((_, Some(mode))) => (Some(mode.into()), true),
        _ => (name, false),
    }
}

fn default_port(mode: &str) -> Result<u16, String> {
    let row = service::find(mode).ok_or_else(|| format!("there is no mode `{mode}`"))?;
    Ok(row.port)
}

/// The modes to serve, each once: those given, those of inherited sockets, or else the first of the
/// table.
fn modes(given: &[String], inherited: &[InheritedSocket]) -> Vec<String> {
    let named = inherited
        .iter()
        .map(|socket| mode_of_socket(socket.name.clone()).0);
    let named: Vec<_> = named
        .flatten()
        .filter(|name| service::find(name).is_some())
        .collect();
    let mut modes: Vec<String> = Vec::new();
    for mode in given.iter().chain(&named) {
        if !modes.contains(mode) {
            modes.push(mode.clone());
        }
    }
    if modes.is_empty() {
        modes.push(SERVICES[0].name.to_owned());
    }
    modes
}

/// The mode and the address of a `--listen`.
fn mode_and_address<'a>(text: &'a str, modes: &'a [String]) -> Result<(&'a str, &'a str), String> {
    match (text.split_once('='), modes) {
        (Some((mode, address)), _) if modes.iter().any(|m| m == mode) => Ok((mode, address)),
        (Some((mode, _)), _) if service::find(mode).is_some() => Err(format!(
            "--listen {text} is for a mode that is not served; add --mode {mode}"
        )),
        (Some((mode, _)), _) => Err(format!("--listen {text}: there is no mode `{mode}`")),
        (None, [mode]) => Ok((mode, text)),
        (None, _) => Err(format!(
            "--listen {text} does not say for which mode; type for example --listen {}={text}",
            modes[0]
        )),
    }
}

/// The whole address. A host alone gets the `given` port, or else, if it is certain to be a host,
/// the `default` one. A port alone is on the loopback. `*` stands for all addresses.
pub(super) fn whole_address(
    text: &str,
    given: Option<u16>,
    default: u16,
) -> Result<String, String> {
    let prefixes = ["udp:", "tls:"];
    let prefix = prefixes.into_iter().find(|prefix| text.starts_with(prefix));
    let prefix = prefix.unwrap_or_default();
    let address = &text[prefix.len()..];
    let is_encrypted = prefix == "tls:";
    let port = given.unwrap_or(if is_encrypted { TLS_PORT } else { default });
    if let Some((scheme, rest)) = address.split_once("://") {
        let rest = rest.trim_end_matches('/');
        return Err(match scheme {
            "https" => format!("`{text}` is a URL; type tls:{rest}"),
            _ => format!("`{text}` is a URL; type {rest} alone"),
        });
    }
    if address.starts_with('/') || address.starts_with("./") {
        return Err(format!(
            "`{text}` is a path; for a Unix socket type {prefix}unix:{address}"
        ));
    }
    let host = match address.parse::<IpAddr>() {
        _ if address == "*" => String::new(),
        _ if address.eq_ignore_ascii_case("localhost") => address.into(),
        Ok(IpAddr::V4(ip)) => ip.to_string(),
        Ok(IpAddr::V6(ip @ (Ipv6Addr::UNSPECIFIED | Ipv6Addr::LOCALHOST))) => format!("[{ip}]"),
        // It could also be an address and a port, as ::1:8080 could.
        Ok(IpAddr::V6(_)) => {
            return Err(format!(
                "`{text}` is ambiguous; type an IPv6 address in brackets, such as [::1]:{port}"
            ));
        }
        Err(_) if address.starts_with('[') && address.ends_with(']') => address.into(),
        Err(_) if is_name(address) && given.is_some() => address.into(),
        Err(_) if is_name(address) => {
            return Err(format!("`{text}` has no port; type {text}:{port}"));
        }
        Err(_) => return with_own_port((prefix, address), given),
    };
    // The default port is for connections that are not encrypted.
    if is_encrypted && given.is_none() {
        return Err(format!("`{text}` has no port; type {text}:{port}"));
    }
    Ok(format!("{prefix}{host}:{port}"))
}

/// An address that is no host alone.
fn with_own_port((prefix, address): (&str, &str), given: Option<u16>) -> Result<String, String> {
    if let Some(port) = given {
        return Err(format!(
            "--port {port} cannot be added to --listen {prefix}{address}; leave one of them out"
        ));
    }
    let host = match address.strip_prefix("*:") {
        Some(port) => return Ok(format!("{prefix}:{port}")),
        None if address.parse::<u16>().is_ok() => "127.0.0.1:",
        None => "",
    };
    Ok(format!("{prefix}{host}{address}"))
}

/// A host's name, and no number: that is a port.
fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    text.contains(|c: char| c.is_ascii_alphabetic()) && text.chars().all(fits)
}

/// True if this can only be meant as an address to listen on.
pub(super) fn is_address(text: &str) -> bool {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, "0"));
    let is_host = host.is_empty()
        || host == "localhost"
        || host.parse::<Ipv4Addr>().is_ok()
        || (host.starts_with('[') && host.ends_with(']'));
    is_host && port.parse::<u16>().is_ok()
}
