//! Serves one connection at a time, with blocking calls.
//!
//! The models `blocking`, `forking`, `threaded` and `pool` share this loop. They differ in what
//! runs it, a process or a thread, and in how many run at once.
//!
//! The model `blocking` runs it on one thread per listener. It serves each connection to its end
//! before it accepts the next one. Other clients wait meanwhile, so it closes a connection after
//! the first response. A client that connects and sends nothing, as browsers do in advance, holds
//! up the listener until the deadline. The other models exist to avoid that.

use super::connection_control::ConnectionControl;
use super::runner::Runner;
use super::timed_socket::TimedSocket;
use super::{abort_after_panic, catch_panic, catch_start_panic, ending};
use crate::recording::End;
use crate::session::{Action, Connection, NewSession};
use crate::sys::{self, Errno};
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Serves a connection from its beginning to its end. A panic of its session ends only this
/// connection.
pub fn serve(runner: &mut Runner, socket: &OwnedFd, new: NewSession, control: &ConnectionControl) {
    let mut socket = runner.begin(socket);
    let mut end = End::Refused;
    let open = || Some(Connection::open(new, 0, &mut runner.worker));
    if let Some(mut connection) = catch_start_panic(open) {
        if catch_panic(|| run(&mut connection, &mut socket, control, runner)).is_none() {
            abort_after_panic(&mut connection);
        }
        end = ending(&connection);
        catch_panic(|| connection.close(&mut runner.worker));
        connection.release(&mut runner.worker);
    }
    runner.end(end);
}

/// Performs the connection's actions until it closes.
fn run(
    connection: &mut Connection,
    socket: &mut TimedSocket<'_>,
    control: &ConnectionControl,
    runner: &mut Runner,
) {
    loop {
        let left = runner.begin_step(connection, control);
        let result = step(connection, socket, runner, left);
        control.end_wait();
        match result {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => return,
            Err(Errno::AGAIN) if left.is_zero() => connection.expired(&mut runner.worker),
            // The call's own limit has passed. Before the deadline, the next step waits again.
            Err(Errno::AGAIN) => {}
            // A signal came, or another connection has a message for this one.
            Err(Errno::INTR) => connection.woken(&mut runner.worker),
            Err(sys::SENDFILE_REFUSED) => connection.send_refused(&mut runner.worker),
            // The peer is gone, or a file cannot be read.
            Err(_) => connection.abort(),
        }
    }
}

/// Performs one action. Calls on the socket wait at most `left`; if it is zero, they do not wait
/// and return EAGAIN instead. Reading a file and running a job have no time limit.
fn step(
    connection: &mut Connection,
    socket: &mut TimedSocket<'_>,
    runner: &mut Runner,
    left: Duration,
) -> Result<ControlFlow<()>, Errno> {
    match connection.next() {
        Action::Send => {
            let count = runner.send(socket, connection, left)?;
            connection.sent(count, &mut runner.worker);
        }
        Action::Receive => match runner.receive(socket, connection, left)? {
            0 => connection.input_ended(&mut runner.worker),
            count => connection.received(&runner.buffer[..count], &mut runner.worker),
        },
        Action::Load => {
            let count = runner.load(&connection.front())?;
            connection.loaded(&runner.buffer[..count], &mut runner.worker);
        }
        Action::Proceed if runner.is_gone(socket) => connection.abort(),
        Action::Proceed => connection.proceed(runner.begin_turn()),
        Action::Run => {
            runner.run_job(connection.take_job());
            connection.woken(&mut runner.worker);
        }
        Action::Wait => runner.wait(socket, connection, left)?,
        Action::ShutdownWrite => {
            runner.shutdown_write(socket)?;
            connection.write_shut_down();
        }
        Action::Close { may_linger: true } if runner.has_unread_input(socket) => {
            connection.linger();
        }
        Action::Close { .. } => return Ok(ControlFlow::Break(())),
    }
    Ok(ControlFlow::Continue(()))
}
