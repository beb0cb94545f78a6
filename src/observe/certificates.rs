//! What operators know of certificates: for whom they are, and until when.

use httpdate::fmt_http_date;
use parking_lot::RwLock;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

const DAY: i64 = 24 * 60 * 60;

/// How long before its end operators are warned.
const WARNED_DAYS: i64 = 14;

/// A certificate, as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateInfo {
    /// Its file.
    pub file: PathBuf,
    /// The names and addresses that it is for.
    pub names: Vec<String>,
    /// SHA-256 of it, as browsers and openssl(1) show it.
    pub fingerprint: String,
    /// When it is valid, in seconds since the epoch.
    pub validity: Range<i64>,
}

impl CertificateInfo {
    /// What an operator must know `now`, if anything: it has expired or will soon, or is not valid
    /// yet.
    pub fn warning(&self, now: i64) -> Option<String> {
        let file = self.file.display();
        let Range { start, end } = self.validity;
        let days = (end - now) / DAY;
        if now < start {
            Some(format!(
                "the certificate {file} is not valid before {}",
                date(start)
            ))
        } else if now >= end {
            Some(format!(
                "the certificate {file} has expired: clients refuse it since {}",
                date(end)
            ))
        } else if days < WARNED_DAYS {
            let left = match days {
                0 => "today".into(),
                1 => "in 1 day".into(),
                days => format!("in {days} days"),
            };
            Some(format!(
                "the certificate {file} expires {left}: {}",
                date(end)
            ))
        } else {
            None
        }
    }
}

fn date(seconds: i64) -> String {
    /// The end of the year 9999, the last one that can be written.
    const LAST: u64 = 253_402_300_799;
    let seconds = u64::try_from(seconds).unwrap_or_default().min(LAST);
    fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// The certificates in use. Clones share the list. The lock is held for a clone of the `Arc`, or to
/// store another one.
#[derive(Clone, Debug)]
pub struct CertificateList(Arc<RwLock<Arc<[CertificateInfo]>>>);

impl Default for CertificateList {
    fn default() -> CertificateList {
        let none: Arc<[CertificateInfo]> = Arc::from([]);
        CertificateList(Arc::new(RwLock::new(none)))
    }
}

impl CertificateList {
    /// The certificates of now.
    pub fn current(&self) -> Arc<[CertificateInfo]> {
        self.0.read().clone()
    }

    /// Replaces the certificates.
    pub fn set(&self, all: Vec<CertificateInfo>) {
        let all = all.into();
        *self.0.write() = all;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_announced_two_weeks_before() {
        let info = CertificateInfo {
            file: "c.pem".into(),
            names: Vec::new(),
            fingerprint: String::new(),
            validity: 1_000_000..10_000_000,
        };
        let cases = [
            (
                999_999,
                Some("is not valid before Mon, 12 Jan 1970 13:46:40 GMT"),
            ),
            (1_000_000, None),
            (10_000_000 - 14 * DAY, None),
            (
                10_000_000 - 14 * DAY + 1,
                Some("expires in 13 days: Sun, 26 Apr 1970 17:46:40 GMT"),
            ),
            (10_000_000 - DAY, Some("expires in 1 day: Sun")),
            (9_999_999, Some("expires today: Sun")),
            (
                10_000_000,
                Some("has expired: clients refuse it since Sun, 26 Apr 1970"),
            ),
        ];
        for (now, expected) in cases {
            let warning = info.warning(now);
            let expected = expected.map(|text| format!("the certificate c.pem {text}"));
            match (&warning, &expected) {
                (Some(warning), Some(expected)) => {
                    assert!(warning.starts_with(expected), "{warning}");
                }
                _ => assert_eq!(warning, expected, "{now}"),
            }
        }
    }
}
