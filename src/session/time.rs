//! Time, passed to sessions as an argument.

use httpdate::HttpDate;
use std::fmt::Write;
use std::ops::Range;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The last second that HTTP's date format can express, the end of the year 9999, in seconds since
/// the epoch.
const LAST_SECOND: u64 = 253_402_300_799;

/// A point in time, in nanoseconds since the [`Time`] it came from began. Half as large as an
/// [`Instant`]: each connection stores one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// The moment `nanos` nanoseconds after the beginning.
    pub fn from_nanos(nanos: u64) -> Moment {
        Moment(nanos)
    }

    /// Nanoseconds since the beginning.
    pub fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this moment; zero if `earlier` is later.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment `time` later.
    #[must_use]
    pub fn after(self, time: Duration) -> Moment {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Moment(self.0.saturating_add(nanos))
    }
}

/// The current time, with the date text that all responses of a second share.
#[derive(Clone)]
pub struct Time {
    began: Instant,
    now: Instant,
    moment: Moment,
    wall: SystemTime,
    /// The second for which `date` is formatted.
    second: Range<SystemTime>,
    date: [u8; 29],
    clock: Option<fn() -> Instant>,
}

impl Time {
    /// A time that is `now` on the monotonic clock and `wall` on the wall clock.
    pub fn new(now: Instant, wall: SystemTime) -> Time {
        let mut time = Time {
            began: now,
            now,
            moment: Moment::default(),
            wall,
            second: wall..wall,
            date: [b' '; 29],
            clock: None,
        };
        time.set(now, wall);
        time
    }

    /// Adds a clock for [`exact_moment`](Time::exact_moment).
    #[must_use]
    pub fn with_clock(self, clock: fn() -> Instant) -> Time {
        Time {
            clock: Some(clock),
            ..self
        }
    }

    /// Sets the time. The date text is formatted only when the second changes.
    pub fn set(&mut self, now: Instant, wall: SystemTime) {
        self.now = now;
        self.moment = Moment::default().after(now - self.began);
        self.wall = wall;
        if !self.second.contains(&wall) {
            let second = seconds(wall).min(LAST_SECOND);
            let begin = UNIX_EPOCH + Duration::from_secs(second);
            self.second = begin..begin + Duration::from_secs(1);
            self.date = imf_fixdate(second);
        }
    }

    /// The monotonic time, for intervals and deadlines.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The monotonic time as a [`Moment`].
    pub fn moment(&self) -> Moment {
        self.moment
    }

    /// Reads the clock given to [`with_clock`](Time::with_clock). Without one, this is
    /// [`moment`](Time::moment).
    pub fn exact_moment(&self) -> Moment {
        let now = self.clock.map_or(self.now, |clock| clock());
        Moment::default().after(now.saturating_duration_since(self.began))
    }

    /// The wall-clock time.
    pub fn wall(&self) -> SystemTime {
        self.wall
    }

    /// `Sun, 22 Nov 2026 14:32:00 GMT`: the Date field's form (RFC 9110 section 5.6.7).
    pub fn date(&self) -> &[u8; 29] {
        &self.date
    }

    /// `22/Nov/2026:14:32:00 +0000`: the access log's form of the same second.
    pub fn log_date(&self) -> [u8; 26] {
        let mut text = *b"DD/Mon/YYYY:HH:MM:SS +0000";
        text[0..2].copy_from_slice(&self.date[5..7]);
        text[3..6].copy_from_slice(&self.date[8..11]);
        text[7..11].copy_from_slice(&self.date[12..16]);
        text[12..20].copy_from_slice(&self.date[17..25]);
        text
    }
}

fn seconds(wall: SystemTime) -> u64 {
    wall.duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs()
}

/// Formats a second since the epoch, which must not be after the year 9999.
fn imf_fixdate(second: u64) -> [u8; 29] {
    struct Text([u8; 29], usize);
    impl Write for Text {
        fn write_str(&mut self, part: &str) -> std::fmt::Result {
            let end = self.1 + part.len();
            let place = self.0.get_mut(self.1..end).ok_or(std::fmt::Error)?;
            place.copy_from_slice(part.as_bytes());
            self.1 = end;
            Ok(())
        }
    }
    let mut text = Text([b' '; 29], 0);
    let date = HttpDate::from(UNIX_EPOCH + Duration::from_secs(second));
    write!(text, "{date}").expect("an HTTP date is 29 bytes long");
    text.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Time {
        Time::new(Instant::now(), UNIX_EPOCH + Duration::from_secs(second))
    }

    #[test]
    fn a_second_is_formatted_for_http_and_for_the_log() {
        let time = at(784_111_777);
        assert_eq!(time.date(), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(&time.log_date(), b"06/Nov/1994:08:49:37 +0000");
    }

    #[test]
    fn dates_outside_the_formats_range_are_clamped() {
        let now = Instant::now();
        let before = Time::new(now, UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(before.date(), b"Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(at(LAST_SECOND + 9).date(), b"Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
