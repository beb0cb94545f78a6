//! Characters without end (RFC 864), as fast as the client reads and no faster.

use evserve::{Context, Service, Session, Sharing};
use std::net::IpAddr;

const LINE: &[u8] =
    b"!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefgh\r\n";

pub struct Chargen;

impl Service for Chargen {
    fn session(&self, _: Option<IpAddr>) -> Box<dyn Session> {
        Box::new(Chargen)
    }

    fn speaks_first(&self) -> bool {
        true
    }

    fn sharing(&self) -> Sharing {
        Sharing::Nothing
    }

    fn name(&self) -> &str {
        "chargen"
    }
}

impl Session for Chargen {
    fn open(&mut self, cx: &mut Context<'_>) {
        while cx.room() >= LINE.len() {
            cx.put(LINE);
        }
    }

    /// Some output has gone: there is room again.
    fn sent(&mut self, cx: &mut Context<'_>) {
        self.open(cx);
    }

    fn receive(&mut self, input: &[u8], _: &mut Context<'_>) -> usize {
        input.len()
    }
}
