//! The minimal loop over tokio, with a buffer for each message in place of one for each client.

use std::io;
use std::mem::size_of_val;
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
            let (client, _) = listener.accept().await?;
            let task = echo(client);
            println!("a task of {} bytes", size_of_val(&task));
            tokio::spawn(task);
        }
    })
}

async fn echo(client: TcpStream) -> io::Result<()> {
    loop {
        let receive = || receive(&client);
        let message = client.async_io(Interest::READABLE, receive).await?;
        let mut rest = &message[..];
        if rest.is_empty() {
            return Ok(());
        }
        while !rest.is_empty() {
            let send = || client.try_write(rest);
            rest = &rest[client.async_io(Interest::WRITABLE, send).await?..];
        }
    }
}

/// This buffer is on the stack of the thread, and gone before the next await.
fn receive(client: &TcpStream) -> io::Result<Vec<u8>> {
    let mut buffer = [0; 4096];
    let count = client.try_read(&mut buffer)?;
    Ok(buffer[..count].to_vec())
}
