//! A user's name and password, from a client or from the command line.

use super::hashing::{decode_base64, wipe};
use std::str::FromStr;

/// What a client has sent to prove who it is. The password is overwritten when this is dropped.
pub struct Credentials {
    pub(super) user: Vec<u8>,
    pub(super) password: Vec<u8>,
}

impl Credentials {
    /// Reads the value of an Authorization field of the scheme Basic (RFC 7617 section 2). `None`
    /// for another scheme, and for anything that an honest client does not send.
    pub fn basic(value: &[u8]) -> Option<Credentials> {
        let (scheme, text) = value.split_at_checked(SCHEME.len())?;
        let begin = text.iter().position(|&byte| byte != b' ')?;
        if !scheme.eq_ignore_ascii_case(SCHEME) || begin == 0 {
            return None;
        }
        let mut pair = decode_base64(&text[begin..])?;
        let colon = memchr::memchr(b':', &pair);
        let is_clean = !pair.iter().any(u8::is_ascii_control);
        let credentials = colon.filter(|_| is_clean).map(|colon| Credentials {
            user: pair[..colon].into(),
            password: pair[colon + 1..].into(),
        });
        wipe(&mut pair);
        credentials
    }

    /// The user's name, as the client has sent it.
    pub fn user(&self) -> &[u8] {
        &self.user
    }
}

const SCHEME: &[u8] = b"Basic";

impl Drop for Credentials {
    fn drop(&mut self) {
        wipe(&mut self.password);
    }
}

/// A user whose password is known: `USER:PASSWORD`.
#[derive(Clone)]
pub struct Login {
    pub(super) user: String,
    pub(super) password: String,
}

/// Without the password.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:...", self.user)
    }
}

impl FromStr for Login {
    type Err = String;

    /// The name ends at the first colon. The error does not contain the text.
    fn from_str(text: &str) -> Result<Login, String> {
        let (user, password) = text.split_once(':').unwrap_or_default();
        if user.is_empty() {
            return Err("expected USER:PASSWORD".into());
        }
        if password.is_empty() {
            return Err("the password is empty; expected USER:PASSWORD".into());
        }
        match text.bytes().any(|byte| byte.is_ascii_control()) {
            true => Err("a name or a password with control characters cannot be sent".into()),
            false => Ok(Login {
                user: user.into(),
                password: password.into(),
            }),
        }
    }
}
