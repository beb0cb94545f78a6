//! Puts a response's content into the output: as a copy behind the head, or as a body.

use super::remaining_body::RemainingBody;
use super::response::{Content, Response};
use crate::session::{Body, BodySource, Context};

/// The longest content that is copied behind its head, in bytes, so that further responses can
/// follow in the same send. Longer content is sent from where it is.
const MAX_COPIED: u64 = 8 * 1024;

impl Response {
    /// Puts out content that fits as a copy. Else returns the body to put out now, and what follows
    /// it.
    pub(super) fn put_content(
        &self,
        content: Content,
        cx: &mut Context<'_>,
    ) -> (Option<Body>, Option<Box<RemainingBody>>) {
        if self.length == 0 {
            return (None, None);
        }
        match (content, &self.file) {
            (Content::WholeFile, Some(file)) => {
                (put_range(&file.content, 0, self.length, cx), None)
            }
            (Content::Range(range), Some(file)) => {
                (put_range(&file.content, range.first, self.length, cx), None)
            }
            (Content::Source(source), _) => (put_range(&source, 0, self.length, cx), None),
            (Content::StatusText, _) => {
                cx.put(self.status.text().as_bytes());
                (None, None)
            }
            (Content::Bytes(page), _) => (Some(Body::bytes(page)), None),
            (Content::Generated(mut pieces), _) => {
                let first = Body::bytes(pieces.next(&mut cx.worker.work));
                let is_all = pieces.left() == 0;
                let rest = (!is_all).then(|| Box::new(RemainingBody::Generated(pieces)));
                (Some(first), rest)
            }
            (Content::Multipart(mut parts), _) => (
                parts.put_next(cx),
                Some(Box::new(RemainingBody::Multipart(parts))),
            ),
            _ => (None, None),
        }
    }
}

/// Copies a range into the output if it is in memory, short, and fits. Else returns it as a body.
fn put_range(source: &BodySource, offset: u64, length: u64, cx: &mut Context<'_>) -> Option<Body> {
    match source {
        BodySource::Bytes(all) if length <= MAX_COPIED && length <= cx.room() as u64 => {
            cx.put(&all[offset as usize..(offset + length) as usize]);
            None
        }
        _ => Some(Body::new(source.clone(), offset, length)),
    }
}
