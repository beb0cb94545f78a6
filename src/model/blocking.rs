//! One connection at a time, blocking calls: the loop of the textbook's first server, which `forking`, `threaded` and
//! `pool` run too. They differ in what runs it, and in how many do.
//!
//! The model `blocking` runs it on one thread for each listener, so a connection is served to its end before the next one is
//! accepted. Each ends with its first answer, for others wait; and a client that connects and says nothing, as browsers
//! do to save time later, freezes the server until its deadline. That freeze is what the other models exist for.

use super::connection_control::ConnectionControl;
use super::runner::Runner;
use super::timed_socket::TimedSocket;
use super::{abort_after_panic, catch_panic, catch_start_panic};
use crate::session::{Action, Connection, NewSession};
use crate::sys::{self, Errno};
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Serves a connection from its beginning to its end. A panic of its session ends it, and nothing else.
pub fn serve(runner: &mut Runner, socket: &OwnedFd, new: NewSession, control: &ConnectionControl) {
    let mut socket = runner.begin(socket);
    let open = || Some(Connection::open(new, 0, &mut runner.worker));
    if let Some(mut connection) = catch_start_panic(open) {
        if catch_panic(|| run(&mut connection, &mut socket, control, runner)).is_none() {
            abort_after_panic(&mut connection);
        }
        catch_panic(|| connection.close(&mut runner.worker));
        connection.release(&mut runner.worker);
    }
    runner.end();
}

/// Asks the connection what to do, and does it, until that is to close.
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
            // The call took all of its time. What is left of the deadline is seen in the next step.
            Err(Errno::AGAIN) => {}
            // There was a signal, or another connection has left something for this one.
            Err(Errno::INTR) => connection.woken(&mut runner.worker),
            Err(sys::SENDFILE_REFUSED) => connection.send_refused(&mut runner.worker),
            // The peer is gone, or a file cannot be read.
            Err(_) => connection.abort(),
        }
    }
}

/// Does what the connection asks for. No call on the socket waits longer than `left`, and none waits if `left` is zero:
/// EAGAIN then. Reading a file and doing a job take as long as they take.
fn step(
    connection: &mut Connection,
    socket: &mut TimedSocket<'_>,
    runner: &mut Runner,
    left: Duration,
) -> Result<ControlFlow<()>, Errno> {
    match connection.next() {
        Action::Send => {
            let count = runner.send(socket, &connection.front(), left)?;
            connection.sent(count, &mut runner.worker);
        }
        Action::Receive => match runner.receive(socket, connection.room(), left)? {
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
        Action::Wait => runner.wait(socket, left)?,
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
