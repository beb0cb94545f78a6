//! What the server does for a client, once by blocking calls to the end, once when the client has
//! sent something.

use std::io::{self, Read, Write};
use std::net::TcpStream;

/// Sends back what the client sends, until it closes its side.
pub fn serve(mut client: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let count = client.read(&mut buffer)?; // Waits until the client sends.
        if count == 0 {
            return Ok(());
        }
        client.write_all(&buffer[..count])?; // Waits until the client reads.
    }
}

/// Sends back what one read brings. Returns false when the client is gone.
pub fn answer(mut client: &TcpStream) -> bool {
    let mut buffer = [0; 4096];
    match client.read(&mut buffer) {
        Ok(0) | Err(_) => false,
        Ok(count) => client.write_all(&buffer[..count]).is_ok(),
    }
}
