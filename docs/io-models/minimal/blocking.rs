//! One client at a time.

use super::client;
use std::{io, net::TcpListener};

pub fn serve(listener: &TcpListener) -> io::Result<()> {
    loop {
        let (client, _) = listener.accept()?; // Waits for the next client.
        let _ = client::serve(client); // Waits for this one until it leaves.
    }
}
