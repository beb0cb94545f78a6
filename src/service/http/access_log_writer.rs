//! Writes the access log's lines: each when its response has ended.

use crate::config::AccessLog;
use crate::observe::access_log::AccessRecord;
use crate::session::{Moment, Time, Worker};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// How many unused records are kept for later responses, and the largest text buffer that one
/// keeps, in bytes.
const SPARE_RECORDS: usize = 64;
const SPARE_TEXT: usize = 1024;

/// Writes lines, and keeps the data of lines whose responses are not sent yet.
pub(super) struct AccessLogWriter {
    format: AccessLog,
    /// Unused records: with one of these, keeping a record allocates nothing.
    spare: Mutex<SpareRecords>,
}

#[allow(
    clippy::vec_box,
    reason = "a session is small because it holds a box of them"
)]
type SpareRecords = Vec<Box<PendingRecord>>;

/// The data of a line whose response is not sent yet.
pub(super) struct PendingRecord {
    /// The request line, then the user's name, the Referer and User-Agent fields.
    text: Vec<u8>,
    line: usize,
    user: Option<usize>,
    referer: Option<usize>,
    has_user_agent: bool,
    date: [u8; 26],
    wall: SystemTime,
    status: u16,
    bytes: u64,
    since: Moment,
}

impl AccessLogWriter {
    pub fn new(format: AccessLog) -> AccessLogWriter {
        AccessLogWriter {
            format,
            spare: Mutex::default(),
        }
    }

    pub fn is_off(&self) -> bool {
        self.format == AccessLog::Off
    }

    /// Writes the line of a response that has just ended.
    pub fn write(&self, record: &AccessRecord<'_>, since: Moment, worker: &mut Worker) {
        let taken = self.moment(&worker.time).since(since);
        let encryption = worker.encryption.as_deref();
        record.write(self.format, taken, encryption, &mut worker.log);
    }

    /// Keeps a record until its response ends.
    pub fn keep(&self, record: &AccessRecord<'_>, since: Moment) -> Box<PendingRecord> {
        let mut spare = self.spare().pop();
        let text = spare.as_mut().map(|spare| std::mem::take(&mut spare.text));
        let mut text = text.unwrap_or_default();
        text.extend_from_slice(record.line);
        text.extend_from_slice(record.user.unwrap_or_default());
        text.extend_from_slice(record.referer.unwrap_or_default());
        text.extend_from_slice(record.user_agent.unwrap_or_default());
        let kept = PendingRecord {
            text,
            line: record.line.len(),
            user: record.user.map(<[u8]>::len),
            referer: record.referer.map(<[u8]>::len),
            has_user_agent: record.user_agent.is_some(),
            date: record.date,
            wall: record.wall,
            status: record.status,
            bytes: record.bytes,
            since,
        };
        match spare {
            Some(mut spare) => {
                *spare = kept;
                spare
            }
            None => Box::new(kept),
        }
    }

    /// Writes the line of a response that has just ended. `unsent` is the number of bytes of it
    /// that were not sent.
    pub fn write_kept(
        &self,
        mut kept: Box<PendingRecord>,
        peer: Option<IpAddr>,
        unsent: u64,
        worker: &mut Worker,
    ) {
        self.write(&kept.record(peer, unsent), kept.since, worker);
        kept.text.clear();
        kept.text.shrink_to(SPARE_TEXT);
        let mut spare = self.spare();
        if spare.len() < SPARE_RECORDS {
            spare.push(kept);
        }
    }

    /// The end of a response. Reads the clock only if the line contains a duration.
    fn moment(&self, time: &Time) -> Moment {
        match self.format.has_duration() {
            true => time.exact_moment(),
            false => time.moment(),
        }
    }

    fn spare(&self) -> MutexGuard<'_, SpareRecords> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PendingRecord {
    fn record(&self, peer: Option<IpAddr>, unsent: u64) -> AccessRecord<'_> {
        let (line, fields) = self.text.split_at(self.line);
        let (user, fields) = fields.split_at(self.user.unwrap_or(0));
        let (referer, user_agent) = fields.split_at(self.referer.unwrap_or(0));
        AccessRecord {
            peer,
            date: self.date,
            wall: self.wall,
            user: self.user.and(Some(user)),
            line,
            status: self.status,
            referer: self.referer.and(Some(referer)),
            user_agent: self.has_user_agent.then_some(user_agent),
            bytes: self.bytes - unsent,
            aborted: unsent > 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_pending_record_has_all_fields() {
        let lines = AccessLogWriter::new(AccessLog::Combined);
        let fields = [None, Some(&b""[..]), Some(&b"field"[..])];
        for (referer, user_agent) in fields.into_iter().flat_map(|a| fields.map(|b| (a, b))) {
            let record = AccessRecord {
                peer: Some([127, 0, 0, 1].into()),
                date: *b"06/Nov/1994:08:49:37 +0000",
                wall: SystemTime::UNIX_EPOCH,
                user: referer,
                line: b"GET /a HTTP/1.1",
                status: 206,
                referer,
                user_agent,
                bytes: 17,
                aborted: false,
            };
            let kept = lines.keep(&record, Moment::default());
            let text = |record: &AccessRecord<'_>| format!("{record:?}");
            assert_eq!(text(&kept.record(record.peer, 0)), text(&record));
            let part = AccessRecord {
                bytes: 12,
                aborted: true,
                ..record
            };
            assert_eq!(text(&kept.record(record.peer, 5)), text(&part));
            let mut worker = Worker::new(Time::new(Instant::now(), record.wall));
            lines.write_kept(kept, record.peer, 5, &mut worker);
            assert!(worker.log.ends_with(b"\n"));
            assert_eq!(lines.spare().len(), 1, "it is reused");
        }
    }
}
