//! What may wait for a file system that another process or machine answers for: the loop has it done by threads
//! ([`offload`]), which wake it.

use super::{EventLoop, enqueue};
use crate::model::{contain, load, send};
use crate::offload;
use crate::poller::{Poller, Ready};
use crate::session::{Action, BUFFER_SIZE, Piece};
use crate::sys::{self, Errno};
use std::sync::{Arc, Mutex, PoisonError};

/// How much of a file one call sends, in bytes.
const SHARE: usize = 256 * 1024;

/// What became of a call that sends or loads, once it is over. Nobody needs the call if the loop has dropped its side.
pub(super) type Receipt = Arc<Mutex<Option<Result<Done, Errno>>>>;

/// What a call has done.
pub(super) enum Done {
    /// So many bytes were sent.
    Sent(usize),
    /// These bytes were loaded.
    Loaded(Vec<u8>),
}

impl<P: Poller> EventLoop<P> {
    /// Has a connection's job done. Where too much waits already, the connection is told at once that it took too long.
    pub(super) fn run_job(&mut self, key: usize) {
        let entry = &mut self.entries[key];
        let Some(job) = contain(|| entry.connection.take_job()).flatten() else {
            return;
        };
        let waker = self.wake_queue.waker(key);
        let (mount, work) = (job.mount, job.work);
        let work = move || {
            contain(work);
            waker.wake();
        };
        if !offload::run(mount, Box::new(work)) {
            contain(|| entry.connection.expired(&mut self.worker));
            enqueue(&mut self.queue, key, entry);
        }
    }

    /// Has the next stretch of a connection's file sent or loaded. The thread has a descriptor of its own for the socket: the
    /// connection may end before the call does.
    pub(super) fn send_remote(&mut self, key: usize) {
        let entry = &mut self.entries[key];
        let Piece::File {
            file,
            offset,
            count,
        } = entry.connection.front()
        else {
            return;
        };
        let (file, waker) = (file.clone(), self.wake_queue.waker(key));
        let receipt = Receipt::default();
        let of_call = receipt.clone();
        let mount = file.mount().unwrap_or_default();
        let loads = entry.connection.next() == Action::Load;
        let begun = entry.socket.try_clone().is_ok_and(|socket| {
            let work = move || {
                if Arc::strong_count(&of_call) > 1 {
                    let piece = Piece::File {
                        file: &file,
                        offset,
                        count,
                    };
                    let result = match loads {
                        true => {
                            let mut bytes = vec![0; BUFFER_SIZE];
                            load(&piece, &mut bytes).map(|count| {
                                bytes.truncate(count);
                                Done::Loaded(bytes)
                            })
                        }
                        false => send(&socket, &piece, SHARE).map(Done::Sent),
                    };
                    *lock(&of_call) = Some(result);
                }
                waker.wake();
            };
            offload::run(mount, Box::new(work))
        });
        if begun {
            entry.fetching = true;
            self.receipts.insert(key, receipt);
            if !loads {
                // An event that comes from now on may be newer than what the call finds out.
                entry.ready = entry.ready.without(Ready::WRITABLE);
                self.worker.counters.sends += 1;
            }
        } else {
            entry.connection.abort();
            enqueue(&mut self.queue, key, entry);
        }
    }

    /// Lets a connection go on whose call has ended.
    pub(super) fn take_receipt(&mut self, key: usize) {
        let receipt = self.receipts.get(&key);
        let Some(result) = receipt.and_then(|receipt| lock(receipt).take()) else {
            return;
        };
        self.receipts.remove(&key);
        let entry = &mut self.entries[key];
        entry.fetching = false;
        match result {
            Ok(Done::Loaded(bytes)) => {
                contain(|| entry.connection.loaded(&bytes, &mut self.worker));
            }
            Ok(Done::Sent(count)) => {
                entry.ready |= Ready::WRITABLE;
                self.worker.counters.sent += count as u64;
                contain(|| entry.connection.sent(count, &mut self.worker));
            }
            Err(Errno::AGAIN) => self.worker.counters.would_blocks += 1,
            Err(Errno::INTR) => entry.ready |= Ready::WRITABLE,
            Err(sys::SENDFILE_REFUSED) => {
                entry.ready |= Ready::WRITABLE;
                contain(|| entry.connection.send_refused(&mut self.worker));
            }
            Err(_) => entry.connection.abort(),
        }
        enqueue(&mut self.queue, key, entry);
    }

    /// A connection closes. Its peer must hear of that even if a call still has the socket.
    pub(super) fn drop_receipt(&mut self, key: usize) {
        if self.receipts.remove(&key).is_some() {
            // It may be closed already, by the peer.
            let _ = sys::shutdown_both(&self.entries[key].socket);
        }
    }
}

fn lock(receipt: &Receipt) -> std::sync::MutexGuard<'_, Option<Result<Done, Errno>>> {
    receipt.lock().unwrap_or_else(PoisonError::into_inner)
}
