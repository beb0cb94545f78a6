//! A task for each client: it reads like a thread, and one thread runs them all.

use std::io;
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

pub fn serve(listener: &std::net::TcpListener) -> io::Result<()> {
    let listener = listener.try_clone()?;
    listener.set_nonblocking(true)?;
    let runtime = Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (client, _) = listener.accept().await?; // Waits, and lets all tasks run meanwhile.
            tokio::spawn(echo(client));
        }
    })
}

async fn echo(client: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let receive = || client.try_read(&mut buffer);
        let count = client.async_io(Interest::READABLE, receive).await?;
        let mut rest = &buffer[..count];
        if rest.is_empty() {
            return Ok(());
        }
        while !rest.is_empty() {
            let send = || client.try_write(rest);
            rest = &rest[client.async_io(Interest::WRITABLE, send).await?..];
        }
    }
}
