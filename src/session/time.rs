//! The time, as an argument.

use httpdate::HttpDate;
use std::fmt::Write;
use std::ops::Range;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The last time HTTP's date format can say, the end of the year 9999, in seconds since the epoch.
const LAST_SECOND: u64 = 253_402_300_799;

/// A moment on the clock of one [`Time`], in nanoseconds since that began: half as large as an [`Instant`], of which
/// each connection keeps one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// The moment so many nanoseconds after the clock's beginning.
    pub fn from_nanos(nanos: u64) -> Moment {
        Moment(nanos)
    }

    /// How many nanoseconds after the clock's beginning it is.
    pub fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long before this one the other one was; zero if it was not before.
    pub fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment so much later.
    #[must_use]
    pub fn after(self, time: Duration) -> Moment {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Moment(self.0.saturating_add(nanos))
    }
}

/// A moment, with the texts that many answers of the same second share.
#[derive(Clone)]
pub struct Time {
    began: Instant,
    now: Instant,
    moment: Moment,
    wall: SystemTime,
    /// The second that `date` names.
    second: Range<SystemTime>,
    date: [u8; 29],
    clock: Option<fn() -> Instant>,
}

impl Time {
    /// The moment that is `now` on the clock that never jumps and `wall` on the clock that people read.
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

    /// The same with a clock for those who must know more exactly.
    #[must_use]
    pub fn with_clock(self, clock: fn() -> Instant) -> Time {
        Time {
            clock: Some(clock),
            ..self
        }
    }

    /// Goes on to another moment. The date text is formatted only if the second is another one.
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

    /// For intervals and deadlines.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The same, as connections keep it.
    pub fn moment(&self) -> Moment {
        self.moment
    }

    /// The moment as the clock has it just now, where there is one. It costs reading the clock.
    pub fn exact_moment(&self) -> Moment {
        let now = self.clock.map_or(self.now, |clock| clock());
        Moment::default().after(now.saturating_duration_since(self.began))
    }

    /// For people.
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

/// The date of a second since the epoch, which must not be after the year 9999.
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
    fn a_second_in_both_forms() {
        let time = at(784_111_777);
        assert_eq!(time.date(), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(&time.log_date(), b"06/Nov/1994:08:49:37 +0000");
    }

    #[test]
    fn clocks_that_are_far_off_are_said_as_well_as_the_form_allows() {
        let now = Instant::now();
        let before = Time::new(now, UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(before.date(), b"Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(at(LAST_SECOND + 9).date(), b"Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
