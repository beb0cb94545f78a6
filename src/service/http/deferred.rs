//! Requests that are answered later.

use super::response::{DeferredLookup, Response, ResponseTask};
use crate::http1::{Request, StatusCode};
use crate::session::{Job, Moment, Time, WORK_PER_TURN, Wait};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A request that is answered later. Its head is parsed again then: that costs only requests that take their time.
pub(super) struct DeferredRequest {
    pub head: Arc<[u8]>,
    /// When its first byte came.
    pub since: Moment,
}

/// A request whose answer is made slice by slice.
pub(super) struct RunningTask {
    pub request: DeferredRequest,
    pub task: Box<dyn ResponseTask>,
}

/// A request for which a job is done where it may wait for a file system.
pub(super) struct OffloadedRequest {
    pub request: DeferredRequest,
    /// It is here until the model takes it.
    pub job: Option<Job>,
    /// Where the job leaves its result. Nothing needs that once the session has dropped its side.
    result: Slot,
}

type Slot = Arc<Mutex<Option<JobResult>>>;

/// What a job has brought about.
pub(super) enum JobResult {
    /// What to answer.
    Found(Response),
    /// A step of a task, and what came of it.
    Step(Box<dyn ResponseTask>, Option<Result<Response, StatusCode>>),
}

impl OffloadedRequest {
    /// Has the request looked up.
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

    /// Has the next step of a task done.
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

    /// The result, once it is there.
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
