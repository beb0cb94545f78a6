//! Writes the head of a response.

use super::fields::ConfiguredFields;
use super::response::{Content, Response};
use crate::files::PAGE_POLICY;
use crate::http1::{HEAD_ROOM, ResponseHead, StatusCode, Version};
use crate::session::Context;

/// The most bytes that are put out with a head: a status as text, or the head of a part.
const TEXT_ROOM: usize = 512;

/// The room that a response needs if it has no location and no configured fields.
pub(super) const HEAD_AND_STATUS_TEXT: usize = HEAD_ROOM + TEXT_ROOM;

/// A page is not copied behind its head, which leaves room for its policy.
const _: () = assert!(PAGE_POLICY.len() <= TEXT_ROOM);

/// The interim response to `Expect: 100-continue` (RFC 9110 section 15.2.1).
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Response {
    /// The room, in bytes, that the head needs in addition to [`HEAD_ROOM`].
    pub(super) fn extra_room(&self) -> usize {
        let policy = if self.has_policy {
            PAGE_POLICY.len()
        } else {
            0
        };
        self.location.as_ref().map_or(0, String::len) + self.fields.len() + policy
    }

    /// Writes the head. Check first that there is room.
    pub(super) fn put_head(
        &self,
        version: Option<Version>,
        keeps_alive: bool,
        fields: &ConfiguredFields,
        cx: &mut Context<'_>,
    ) {
        let date = *cx.worker.time.date();
        let connection = match version {
            _ if !keeps_alive => Some("close"),
            Some(Version::Http10) => Some("keep-alive"),
            _ => None,
        };
        let ready = self.file.as_ref().map(|file| {
            let dated = file.validators.is_dated(cx.worker.time.wall());
            match self.content {
                Content::WholeFile => file.lines.all(dated),
                _ => file.lines.validators(dated),
            }
        });
        let head = ResponseHead {
            before_date: &fields.before_date,
            more: ready.unwrap_or_else(|| fields.of(self.status).as_bytes()),
            policy: self.has_policy.then_some(fields.policy),
            fields: &self.fields,
            connection,
            ..ResponseHead::new(self.status, &date)
        };
        let head = match self.content {
            Content::WholeFile => head,
            _ => self.with_fields(head),
        };
        let result = cx.put_with(|to| head.write(to));
        result.expect("the caller checks for room");
    }

    /// Adds the fields that are not written out in advance.
    fn with_fields<'a>(&'a self, head: ResponseHead<'a>) -> ResponseHead<'a> {
        let is_empty = matches!(self.content, Content::Empty);
        let allow = self.status == StatusCode::METHOD_NOT_ALLOWED
            || (is_empty && self.status == StatusCode::OK);
        let coding = self.file.as_ref().and_then(|file| file.coding);
        let is_unknown = matches!(self.content, Content::Omitted | Content::Stream(_));
        let has_length = self.status != StatusCode::NOT_MODIFIED && !is_unknown;
        ResponseHead {
            content_length: has_length.then_some(self.length),
            content_type: self.content_type,
            boundary: match &self.content {
                Content::Multipart(parts) => Some(parts.boundary()),
                _ => None,
            },
            content_encoding: coding.filter(|_| !is_empty).map(|coding| coding.name),
            content_range: match (&self.content, &self.file) {
                (Content::Range(range), Some(file)) => Some((Some(*range), file.length)),
                _ => self.unsatisfied.map(|whole| (None, whole)),
            },
            accept_ranges: self.file.is_some() && !is_empty,
            vary: self.vary,
            location: self.location.as_ref().map(String::as_bytes),
            allow: allow.then_some(self.allow),
            ..head
        }
    }
}
