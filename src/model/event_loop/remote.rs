//! Calls to file systems that can hang, because another process or machine answers them. The loop
//! leaves them to threads ([`offload`]), which wake it.

use super::EventLoop;
use super::driver::Driver;
use crate::model::connections::SlotFlags;
use crate::model::{catch_panic, load, send};
use crate::offload;
use crate::poller::ReadySet;
use crate::session::{Action, BUFFER_SIZE, Piece};
use crate::sys::{self, Errno};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The most bytes of a file that one call sends.
const SENDFILE_CHUNK: usize = 256 * 1024;

/// The result of a call on a thread, once it has ended. If the loop has dropped its reference, the
/// thread need not make the call.
type PendingCall = Arc<Mutex<Option<Result<CallResult, Errno>>>>;

/// The calls under way, by connection.
pub(super) type PendingCalls = HashMap<usize, PendingCall>;

/// What a call has done.
pub(super) enum CallResult {
    /// This many bytes were sent.
    Sent(usize),
    /// These bytes were loaded.
    Loaded(Vec<u8>),
}

impl<D: Driver> EventLoop<D> {
    /// Has a thread run a connection's job. If too much work is waiting, the connection expires at
    /// once.
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

    /// Has a thread send or load the next range of a connection's file. The thread has its own
    /// descriptor of the socket, since the connection may close before the call returns.
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
                // Cleared now, and not when the call returns EAGAIN: an event that comes meanwhile
                // may be newer than that result.
                slot.io.ready = slot.io.ready.without(ReadySet::WRITABLE);
                self.worker.counters.send_calls += 1;
            }
        } else {
            slot.connection.abort();
            self.connections.enqueue(key);
        }
    }

    /// Reports the result of an ended call to its connection.
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

    /// Forgets the call of a connection that closes. Shuts the socket down, so that the peer
    /// notices although the thread still has a descriptor.
    pub(super) fn abandon_call(&mut self, key: usize) {
        if self.pending_calls.remove(&key).is_some() {
            // Fails if the peer has closed it already.
            let _ = sys::shutdown_both(&self.connections[key].io.socket);
        }
    }
}

fn lock(call: &PendingCall) -> std::sync::MutexGuard<'_, Option<Result<CallResult, Errno>>> {
    call.lock().unwrap_or_else(PoisonError::into_inner)
}
