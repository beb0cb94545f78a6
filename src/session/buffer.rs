//! Buffers of one fixed size, lent by a [`Pool`] and given back to it.
//!
//! An idle connection holds none. The pool counts what it has lent, so that a test can tell when one is lost.

/// The size of every buffer, in bytes: what one receive call can bring, what a connection can hold of input that its
/// session has not taken, and how much output is gathered for one send call.
pub const BUFFER_SIZE: usize = 32 * 1024;

/// How many buffers a pool keeps for the next borrower (2 MiB); what comes back beyond that is freed.
const KEPT: usize = 64;

type Bytes = Box<[u8; BUFFER_SIZE]>;

/// A lent buffer: bytes are appended at its back and consumed from its front.
#[derive(Debug)]
pub struct Buffer {
    bytes: Bytes,
    start: u32,
    end: u32,
}

impl Buffer {
    /// The bytes appended and not yet consumed.
    pub fn filled(&self) -> &[u8] {
        &self.bytes[self.start as usize..self.end as usize]
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// How many bytes can be appended without moving any.
    pub fn room(&self) -> usize {
        BUFFER_SIZE - self.end as usize
    }

    /// Appends as much as there is room for and says how much that was.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room());
        let end = self.end as usize;
        self.bytes[end..end + taken].copy_from_slice(&bytes[..taken]);
        self.end += taken as u32;
        taken
    }

    /// Drops the first `count` bytes.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.filled().len(), "consumed more than there was");
        self.start += count as u32;
    }

    /// Moves what is filled to the front, so that all free room is behind it.
    pub fn compact(&mut self) {
        if self.start == 0 {
            return;
        }
        self.bytes
            .copy_within(self.start as usize..self.end as usize, 0);
        self.end -= self.start;
        self.start = 0;
    }
}

/// Lends buffers to one thread's connections.
#[derive(Default)]
pub struct Pool {
    free: Vec<Bytes>,
    lent: usize,
}

impl Pool {
    /// An empty pool; buffers are made when they are first needed.
    pub fn new() -> Pool {
        Pool::default()
    }

    /// An empty buffer.
    pub fn lend(&mut self) -> Buffer {
        self.lent += 1;
        let bytes = self.free.pop().unwrap_or_else(|| {
            let zeroed = vec![0; BUFFER_SIZE].into_boxed_slice();
            zeroed.try_into().expect("it was made with that length")
        });
        Buffer {
            bytes,
            start: 0,
            end: 0,
        }
    }

    /// Takes a buffer back.
    pub fn take_back(&mut self, buffer: Buffer) {
        self.lent -= 1;
        if self.free.len() < KEPT {
            self.free.push(buffer.bytes);
        }
    }

    /// How many buffers are out.
    pub fn lent(&self) -> usize {
        self.lent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_the_order_they_came() {
        let mut pool = Pool::new();
        let mut buffer = pool.lend();
        assert_eq!(buffer.append(b"abcdef"), 6);
        buffer.consume(4);
        buffer.compact();
        assert_eq!(buffer.append(b"gh"), 2);
        assert_eq!(buffer.filled(), b"efgh");
        assert_eq!(buffer.room(), BUFFER_SIZE - 4);
        assert_eq!(
            buffer.append(&[0; BUFFER_SIZE]),
            BUFFER_SIZE - 4,
            "only what fits"
        );
        assert_eq!(buffer.room(), 0);
        pool.take_back(buffer);
        assert_eq!(pool.lent(), 0);
        assert!(pool.lend().is_empty(), "a buffer lent again is empty");
    }
}
