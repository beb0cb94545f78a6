//! What a loop waits for besides its connections, and the poller's keys for all of them.

use super::EventLoop;
use super::driver::Driver;
use crate::model::wake_queue::WakeQueue;
use crate::model::{DatagramEndpoint, HangupSignals, Signals, StreamEndpoint};
use crate::poller::{Poller, ReadySet};
use crate::recording::{Event, Kind, Source};
use crate::service::Service;
use crate::trace;
use crate::uring::Operation;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

/// A source of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventSource {
    /// SIGINT and SIGTERM.
    Signals,
    /// The wake queue.
    Wakes,
    /// SIGHUP.
    Hangups,
    /// A listener, by index.
    Listener(usize),
    /// A service's notifier of changed files, by index.
    FileChanges(usize),
    /// A datagram socket, by index.
    Datagrams(usize),
    /// A connection, by its key in [`Connections`](crate::model::connections::Connections).
    Connection(usize),
}

/// The key of the first listener. Smaller keys are fixed.
const FIRST_LISTENER: usize = 3;

/// The first key of each kind of source. Keys are dense, since pollers keep tables of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    file_changes: usize,
    datagrams: usize,
    connections: usize,
}

impl Keys {
    fn new(listeners: usize, services: usize, datagrams: usize) -> Keys {
        let file_changes = FIRST_LISTENER + listeners;
        Keys {
            file_changes,
            datagrams: file_changes + services,
            connections: file_changes + services + datagrams,
        }
    }

    /// The key of a source.
    pub(super) fn key(self, source: EventSource) -> usize {
        match source {
            EventSource::Signals => 0,
            EventSource::Wakes => 1,
            EventSource::Hangups => 2,
            EventSource::Listener(index) => FIRST_LISTENER + index,
            EventSource::FileChanges(index) => self.file_changes + index,
            EventSource::Datagrams(index) => self.datagrams + index,
            EventSource::Connection(key) => self.connections + key,
        }
    }

    /// The source with this key.
    pub(super) fn source(self, key: usize) -> EventSource {
        match key {
            _ if key >= self.connections => EventSource::Connection(key - self.connections),
            _ if key >= self.datagrams => EventSource::Datagrams(key - self.datagrams),
            _ if key >= self.file_changes => EventSource::FileChanges(key - self.file_changes),
            0 => EventSource::Signals,
            1 => EventSource::Wakes,
            2 => EventSource::Hangups,
            _ => EventSource::Listener(key - FIRST_LISTENER),
        }
    }
}

/// What a loop waits for besides its sockets.
pub(super) struct Sources {
    pub keys: Keys,
    pub signals: Signals,
    pub hangups: HangupSignals,
    /// Wakes the loop for work that no socket event announces.
    pub wake_queue: Arc<WakeQueue>,
    /// The keys taken from the wake queue. Kept between turns to reuse its memory.
    pub woken: Vec<usize>,
    /// Services whose caches must be told of changed files. Each has a notifier that becomes
    /// readable when a file changes.
    pub services: Vec<Arc<dyn Service>>,
}

impl Sources {
    pub(super) fn new(
        signals: Signals,
        hangups: HangupSignals,
        wake_queue: Arc<WakeQueue>,
        stream_endpoints: &[StreamEndpoint],
        datagram_endpoints: &[DatagramEndpoint],
    ) -> Sources {
        let mut services: Vec<Arc<dyn Service>> = Vec::new();
        for StreamEndpoint { service, .. } in stream_endpoints {
            let is_known = services.iter().any(|known| Arc::ptr_eq(known, service));
            if !is_known && service.notifier().is_some() {
                services.push(service.clone());
            }
        }
        Sources {
            keys: Keys::new(
                stream_endpoints.len(),
                services.len(),
                datagram_endpoints.len(),
            ),
            signals,
            hangups,
            wake_queue,
            woken: Vec::new(),
            services,
        }
    }

    /// Makes the poller watch these sources and the datagram sockets. Listeners and connections are
    /// watched later, when the loop waits for them.
    pub(super) fn watch<P: Poller>(
        &self,
        poller: &mut P,
        datagram_endpoints: &[DatagramEndpoint],
    ) -> io::Result<()> {
        let mut watched = vec![
            (EventSource::Signals, self.signals.as_fd()),
            (EventSource::Hangups, self.hangups.as_fd()),
            (EventSource::Wakes, self.wake_queue.as_fd()),
        ];
        for (index, service) in self.services.iter().enumerate() {
            watched.extend(
                service
                    .notifier()
                    .map(|fd| (EventSource::FileChanges(index), fd)),
            );
        }
        for (index, endpoint) in datagram_endpoints.iter().enumerate() {
            watched.push((EventSource::Datagrams(index), endpoint.socket.as_fd()));
        }
        watched.into_iter().try_for_each(|(source, fd)| {
            poller.change(
                fd,
                self.keys.key(source),
                ReadySet::NONE,
                ReadySet::READABLE,
            )
        })
    }

    /// Tells the services that their cached files may have changed.
    pub(super) fn notify_services(&self) {
        for service in &self.services {
            service.notified();
        }
    }
}

impl<D: Driver> EventLoop<D> {
    /// Tells the trace of the wait that has just ended, and what it has found.
    #[cold]
    #[inline(never)]
    pub(super) fn trace_wait(&self, call: trace::Call) {
        let found = self.found.len() + self.driver.completions().len();
        let name = || D::Poller::CALL.name().into();
        call.returned(&Ok(found), name, |_| self.describe_events());
        for (key, ready) in &self.found {
            trace::record(|| self.found_event(*key, *ready));
        }
        for completion in self.driver.completions() {
            trace::record(|| {
                let key = completion.key;
                let source = match completion.operation {
                    Operation::Accept => EventSource::Listener(key),
                    _ => EventSource::Connection(key),
                };
                let fd = self.descriptor(source);
                let result = completion.result.map(i64::from);
                Event {
                    code: completion.operation.recorded() as u8,
                    value: result.unwrap_or_else(|errno| -i64::from(errno.raw_os_error())),
                    ..Event::new(Kind::Completed, fd)
                }
            });
        }
    }

    fn found_event(&self, key: usize, ready: ReadySet) -> Event {
        let source = self.sources.keys.source(key);
        let code = match source {
            EventSource::Signals => Source::Signals,
            EventSource::Wakes => Source::Wakes,
            EventSource::Hangups => Source::Hangups,
            EventSource::Listener(_) => Source::Listener,
            EventSource::FileChanges(_) => Source::Files,
            EventSource::Datagrams(_) => Source::Datagrams,
            EventSource::Connection(_) => Source::Connection,
        };
        Event {
            code: code as u8,
            detail: ready.bits().into(),
            ..Event::new(Kind::Found, self.descriptor(source))
        }
    }

    /// The descriptor of a listener or a connection; -1 for others.
    fn descriptor(&self, source: EventSource) -> i32 {
        let fd = match source {
            EventSource::Listener(index) => {
                let listener = self.watched_listeners.all.get(index);
                listener.map(|one| one.fd().as_raw_fd())
            }
            EventSource::Connection(key) => {
                let slot = self.connections.get(key);
                slot.map(|slot| slot.io.socket.as_raw_fd())
            }
            _ => None,
        };
        fd.unwrap_or(-1)
    }

    /// Describes the events of the last wait, for the trace.
    pub(super) fn describe_events(&self) -> String {
        let each = self.found.iter();
        let each = each.map(|(key, ready)| format!("{} {ready}", self.describe_source(*key)));
        let completions = self.driver.completions().map(|completion| {
            let source = match completion.operation {
                Operation::Accept => EventSource::Listener(completion.key),
                _ => EventSource::Connection(completion.key),
            };
            let source = self.describe_source(self.sources.keys.key(source));
            format!("{source} {}", self.driver.describe(completion))
        });
        let all: Vec<_> = each.chain(completions).collect();
        match all.len() {
            0 => "0".into(),
            count => format!("{count}: {}", all.join(", ")),
        }
    }

    fn describe_source(&self, key: usize) -> String {
        match self.sources.keys.source(key) {
            EventSource::Signals => "signals".into(),
            EventSource::Wakes => "wake queue".into(),
            EventSource::Hangups => "SIGHUP".into(),
            EventSource::FileChanges(_) => "file changes".into(),
            EventSource::Datagrams(_) => "datagrams".into(),
            source @ EventSource::Listener(_) => {
                format!("listener fd {}", self.descriptor(source))
            }
            source @ EventSource::Connection(_) => match self.descriptor(source) {
                -1 => "a closed connection".into(),
                fd => format!("fd {fd}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_sources_map_one_to_one() {
        for (listeners, services, datagrams) in [(1, 0, 0), (0, 0, 2), (2, 1, 3)] {
            let keys = Keys::new(listeners, services, datagrams);
            let mut sources = vec![
                EventSource::Signals,
                EventSource::Wakes,
                EventSource::Hangups,
            ];
            sources.extend((0..listeners).map(EventSource::Listener));
            sources.extend((0..services).map(EventSource::FileChanges));
            sources.extend((0..datagrams).map(EventSource::Datagrams));
            sources.extend((0..3).map(EventSource::Connection));
            for (key, source) in sources.into_iter().enumerate() {
                assert_eq!(keys.key(source), key);
                assert_eq!(keys.source(key), source);
            }
        }
    }
}
