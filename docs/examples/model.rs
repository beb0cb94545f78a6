//! A custom model, a thread per connection, written from the documentation of `Action` alone.
//! `cargo run --example model -- --mode chat` runs it; `docs/examples/check-model` checks it.
#![allow(clippy::unit_arg)]

use evserve::model::{Acceptor, ModelRow, WakeQueue, load, send};
use evserve::session::{Action, BUFFER_SIZE, Connection, NewSession};
use evserve::sys::{Errno, SENDFILE_REFUSED, has_unread, receive, shutdown_write};
use std::{io, os::fd::OwnedFd, time::Duration};

/// The row that a program runs.
pub static MODEL: ModelRow =
    ModelRow::of_threads("own", |serving| Acceptor::serve(serving, serve_connection));

fn serve_connection(acceptor: &Acceptor, socket: OwnedFd, start: NewSession) -> io::Result<()> {
    let (queue, mut scratch) = (WakeQueue::new()?, [0; BUFFER_SIZE]);
    let mut worker = acceptor.worker(&queue);
    let mut connection = Connection::open(start, 0, &mut worker);
    loop {
        acceptor.begin_turn(&mut worker);
        let left = worker.left(connection.deadline(&worker));
        let action = connection.next();
        let result = match action {
            Action::Send => send(&socket, &connection.front(), usize::MAX)
                .map(|count| connection.sent(count, &mut worker)),
            Action::Receive => match receive(&socket, &mut scratch[..connection.room()]) {
                Ok(0) => Ok(connection.input_ended(&mut worker)),
                got => got.map(|count| connection.received(&scratch[..count], &mut worker)),
            },
            Action::Load => load(&connection.front(), &mut scratch)
                .map(|count| connection.loaded(&scratch[..count], &mut worker)),
            Action::Proceed => Ok(connection.proceed(&mut worker)),
            Action::Run => {
                (connection.take_job().into_iter()).for_each(|job| (job.work)());
                Ok(connection.woken(&mut worker))
            }
            Action::Wait => Err(Errno::AGAIN),
            Action::ShutdownWrite => shutdown_write(&socket).map(|()| connection.write_shut_down()),
            Action::Close { may_linger: true } if has_unread(&socket) => Ok(connection.linger()),
            Action::Close { .. } => break,
        };
        match result {
            Ok(()) | Err(Errno::INTR) => {}
            Err(SENDFILE_REFUSED) => connection.send_refused(&mut worker),
            Err(Errno::AGAIN) if left == Some(Duration::ZERO) => connection.expired(&mut worker),
            Err(Errno::AGAIN) if !acceptor.wait(&queue, &socket, action, left) => {}
            Err(Errno::AGAIN) => connection.woken(&mut worker),
            Err(_) => connection.abort(),
        }
    }
    connection.close(&mut worker);
    drop(socket);
    connection.release(&mut worker);
    Ok(acceptor.begin_turn(&mut worker))
}

fn main() -> std::process::ExitCode {
    evserve::program::run(Some(&MODEL))
}
