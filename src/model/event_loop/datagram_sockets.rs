//! Datagrams in the loop. Each socket is one more event source; none counts as a connection.

use super::EventLoop;
use super::driver::Driver;
use super::sources::EventSource;
use crate::model::DatagramEndpoint;
use crate::model::responder::{DATAGRAMS_PER_TURN, Responder};
use crate::poller::{Poller, ReadySet};
use std::os::fd::AsFd;

/// The datagram sockets of a loop.
pub(super) struct DatagramSockets {
    slots: Vec<DatagramSlot>,
    responder: Responder,
}

/// A datagram socket.
struct DatagramSlot {
    endpoint: DatagramEndpoint,
    /// A datagram may be waiting.
    ready: bool,
    /// The poller watches it.
    watched: bool,
}

impl DatagramSockets {
    /// Takes sockets that the poller already watches.
    pub(super) fn new(endpoints: Vec<DatagramEndpoint>) -> DatagramSockets {
        let responder = Responder::new(&endpoints);
        let slot = |endpoint| DatagramSlot {
            endpoint,
            ready: false,
            watched: true,
        };
        DatagramSockets {
            slots: endpoints.into_iter().map(slot).collect(),
            responder,
        }
    }

    /// Reports that datagrams may be waiting at a socket.
    pub(super) fn set_ready(&mut self, index: usize) {
        if let Some(slot) = self.slots.get_mut(index) {
            slot.ready = true;
        }
    }

    /// True if datagrams may be waiting at any socket.
    pub(super) fn has_ready(&self) -> bool {
        self.slots.iter().any(|slot| slot.ready)
    }
}

impl<D: Driver> EventLoop<D> {
    /// Answers waiting datagrams, up to [`DATAGRAMS_PER_TURN`] per socket.
    pub(super) fn answer_datagrams(&mut self) {
        for index in 0..self.datagrams.slots.len() {
            let DatagramSockets { slots, responder } = &mut self.datagrams;
            let slot = &mut slots[index];
            if !slot.ready {
                continue;
            }
            match responder.answer(&slot.endpoint, DATAGRAMS_PER_TURN, &mut self.worker) {
                Ok(more) => slot.ready = more,
                Err(error) => {
                    Responder::log_broken(&slot.endpoint, &error);
                    slot.ready = false;
                    self.unwatch_datagrams(index);
                }
            }
        }
    }

    /// Answers the datagrams that are waiting, and closes the sockets.
    pub(super) fn stop_answering(&mut self) {
        for index in 0..self.datagrams.slots.len() {
            let DatagramSockets { slots, responder } = &mut self.datagrams;
            responder.finish(&slots[index].endpoint, &mut self.worker);
            self.unwatch_datagrams(index);
        }
        self.datagrams.slots.clear();
    }

    fn unwatch_datagrams(&mut self, index: usize) {
        let slot = &mut self.datagrams.slots[index];
        if !std::mem::take(&mut slot.watched) {
            return;
        }
        let key = self.sources.keys.key(EventSource::Datagrams(index));
        let fd = slot.endpoint.socket.as_fd();
        let result = self
            .driver
            .poller()
            .change(fd, key, ReadySet::READABLE, ReadySet::NONE);
        if let Err(error) = result {
            log::warn!("cannot stop watching a datagram socket: {error}");
        }
    }
}
