//! What may wait for a file system that another process or machine answers for: the loop has it done by threads
//! ([`offload`]), which wake it.

use super::EventLoop;
use crate::model::connections::SlotFlags;
use crate::model::{catch_panic, load, send};
use crate::offload;
use crate::poller::{Poller, ReadySet};
use crate::session::{Action, BUFFER_SIZE, Piece};
use crate::sys::{self, Errno};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How much of a file one call sends, in bytes.
const SENDFILE_CHUNK: usize = 256 * 1024;

/// What became of a call that sends or loads, once it is over. Nobody needs the call if the loop has dropped its side.
type Receipt = Arc<Mutex<Option<Result<Done, Errno>>>>;

/// Calls that are under way, by the key of their connection.
pub(super) type Receipts = HashMap<usize, Receipt>;

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
        let slot = &mut self.connections[key];
        let Some(job) = catch_panic(|| slot.connection.take_job()).flatten() else {
            return;
        };
        let waker = self.sources.wake_queue.waker(key);
        let (mount, work) = (job.mount, job.work);
        let work = move || {
            catch_panic(work);
            waker.wake();
        };
        if !offload::run(mount, Box::new(work)) {
            catch_panic(|| slot.connection.expired(&mut self.worker));
            self.connections.enqueue(key);
        }
    }

    /// Has the next stretch of a connection's file sent or loaded. The thread has a descriptor of its own for the socket: the
    /// connection may end before the call does.
    pub(super) fn send_remote(&mut self, key: usize) {
        let slot = &mut self.connections[key];
        let Piece::File {
            file,
            offset,
            count,
        } = slot.connection.front()
        else {
            return;
        };
        let (file, waker) = (file.clone(), self.sources.wake_queue.waker(key));
        let receipt = Receipt::default();
        let of_call = receipt.clone();
        let mount = file.mount().unwrap_or_default();
        let loads = slot.connection.next() == Action::Load;
        let begun = slot.io.socket.try_clone().is_ok_and(|socket| {
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
                        false => send(&socket, &piece, SENDFILE_CHUNK).map(Done::Sent),
                    };
                    *lock(&of_call) = Some(result);
                }
                waker.wake();
            };
            offload::run(mount, Box::new(work))
        });
        if begun {
            slot.flags.insert(SlotFlags::OFFLOADED);
            self.receipts.insert(key, receipt);
            if !loads {
                // An event that comes from now on may be newer than what the call finds out.
                slot.io.ready = slot.io.ready.without(ReadySet::WRITABLE);
                self.worker.counters.send_calls += 1;
            }
        } else {
            slot.connection.abort();
            self.connections.enqueue(key);
        }
    }

    /// Lets a connection go on whose call has ended.
    pub(super) fn take_receipt(&mut self, key: usize) {
        let receipt = self.receipts.get(&key);
        let Some(result) = receipt.and_then(|receipt| lock(receipt).take()) else {
            return;
        };
        self.receipts.remove(&key);
        let slot = &mut self.connections[key];
        slot.flags.remove(SlotFlags::OFFLOADED);
        match result {
            Ok(Done::Loaded(bytes)) => {
                catch_panic(|| slot.connection.loaded(&bytes, &mut self.worker));
            }
            Ok(Done::Sent(count)) => {
                slot.io.ready |= ReadySet::WRITABLE;
                self.worker.counters.sent_bytes += count as u64;
                catch_panic(|| slot.connection.sent(count, &mut self.worker));
            }
            Err(Errno::AGAIN) => self.worker.counters.would_blocks += 1,
            Err(Errno::INTR) => slot.io.ready |= ReadySet::WRITABLE,
            Err(sys::SENDFILE_REFUSED) => {
                slot.io.ready |= ReadySet::WRITABLE;
                catch_panic(|| slot.connection.send_refused(&mut self.worker));
            }
            Err(_) => slot.connection.abort(),
        }
        self.connections.enqueue(key);
    }

    /// A connection closes. Its peer must hear of that even if a call still has the socket.
    pub(super) fn drop_receipt(&mut self, key: usize) {
        if self.receipts.remove(&key).is_some() {
            // It may be closed already, by the peer.
            let _ = sys::shutdown_both(&self.connections[key].io.socket);
        }
    }
}

fn lock(receipt: &Receipt) -> std::sync::MutexGuard<'_, Option<Result<Done, Errno>>> {
    receipt.lock().unwrap_or_else(PoisonError::into_inner)
}
