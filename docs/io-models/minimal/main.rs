//! The smallest echo server under each I/O model. The chapters of the course quote these files.
//!
//!     cargo run --example minimal MODEL [ADDRESS]          # 127.0.0.1:7007 by default
//!     nc 127.0.0.1 7007

mod blocking;
mod client;
mod epoll;
mod forking;
mod io_uring;
mod poll;
mod pool;
mod select;
mod threaded;
#[cfg(feature = "tokio")]
mod tokio;

use rustix::event::epoll::EventFlags;
use std::{env, error::Error, io, net::TcpListener};

fn main() -> Result<(), Box<dyn Error>> {
    let model = env::args().nth(1).ok_or("which model?")?;
    let address = env::args().nth(2).unwrap_or("127.0.0.1:7007".into());
    let serve: fn(&TcpListener) -> io::Result<()> = match model.as_str() {
        "blocking" => blocking::serve,
        "forking" => forking::serve,
        "threaded" => threaded::serve,
        "pool" => pool::serve,
        "select" => select::serve,
        "poll" => poll::serve,
        "epoll" => |listener| epoll::serve(listener, EventFlags::IN),
        "io-uring" => io_uring::serve,
        #[cfg(feature = "tokio")]
        "tokio" => tokio::serve,
        // Forgets input: see the chapter on epoll.
        "edge" => |listener| epoll::serve(listener, EventFlags::IN | EventFlags::ET),
        other => return Err(format!("there is no model {other}").into()),
    };
    let listener = TcpListener::bind(address)?;
    println!("listening at {}", listener.local_addr()?);
    Ok(serve(&listener)?)
}
