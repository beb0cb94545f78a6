//! Buffers of one fixed size, lent by a [`Pool`] and returned to it.
//!
//! An idle connection holds none. The pool counts the buffers it has lent, so that a test notices a
//! lost one.

/// The size of every buffer, in bytes. It limits how much one receive call brings, how much input a
/// connection holds, and how much output one send call gathers.
pub const BUFFER_SIZE: usize = 32 * 1024;

/// How many returned buffers a pool keeps (2 MiB); it frees the rest.
const MAX_FREE: usize = 64;

/// The bytes of a block that store where its filled part begins and ends. They are in the block,
/// not in [`Buffer`], to keep idle connections small.
const HEADER: usize = 8;

type Block = Box<[u8; HEADER + BUFFER_SIZE]>;

/// A lent buffer: bytes are appended at its back and consumed from its front. They do not move in
/// memory until they are consumed, or until [`compact`](Buffer::compact).
#[derive(Debug)]
pub struct Buffer(Block);

impl Buffer {
    /// The bytes that were appended and not consumed yet.
    #[inline]
    pub fn filled(&self) -> &[u8] {
        &self.0[HEADER + self.start()..HEADER + self.end()]
    }

    /// True if there are no such bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.start() == self.end()
    }

    /// How many bytes can be appended without [compacting](Buffer::compact).
    #[inline]
    pub fn room(&self) -> usize {
        BUFFER_SIZE - self.end()
    }

    /// Appends as much as there is room for. Returns how many bytes that was.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let end = self.end();
        let taken = bytes.len().min(BUFFER_SIZE - end);
        self.0[HEADER + end..HEADER + end + taken].copy_from_slice(&bytes[..taken]);
        self.set_end(end + taken);
        taken
    }

    /// Appends what `write` writes into the free part.
    pub fn append_with<T>(&mut self, write: impl FnOnce(&mut &mut [u8]) -> T) -> T {
        let end = self.end();
        let mut free = &mut self.0[HEADER + end..];
        let result = write(&mut free);
        let left = free.len();
        self.set_end(BUFFER_SIZE - left);
        result
    }

    /// Drops the first `count` bytes.
    #[inline]
    pub fn consume(&mut self, count: usize) {
        let start = self.start();
        assert!(
            count <= self.end() - start,
            "consumed more bytes than there were"
        );
        self.set_start(start + count);
    }

    /// Moves the filled part to the front, so that all free room is behind it.
    pub fn compact(&mut self) {
        let (start, end) = (self.start(), self.end());
        if start > 0 {
            self.0.copy_within(HEADER + start..HEADER + end, HEADER);
            self.set_start(0);
            self.set_end(end - start);
        }
    }

    #[inline]
    fn start(&self) -> usize {
        let [a, b, c, d, ..] = *self.0;
        u32::from_ne_bytes([a, b, c, d]) as usize
    }

    #[inline]
    fn end(&self) -> usize {
        let [_, _, _, _, a, b, c, d, ..] = *self.0;
        u32::from_ne_bytes([a, b, c, d]) as usize
    }

    #[inline]
    fn set_start(&mut self, start: usize) {
        self.0[..4].copy_from_slice(&(start as u32).to_ne_bytes());
    }

    #[inline]
    fn set_end(&mut self, end: usize) {
        self.0[4..HEADER].copy_from_slice(&(end as u32).to_ne_bytes());
    }
}

/// Lends buffers to one thread's connections. A connection may move to another thread: then that
/// one's pool takes its buffers back.
#[derive(Default)]
pub struct Pool {
    free: Vec<Block>,
    lent: usize,
}

impl Pool {
    /// An empty pool. It allocates buffers when they are needed.
    pub fn new() -> Pool {
        Pool::default()
    }

    /// Lends an empty buffer.
    pub fn lend(&mut self) -> Buffer {
        self.lent = self.lent.wrapping_add(1);
        let block = self.free.pop().unwrap_or_else(|| {
            let zeroed = vec![0; HEADER + BUFFER_SIZE].into_boxed_slice();
            zeroed.try_into().expect("it has that length")
        });
        let mut buffer = Buffer(block);
        buffer.set_start(0);
        buffer.set_end(0);
        buffer
    }

    /// Takes a buffer back. No operation may still read from it: with debug assertions the content
    /// is overwritten, so that a test notices such a read.
    pub fn take_back(&mut self, mut buffer: Buffer) {
        if cfg!(debug_assertions) {
            buffer.0.fill(0xa5);
        }
        self.lent = self.lent.wrapping_sub(1);
        if self.free.len() < MAX_FREE {
            self.free.push(buffer.0);
        }
    }

    /// How many buffers are lent, if no connection has moved between threads.
    pub fn lent(&self) -> usize {
        self.lent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_consumed_in_the_order_they_were_appended() {
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
