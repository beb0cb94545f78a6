//! The users of the services: read at the start, announced, and read again when SIGHUP comes.

use super::reload::{Event, ReloadRequests, ReloadThread};
use super::units::count;
use crate::auth::{Access, Gate};
use crate::config::{Config, Redirect, StartError};
use crate::confine;
use crate::model::without_forks;
use crate::net::{Address, AddressKind, BoundAddress};
use std::io;
use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;

/// What reads the files with users again.
pub(super) struct PasswordReload {
    gates: Vec<Arc<Gate>>,
    pub requests: Arc<ReloadRequests>,
}

/// Opens the gates of the configuration. With `forks`, processes will share them.
pub(super) fn open(config: &mut Config, forks: bool) -> Result<(), StartError> {
    let open = |access: &Access| match access.is_open() {
        true => Ok(None),
        false => Gate::open(access.clone(), forks)
            .map(|gate| Some(Arc::new(gate)))
            .map_err(StartError),
    };
    if !config.http.access.is_open() || !config.status_access.is_open() {
        confine::protect_memory().map_err(|error| {
            StartError(format!("cannot protect the passwords in memory: {error}"))
        })?;
    }
    config.http.gate = open(&config.http.access)?;
    config.status_gate = open(&config.status_access)?;
    Ok(())
}

/// The line about who may read the files.
pub(super) fn announcement(config: &Config) -> Option<String> {
    let gate = config.http.gate.as_ref()?;
    let users = count(gate.users().count() as u64, "user");
    Some(format!("http asks for a password: {users}"))
}

/// Warnings of passwords that others could read on their way, and of hashes that are served. `http`
/// are the addresses of http.
pub(super) fn warnings<'a>(
    config: &'a Config,
    http: impl Iterator<Item = &'a Address>,
) -> Vec<String> {
    let redirects = config.redirect != Redirect::Off;
    let of_http = http.filter(|_| config.http.gate.is_some() && !redirects);
    let of_status = config
        .status
        .iter()
        .filter(|_| config.status_gate.is_some());
    let is_exposed = |address: &&Address| {
        let is_tcp = matches!(
            address.kind(),
            AddressKind::Tcp(_) | AddressKind::Inherited(_, BoundAddress::Tcp(_))
        );
        is_tcp && !address.is_encrypted() && !address.is_local()
    };
    let exposed = of_http.chain(of_status).filter(is_exposed);
    let exposed = exposed.map(|address| {
        format!(
            "PASSWORDS ARE NOT ENCRYPTED on their way to {address}: others in the network can read \
             them; type tls:{address}, or use a proxy on this machine that encrypts"
        )
    });
    let files = [&config.http.access.file, &config.status_access.file];
    let served = files.into_iter().flatten().filter(|file| {
        let places = absolute(file).ok().zip(absolute(&config.root).ok());
        places.is_some_and(|(file, root)| file.starts_with(root))
    });
    let served = served.map(|file| {
        let (file, root) = (file.display(), config.root.display());
        format!("{file} lies in {root}, which is served: keep it elsewhere")
    });
    exposed.chain(served).collect()
}

impl PasswordReload {
    /// `None` if no file has users.
    pub fn new(config: &Config) -> io::Result<Option<PasswordReload>> {
        let gates = [&config.http.gate, &config.status_gate];
        let gates = gates.into_iter().flatten();
        let gates: Vec<_> = gates
            .filter(|gate| gate.file().is_some())
            .cloned()
            .collect();
        if gates.is_empty() {
            return Ok(None);
        }
        Ok(Some(PasswordReload {
            gates,
            requests: Arc::new(ReloadRequests::new()?),
        }))
    }

    /// The files, which may be replaced.
    pub fn files(&self) -> Vec<PathBuf> {
        let files = self.gates.iter().filter_map(|gate| gate.file());
        files.map(PathBuf::from).collect()
    }

    /// Starts the thread.
    pub fn start(self) -> Option<ReloadThread> {
        let PasswordReload { gates, requests } = self;
        let of_thread = requests.clone();
        requests.start("passwords", "a changed password", move || {
            while let Event::Request = of_thread.wait(None, None) {
                of_thread.take();
                for (place, gate) in gates.iter().enumerate() {
                    let mut before = gates[..place].iter();
                    reload(gate, before.any(|other| other.file() == gate.file()));
                }
            }
        })
    }
}

/// Reads a gate's file again. What `is_known` is logged already.
fn reload(gate: &Arc<Gate>, is_known: bool) {
    let users = gate.read();
    let file = gate.file().unwrap_or(Path::new("")).display();
    // No process must be forked while a lock is held.
    without_forks(|| match users {
        Ok(users) => {
            let number = count(users.count() as u64, "user");
            gate.replace(users);
            if !is_known {
                log::info!("the passwords in {file} have been read again: {number}");
            }
        }
        Err(_) if is_known => {}
        Err(why) => log::error!("{why}; the passwords that were read before stay in use"),
    });
}

#[cfg(feature = "auth")]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_others_could_read_is_warned_of() {
        let mut config = Config::default();
        let addresses = [
            ("127.0.0.1:80", false),
            ("[::1]:80", false),
            ("unix:/run/x", false),
            ("tls:192.0.2.1:443", false),
            ("192.0.2.1:80", true),
            (":80", true),
        ];
        config.http.access.logins = vec!["me:secret".parse().expect("a login")];
        for opened in [false, true] {
            for (text, is_exposed) in addresses {
                let address: Address = text.parse().expect(text);
                let warnings = warnings(&config, std::iter::once(&address));
                assert_eq!(!warnings.is_empty(), is_exposed && opened, "{text}");
            }
            open(&mut config, false).expect("a gate");
        }
        config.redirect = Redirect::ToPort(443);
        let address: Address = ":80".parse().expect("an address");
        let warnings = warnings(&config, std::iter::once(&address));
        assert_eq!(warnings, [""; 0], "it only redirects");
    }

    #[test]
    fn hashes_that_are_served_are_warned_of() {
        let mut config = Config {
            root: "docs/site".into(),
            ..Config::default()
        };
        for (file, is_served) in [
            ("docs/site/.users", true),
            ("docs/site/notes/users", true),
            ("docs/users", false),
            ("/etc/users", false),
        ] {
            config.http.access.file = Some(file.into());
            let warnings = warnings(&config, std::iter::empty());
            assert_eq!(!warnings.is_empty(), is_served, "{file}");
        }
    }
}
