//! What was done, counted without locks by the one thread that did it.

/// Each counter with what it counts: one row each.
macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident)*) => {
        /// What one thread or process did.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $name: u64,)*
        }

        impl Counters {
            /// How many counters there are.
            pub const COUNT: usize = [$(stringify!($name)),*].len();

            /// The name of each and what it counts, in the order of [`Counters::to_array`].
            pub const ROWS: [(&'static str, &'static str); Counters::COUNT] =
                [$((stringify!($name), concat!($($doc),+))),*];

            /// All of them, in one order.
            pub fn to_array(self) -> [u64; Counters::COUNT] {
                [$(self.$name),*]
            }

            /// The same from [`Counters::to_array`]'s numbers.
            pub fn from_array(numbers: [u64; Counters::COUNT]) -> Counters {
                let [$($name),*] = numbers;
                Counters { $($name),* }
            }
        }
    };
}

counters! {
    /// Connections accepted.
    connections
    /// Those of them that were closed at once: whoever made them may have no more, or none.
    turned_away
    /// Requests answered, for protocols that have requests.
    requests
    /// Bytes received from peers.
    received
    /// Bytes sent to peers.
    sent
    /// Calls that waited for events: the turns of a loop.
    waits
    /// Events that those brought.
    events
    /// Events after which nothing could be done.
    spurious
    /// Calls that changed what a poller watches in the kernel.
    changes
    /// Calls to accept(2).
    accepts
    /// Calls to recv(2).
    receives
    /// Calls to send(2) and sendfile(2).
    sends
    /// Those of the last three that would have blocked.
    would_blocks
    /// Stretches of files that a loop had fetched from a disk, so as not to wait for it.
    fetches
    /// Other calls on sockets: shutdown(2), close(2), setsockopt(2).
    others
    /// Datagrams received.
    datagrams
    /// Datagrams answered.
    replies
    /// Datagrams that must not or cannot be answered: see `docs/architecture.md`.
    refused
    /// Replies that the kernel did not take: it had no room for them, or could not reach their receivers.
    unsent
    /// Datagrams that the kernel dropped in front of a receive buffer that was full.
    lost
}

impl Counters {
    /// Adds what another thread or process did.
    pub fn add(&mut self, other: &Counters) {
        let (mut sum, more) = (self.to_array(), other.to_array());
        sum.iter_mut()
            .zip(more)
            .for_each(|(sum, more)| *sum += more);
        *self = Counters::from_array(sum);
    }

    /// System calls made to wait and on sockets. Those on files are not among them.
    pub fn system_calls(&self) -> u64 {
        self.waits + self.changes + self.accepts + self.receives + self.sends + self.others
    }

    /// Sends and receives that moved something.
    pub fn transfers(&self) -> u64 {
        self.accepts + self.receives + self.sends - self.would_blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_counter_by_counter() {
        let numbers = std::array::from_fn(|index| index as u64 + 1);
        let mut sum = Counters::from_array(numbers);
        sum.add(&Counters::from_array(numbers));
        assert_eq!(sum.to_array(), numbers.map(|number| 2 * number));
        assert_eq!((sum.connections, sum.lost), (2, 2 * Counters::COUNT as u64));
    }
}
