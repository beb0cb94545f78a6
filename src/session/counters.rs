//! Counters of what one thread or process did, kept without locks.

/// One row for each counter: what it counts, and its name.
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

            /// The name of each counter and what it counts, in the order of [`Counters::to_array`].
            pub const ROWS: [(&'static str, &'static str); Counters::COUNT] =
                [$((stringify!($name), concat!($($doc),+))),*];

            /// All counters as an array.
            pub fn to_array(self) -> [u64; Counters::COUNT] {
                [$(self.$name),*]
            }

            /// The reverse of [`Counters::to_array`].
            pub fn from_array(numbers: [u64; Counters::COUNT]) -> Counters {
                let [$($name),*] = numbers;
                Counters { $($name),* }
            }
        }
    };
}

counters! {
    /// Connections accepted, refused ones included.
    accepted_connections
    /// Connections that were closed at once or answered with 503, because of --max-per-ip or
    /// --trusted-proxy.
    refused_connections
    /// Handshakes that ended in an encrypted connection.
    handshakes
    /// Those of them that resumed an earlier session, without a certificate and a signature.
    resumed_handshakes
    /// Handshakes begun by clients that have left or taken too long.
    abandoned_handshakes
    /// Connections in plain HTTP to an address that is encrypted.
    plain_http_clients
    /// Clients with which no protocol version, cipher or name of a protocol could be agreed on.
    incompatible_clients
    /// Clients that ended an encrypted connection with an alert, for example because they do not
    /// trust the certificate.
    refusing_clients
    /// Encrypted connections that ended because of a malformed or forged record.
    malformed_records
    /// Encrypted connections whose client ended without a close_notify: they may have been cut off.
    truncated_connections
    /// Requests answered, including lines sent to a chat.
    requests
    /// Bytes received from clients.
    received_bytes
    /// Bytes sent to clients.
    sent_bytes
    /// Calls that wait for events, one in each turn of a loop.
    wait_calls
    /// Events that loops received from the kernel.
    events
    /// Events after which there was nothing to do.
    spurious_events
    /// Events that reported waiting connections at a listener.
    listener_events
    /// Those of them after which no connection was waiting: another loop had accepted it.
    vain_listener_events
    /// Operations and watches handed over to io_uring(7) in its submission queue.
    operations
    /// Results that io_uring(7) returned in its completion queue.
    completions
    /// Calls that change which events the kernel reports, such as epoll_ctl(2).
    interest_change_calls
    /// Calls to accept(2).
    accept_calls
    /// Calls to recv(2).
    receive_calls
    /// Receives that io_uring(7) would have gone on with, and that were cancelled because the session
    /// took too little.
    paused_receives
    /// Calls to send(2) and sendfile(2).
    send_calls
    /// Calls to accept, receive or send that would have blocked.
    would_blocks
    /// Sends for which io_uring(7) was asked not to copy the bytes.
    zero_copy_sends
    /// Those of them whose bytes the kernel has copied all the same.
    zero_copies_in_vain
    /// Parts of files that were read into the page cache so that a loop need not wait for the disk.
    readaheads
    /// Other calls: on sockets, shutdown(2), close(2), setsockopt(2); io_uring_enter(2) between waits
    /// because a queue was full.
    other_calls
    /// Datagrams received.
    received_datagrams
    /// Replies to datagrams sent.
    sent_replies
    /// Datagrams that got no reply on purpose, for example because their sender's address may be
    /// forged.
    refused_datagrams
    /// Replies to datagrams that the kernel did not take: no room in the send buffer, or no way to
    /// the receiver.
    unsent_replies
    /// Datagrams that the kernel dropped because a receive buffer was full.
    dropped_datagrams
}

impl Counters {
    /// Adds the counters of another thread or process.
    pub fn add(&mut self, other: &Counters) {
        let (mut sum, more) = (self.to_array(), other.to_array());
        sum.iter_mut()
            .zip(more)
            .for_each(|(sum, more)| *sum += more);
        *self = Counters::from_array(sum);
    }

    /// System calls that wait or act on sockets. Calls on files are not counted.
    pub fn system_calls(&self) -> u64 {
        self.wait_calls
            + self.interest_change_calls
            + self.accept_calls
            + self.receive_calls
            + self.send_calls
            + self.other_calls
    }

    /// Calls that accepted a connection or moved bytes.
    pub fn transfers(&self) -> u64 {
        self.accept_calls + self.receive_calls + self.send_calls - self.would_blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counter_is_added_to_its_own() {
        let numbers = std::array::from_fn(|index| index as u64 + 1);
        let mut sum = Counters::from_array(numbers);
        sum.add(&Counters::from_array(numbers));
        assert_eq!(sum.to_array(), numbers.map(|number| 2 * number));
        assert_eq!(
            (sum.accepted_connections, sum.dropped_datagrams),
            (2, 2 * Counters::COUNT as u64)
        );
    }
}
