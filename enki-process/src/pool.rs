//! Threads for keepers. A thread that has done its work waits a moment for more: to start and end one for each short
//! child costs a tenth of the child.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

type Job = Box<dyn FnOnce() + Send>;

struct Idle {
    id: std::thread::ThreadId,
    jobs: Sender<Job>,
}

/// Threads of this process that wait for work. No more than have worked at the same time a moment ago.
static IDLE: Mutex<Vec<Idle>> = Mutex::new(Vec::new());

/// How long a thread waits for more work before it ends.
const LINGER: Duration = Duration::from_secs(1);

/// Runs `job` on a thread of its own, a new one or one that has just become free.
pub(crate) fn run(job: Job) -> io::Result<()> {
    let idle = lock().pop();
    let job = match idle {
        None => job,
        Some(idle) => match idle.jobs.send(job) {
            Ok(()) => return Ok(()),
            // It ended by a panic of its last job.
            Err(unsent) => unsent.0,
        },
    };
    std::thread::Builder::new().name("enki-child".into()).stack_size(256 << 10).spawn(move || work(job))?;
    Ok(())
}

fn work(mut job: Job) {
    loop {
        job();
        let (jobs, more) = channel();
        let id = std::thread::current().id();
        lock().push(Idle { id, jobs });
        match next(&more, id) {
            Some(next) => job = next,
            None => return,
        }
    }
}

fn next(more: &Receiver<Job>, id: std::thread::ThreadId) -> Option<Job> {
    match more.recv_timeout(LINGER) {
        Ok(job) => Some(job),
        Err(RecvTimeoutError::Disconnected) => None,
        Err(RecvTimeoutError::Timeout) => {
            let mut idle = lock();
            let at = idle.iter().position(|i| i.id == id);
            match at {
                Some(at) => {
                    idle.swap_remove(at);
                    None
                }
                // Somebody has just taken it from the list: its job is on the way.
                None => {
                    drop(idle);
                    more.recv().ok()
                }
            }
        }
    }
}

fn lock() -> MutexGuard<'static, Vec<Idle>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn every_job_runs_and_jobs_at_the_same_time_do_not_wait_for_each_other() {
        for _ in 0..50 {
            let (there, arrived) = sync_channel(0);
            let gates: Vec<_> = (0..4)
                .map(|_| {
                    let (open, gate) = channel::<()>();
                    let there = there.clone();
                    run(Box::new(move || {
                        there.send(()).unwrap();
                        gate.recv().unwrap();
                    }))
                    .unwrap();
                    open
                })
                .collect();
            // All four are at work before the first may end.
            (0..4).for_each(|_| arrived.recv().unwrap());
            gates.into_iter().for_each(|open| open.send(()).unwrap());
        }
    }
}
