//! The task that accepts at a listener, and starts a task for each connection.

use super::shared::{Alive, Local, Shared};
use super::task;
use super::watch::{Watched, watch};
use crate::model::listeners::PAUSE;
use crate::model::shutdown::LAST_ACCEPTS;
use crate::model::thread_group::Acceptor;
use crate::net::AcceptError;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::io::Interest;
use tokio::io::unix::AsyncFdReadyGuard;
use tokio::time::sleep;

/// Accepts until the server is stopping.
pub(super) async fn accept_all(shared: Arc<Shared>, listener: usize, alive: Alive) {
    let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let mut acceptor = Acceptor::new(&shared.group, listener, waker);
    let endpoint = shared.group.endpoint(listener);
    let result = loop {
        match watch(endpoint.listener.as_fd(), Interest::READABLE) {
            Ok(watched) => break accept(&mut acceptor, &watched, &shared, &alive).await,
            Err(error) if acceptor.is_stopping() => break Err(error),
            // The kernel is out of memory, which may pass.
            Err(error) => {
                let pause = acceptor.begin_pause(&error.to_string());
                until(|| acceptor.poll_departure(&pause)).await;
                acceptor.end_pause();
            }
        }
    };
    if let Err(error) = result {
        let place = endpoint.listener.bound();
        log::error!("stopped accepting connections at {place}: {error}");
    }
    acceptor.finish();
}

async fn accept(
    acceptor: &mut Acceptor,
    watched: &Watched<'_>,
    shared: &Arc<Shared>,
    alive: &Alive,
) -> io::Result<()> {
    let mut last = LAST_ACCEPTS;
    while last > 0 {
        let ready = ready_or_stopping(acceptor, watched).await?;
        last -= usize::from(acceptor.is_stopping());
        match acceptor.accept() {
            Ok(accepted) => {
                let Some(permit) = poll_fn(|_| acceptor.poll_permit()).await else {
                    break;
                };
                if let Some(accepted) = acceptor.admit(accepted, permit) {
                    tokio::spawn(task::serve(shared.clone(), accepted, alive.clone()));
                }
            }
            Err(AcceptError::Gone) => {}
            Err(AcceptError::WouldBlock) => {
                Local::with(shared, |local| {
                    local.worker.counters.accept_calls += 1;
                    local.worker.counters.would_blocks += 1;
                });
                match ready {
                    Some(mut ready) => ready.clear_ready(),
                    None => break,
                }
            }
            Err(AcceptError::Exhausted(error)) => {
                let pause = acceptor.begin_pause(&error.to_string());
                until(|| acceptor.poll_departure(&pause)).await;
                acceptor.end_pause();
            }
            Err(AcceptError::Refused(error)) => {
                acceptor.warn_refused(&error);
                until(|| match acceptor.is_stopping() {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                })
                .await;
            }
        }
    }
    Ok(())
}

/// Waits until a connection may be waiting, or the server is stopping: then `None`.
async fn ready_or_stopping<'a, 'fd>(
    acceptor: &Acceptor,
    watched: &'a Watched<'fd>,
) -> io::Result<Option<AsyncFdReadyGuard<'a, BorrowedFd<'fd>>>> {
    poll_fn(|cx| match watched.poll_read_ready(cx) {
        Poll::Ready(ready) => Poll::Ready(ready.map(Some)),
        Poll::Pending if acceptor.is_stopping() => Poll::Ready(Ok(None)),
        Poll::Pending => Poll::Pending,
    })
    .await
}

/// Waits until `is_over` is ready, which is asked when the acceptor is woken, or [`PAUSE`] has
/// passed.
async fn until(mut is_over: impl FnMut() -> Poll<()>) {
    let mut pause = pin!(sleep(PAUSE));
    poll_fn(|cx| match is_over() {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => pause.as_mut().poll(cx),
    })
    .await;
}
