//! A thread for each client.

use super::client;
use std::{io, net::TcpListener, thread};

pub fn serve(listener: &TcpListener) -> io::Result<()> {
    loop {
        let (client, _) = listener.accept()?;
        thread::Builder::new().spawn(move || client::serve(client))?;
    }
}
