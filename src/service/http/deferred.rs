//! Requests whose response takes time: kept while a task or a job makes it.

use super::response::{DeferredLookup, Response, ResponseTask};
use crate::auth::{Credentials, Gate, Outcome};
use crate::http1::{Request, StatusCode};
use crate::offload::PASSWORDS;
use crate::session::{Job, Moment, Time, WORK_PER_TURN, Wait};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A request whose response takes time. Its head is parsed a second time when the response is
/// ready.
pub(super) struct DeferredRequest {
    pub head: Arc<[u8]>,
    /// When its first byte arrived.
    pub since: Moment,
}

/// A request whose response is made slice by slice in the loop.
pub(super) struct RunningTask {
    pub request: DeferredRequest,
    pub task: Box<dyn ResponseTask>,
}

/// A request for which a job runs on a thread that may wait for a file system.
pub(super) struct OffloadedRequest {
    pub request: DeferredRequest,
    /// The job, until the model takes it.
    pub job: Option<Job>,
    /// Where the job leaves its result. Once the session has dropped its side, the job does
    /// nothing.
    result: Slot,
}

type Slot = Arc<Mutex<Option<JobResult>>>;

/// The result of a job.
pub(super) enum JobResult {
    /// The response.
    Found(Response),
    /// Whether the user may.
    Checked(Outcome),
    /// A task after one step, and the response or error status if it has finished.
    Step(Box<dyn ResponseTask>, Option<Result<Response, StatusCode>>),
}

impl OffloadedRequest {
    /// Offloads a lookup.
    pub fn look_up(
        request: DeferredRequest,
        lookup: DeferredLookup,
        time: &Time,
    ) -> OffloadedRequest {
        let (head, time) = (request.head.clone(), time.clone());
        OffloadedRequest::new(request, lookup.mount, move || {
            JobResult::Found(match Request::parse(&head) {
                Ok(request) => (lookup.look)(&request, &time),
                Err(status) => Response::status_text(status),
            })
        })
    }

    /// Offloads the check of a password.
    pub fn check(
        request: DeferredRequest,
        gate: Arc<Gate>,
        credentials: Credentials,
        client: Option<IpAddr>,
    ) -> OffloadedRequest {
        OffloadedRequest::new(request, PASSWORDS, move || {
            JobResult::Checked(gate.check(&credentials, client))
        })
    }

    /// Offloads the next step of a task.
    pub fn step(
        request: DeferredRequest,
        mut task: Box<dyn ResponseTask>,
        mount: u64,
    ) -> OffloadedRequest {
        OffloadedRequest::new(request, mount, move || {
            let made = task.step(&mut WORK_PER_TURN.clone());
            JobResult::Step(task, made)
        })
    }

    fn new(
        request: DeferredRequest,
        mount: u64,
        work: impl FnOnce() -> JobResult + Send + 'static,
    ) -> OffloadedRequest {
        let result = Slot::default();
        let of_job = result.clone();
        let work = Box::new(move || {
            if Arc::strong_count(&of_job) > 1 {
                let done = work();
                *lock(&of_job) = Some(done);
            }
        });
        OffloadedRequest {
            request,
            job: Some(Job { mount, work }),
            result,
        }
    }

    /// The result, if the job has finished.
    pub fn take_result(&self) -> Option<JobResult> {
        lock(&self.result).take()
    }

    pub fn waits_for(&self) -> Wait {
        match self.job {
            Some(_) => Wait::Job,
            None => Wait::JobResult,
        }
    }
}

fn lock(slot: &Slot) -> MutexGuard<'_, Option<JobResult>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}
