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
type PendingCall = Arc<Mutex<Option<Result<CallResult, Errno>>>>;

/// Calls that are under way, by the key of their connection.
pub(super) type PendingCalls = HashMap<usize, PendingCall>;

/// What a call has done.
pub(super) enum CallResult {
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
        let call = PendingCall::default();
        let result_of = call.clone();
        let mount = file.mount().unwrap_or_default();
        let loads = slot.connection.next() == Action::Load;
        let begun = slot.io.socket.try_clone().is_ok_and(|socket| {
            let work = move || {
                if Arc::strong_count(&result_of) > 1 {
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
                                CallResult::Loaded(bytes)
                            })
                        }
                        false => send(&socket, &piece, SENDFILE_CHUNK).map(CallResult::Sent),
                    };
                    *lock(&result_of) = Some(result);
                }
                waker.wake();
            };
            offload::run(mount, Box::new(work))
        });
        if begun {
            slot.flags.insert(SlotFlags::OFFLOADED);
            self.pending_calls.insert(key, call);
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
    pub(super) fn finish_call(&mut self, key: usize) {
        let call = self.pending_calls.get(&key);
        let Some(result) = call.and_then(|call| lock(call).take()) else {
            return;
        };
        self.pending_calls.remove(&key);
        let slot = &mut self.connections[key];
        slot.flags.remove(SlotFlags::OFFLOADED);
        match result {
            Ok(CallResult::Loaded(bytes)) => {
                catch_panic(|| slot.connection.loaded(&bytes, &mut self.worker));
            }
            Ok(CallResult::Sent(count)) => {
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
    pub(super) fn abandon_call(&mut self, key: usize) {
        if self.pending_calls.remove(&key).is_some() {
            // It may be closed already, by the peer.
            let _ = sys::shutdown_both(&self.connections[key].io.socket);
        }
    }
}

fn lock(call: &PendingCall) -> std::sync::MutexGuard<'_, Option<Result<CallResult, Errno>>> {
    call.lock().unwrap_or_else(PoisonError::into_inner)
}
