//! Conflicts between requested addresses: which exclude each other, and which cover each other.

use super::bound_address::BoundAddress;
use super::endpoint::Endpoint;
use super::{Address, AddressKind};
use std::path::{Path, PathBuf};

/// A request to listen at an address.
pub struct ListenRequest<'a> {
    /// The option that requests it, such as `--listen http=:80`.
    pub option: String,
    /// The service that the address is for.
    pub service: usize,
    /// The address. Endpoints covered by another address of the same service are removed.
    pub address: &'a mut Address,
}

/// Resolves overlaps between addresses. An endpoint covered by another address of the same service
/// is removed, and `[::]` leaves IPv4 to another listener on the same port. Returns the changes as
/// sentences.
///
/// # Errors
/// A sentence about two overlapping addresses of different services, or of which one is encrypted.
pub fn reconcile(requests: &mut [ListenRequest<'_>]) -> Result<Vec<String>, String> {
    let mut notes = Vec::new();
    for later in 1..requests.len() {
        for earlier in 0..later {
            let (before, after) = requests.split_at_mut(later);
            reconcile_pair(&mut before[earlier], &mut after[0], &mut notes)?;
        }
    }
    let of_ipv4: Vec<_> = requests
        .iter()
        .flat_map(|request| endpoints(request.address).map(|one| (request.is_datagram(), one)))
        .map(|(is_datagram, endpoint)| (is_datagram, endpoint.address()))
        .filter(|(_, address)| address.is_ipv4() && address.port() != 0)
        .map(|(is_datagram, address)| (is_datagram, address.port()))
        .collect();
    for request in requests {
        let is_datagram = request.is_datagram();
        let own = request.address.endpoints_mut().into_iter().flatten();
        for endpoint in own.filter(|one| one.is_dual()) {
            if of_ipv4.contains(&(is_datagram, endpoint.address().port())) {
                endpoint.restrict_to_own_family();
            }
        }
    }
    Ok(notes)
}

impl ListenRequest<'_> {
    fn is_datagram(&self) -> bool {
        self.address.is_datagram()
    }

    fn is_inherited(&self) -> bool {
        matches!(self.address.kind(), AddressKind::Inherited(..))
    }

    /// True if it does not matter which of both a client reaches.
    fn serves_as(&self, other: &ListenRequest<'_>) -> bool {
        self.service == other.service && self.address.is_encrypted() == other.address.is_encrypted()
    }
}

/// Resolves the overlap of two addresses.
fn reconcile_pair(
    one: &mut ListenRequest<'_>,
    other: &mut ListenRequest<'_>,
    notes: &mut Vec<String>,
) -> Result<(), String> {
    if let (Some(a), Some(b)) = (path(one.address), path(other.address))
        && a == b
    {
        // One file is one socket, for either connections or datagrams.
        if !one.serves_as(other) || one.is_datagram() != other.is_datagram() {
            let (a, b) = (&one.option, &other.option);
            return Err(format!(
                "{a} and {b} name the same file; use another path for one of them"
            ));
        }
        if !other.is_inherited() {
            notes.push(format!("{} is given twice", other.option));
            other.address.mark_covered();
        }
    }
    if one.is_datagram() != other.is_datagram() {
        return Ok(());
    }
    let of_one: Vec<_> = endpoints(one.address).collect();
    let of_other: Vec<_> = endpoints(other.address).collect();
    let overlap = |a: &Endpoint| of_other.iter().any(|b| a.covers(b) || b.covers(a));
    if !of_one.iter().any(overlap) {
        return Ok(());
    }
    if !one.serves_as(other) {
        return Err(format!(
            "{} and {} overlap, and each client can reach only one of them; use another port for one",
            one.option, other.option
        ));
    }
    remove_covered(other, &one.option, &of_one, notes);
    let left: Vec<_> = endpoints(other.address).collect();
    remove_covered(one, &other.option, &left, notes);
    Ok(())
}

/// Removes the endpoints covered by those of another address.
fn remove_covered(
    covered: &mut ListenRequest<'_>,
    by: &str,
    others: &[Endpoint],
    notes: &mut Vec<String>,
) {
    let Some(own) = covered.address.endpoints_mut() else {
        return;
    };
    let before = own.len();
    own.retain(|one| !others.iter().any(|other| other.covers(one)));
    if own.len() == before {
        return;
    }
    let what = if own.is_empty() { "" } else { "part of " };
    let note = match covered.option == by {
        true => format!("{by} is given twice"),
        false => format!("{what}{} is covered by {by}", covered.option),
    };
    notes.push(note);
    if own.is_empty() {
        covered.address.mark_covered();
    }
}

fn endpoints(address: &Address) -> impl Iterator<Item = Endpoint> {
    let inherited = match address.kind() {
        AddressKind::Inherited(_, BoundAddress::Tcp(address) | BoundAddress::Udp(address)) => {
            let mut endpoint = Endpoint::of(*address);
            // Its creator has set the families that it receives from.
            endpoint.restrict_to_own_family();
            Some(endpoint)
        }
        _ => None,
    };
    let all = match address.kind() {
        AddressKind::Tcp(all) | AddressKind::Udp(all) => &all[..],
        _ => &[],
    };
    all.iter().copied().chain(inherited)
}

/// The canonical path of a Unix socket.
fn path(address: &Address) -> Option<PathBuf> {
    let path = match address.kind() {
        AddressKind::Unix(path) | AddressKind::UnixDatagram(path) => path,
        AddressKind::Inherited(_, BoundAddress::Unix(path) | BoundAddress::UnixDatagram(path)) => {
            path
        }
        _ => return None,
    };
    let name = path.file_name()?;
    let directory = path.parent().filter(|parent| *parent != Path::new(""));
    let directory = directory.unwrap_or(Path::new("."));
    let directory = directory.canonicalize().unwrap_or(directory.into());
    Some(directory.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result for two services: `a ADDRESS`, `b ADDRESS`.
    fn reconciled(asked: &[&str]) -> Result<(Vec<String>, Vec<String>), String> {
        let mut addresses: Vec<_> = asked
            .iter()
            .map(|text| text[2..].parse::<Address>().expect("an address"))
            .collect();
        let mut requests: Vec<_> = asked
            .iter()
            .zip(&mut addresses)
            .map(|(text, address)| ListenRequest {
                option: (*text).into(),
                service: usize::from(text.as_bytes()[0]),
                address,
            })
            .collect();
        let notes = reconcile(&mut requests)?;
        let all = addresses.iter().map(|address| match address.kind() {
            AddressKind::Unix(path) | AddressKind::UnixDatagram(path) => path.display().to_string(),
            AddressKind::Covered => "-".into(),
            _ => {
                let all = endpoints(address).map(|one| {
                    let dual = if one.is_dual() { " dual" } else { "" };
                    format!("{}{dual}", one.address())
                });
                all.collect::<Vec<_>>().join(" and ")
            }
        });
        Ok((all.collect(), notes))
    }

    #[test]
    fn overlaps_within_a_service_are_resolved() {
        type Case = (
            &'static [&'static str],
            &'static [&'static str],
            &'static [&'static str],
        );
        let cases: &[Case] = &[
            (&["a [::]:80"], &["[::]:80 dual"], &[]),
            (
                &["a 0.0.0.0:80", "a [::]:80"],
                &["0.0.0.0:80", "[::]:80"],
                &[],
            ),
            (
                &["a [::]:80", "a 0.0.0.0:80"],
                &["[::]:80", "0.0.0.0:80"],
                &[],
            ),
            (
                &["a [::]:80", "b 0.0.0.0:80"],
                &["[::]:80", "0.0.0.0:80"],
                &[],
            ),
            (
                &["a [::]:80", "a 127.0.0.1:80"],
                &["[::]:80", "127.0.0.1:80"],
                &[],
            ),
            (
                &["a [::]:80", "a [::ffff:127.0.0.1]:80"],
                &["[::]:80", "127.0.0.1:80"],
                &[],
            ),
            (
                &["a [::]:80", "a 0.0.0.0:81"],
                &["[::]:80 dual", "0.0.0.0:81"],
                &[],
            ),
            (
                &["a [::]:80", "a udp:0.0.0.0:80"],
                &["[::]:80 dual", "0.0.0.0:80"],
                &[],
            ),
            (
                &["a udp:[::]:80", "a udp:0.0.0.0:80"],
                &["[::]:80", "0.0.0.0:80"],
                &[],
            ),
            (
                &["a [::]:0", "a 0.0.0.0:0"],
                &["[::]:0 dual", "0.0.0.0:0"],
                &[],
            ),
            (
                &["a 127.0.0.1:0", "b 127.0.0.1:0"],
                &["127.0.0.1:0", "127.0.0.1:0"],
                &[],
            ),
            (
                &["a 127.0.0.1:80", "b udp:127.0.0.1:80"],
                &["127.0.0.1:80", "127.0.0.1:80"],
                &[],
            ),
            (
                &["a 127.0.0.1:80", "a :80"],
                &["-", "[::]:80"],
                &["a 127.0.0.1:80 is covered by a :80"],
            ),
            (
                &["a :80", "a [::]:80", "a 0.0.0.0:80"],
                &["[::]:80", "-", "-"],
                &[
                    "a [::]:80 is covered by a :80",
                    "a 0.0.0.0:80 is covered by a :80",
                ],
            ),
            (
                &["a 127.0.0.1:80", "a 127.0.0.1:80", "a 127.0.0.1:80"],
                &["127.0.0.1:80", "-", "-"],
                &[
                    "a 127.0.0.1:80 is given twice",
                    "a 127.0.0.1:80 is given twice",
                ],
            ),
            (
                &["a localhost:80", "a 127.0.0.1:80"],
                &["127.0.0.1:80 and [::1]:80", "-"],
                &["a 127.0.0.1:80 is covered by a localhost:80"],
            ),
            (
                &["a localhost:80", "a 0.0.0.0:80"],
                &["[::1]:80", "0.0.0.0:80"],
                &["part of a localhost:80 is covered by a 0.0.0.0:80"],
            ),
            (
                &["a localhost:80", "a [::]:80", "a 0.0.0.0:80"],
                &["-", "[::]:80", "0.0.0.0:80"],
                &[
                    "part of a localhost:80 is covered by a [::]:80",
                    "a localhost:80 is covered by a 0.0.0.0:80",
                ],
            ),
            (
                &["a localhost:80", "a [::]:80"],
                &["127.0.0.1:80", "[::]:80"],
                &["part of a localhost:80 is covered by a [::]:80"],
            ),
            (
                &["a unix:/run/x", "a unix:/run/y"],
                &["/run/x", "/run/y"],
                &[],
            ),
            (
                &["a unix:/usr/x", "a unix:/usr/bin/../x", "a unix:/usr/./x"],
                &["/usr/x", "-", "-"],
                &[
                    "a unix:/usr/bin/../x is given twice",
                    "a unix:/usr/./x is given twice",
                ],
            ),
            (
                &["a unix:x", "a unix:./x"],
                &["x", "-"],
                &["a unix:./x is given twice"],
            ),
        ];
        for (asked, expected, notes) in cases {
            let (all, said) = reconciled(asked).expect("they fit");
            assert_eq!(all, *expected, "{asked:?}");
            assert_eq!(said, *notes, "{asked:?}");
        }
    }

    #[test]
    fn overlaps_between_services_are_refused() {
        let cases: &[&[&str]] = &[
            &["a 127.0.0.1:80", "b 127.0.0.1:80"],
            &["a 127.0.0.1:80", "b :80"],
            &["a :80", "b [::1]:80"],
            &["a 0.0.0.0:80", "b 127.0.0.1:80"],
            &["a [::]:80", "b [::1]:80"],
            &["a [::]:80", "b [::]:80"],
            &["a localhost:80", "b [::1]:80"],
            &["a 127.0.0.1:80", "b [::ffff:127.0.0.1]:80"],
            &["a udp::80", "b udp:127.0.0.1:80"],
            &["a unix:/run/x", "b unix:/run/x"],
            &["a unix:/run/x", "a unix-dgram:/run/x"],
        ];
        for asked in cases {
            let error = reconciled(asked).expect_err("they do not fit");
            assert!(
                error.starts_with(&format!("{} and {} ", asked[0], asked[1])),
                "{error}"
            );
        }
    }
}
