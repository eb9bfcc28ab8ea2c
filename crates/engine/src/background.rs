//! One thread for what must not make a caller wait: clean-up after a reset, removals that nobody asked for in person,
//! lifetimes, and spares.
//!
//! Spares come last, and only when nobody has asked for anything for a few milliseconds: building one costs as much as
//! a create, and it must not be taken from a caller who waits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::sandbox::Sandbox;

/// So long nothing may have been asked for before a spare is built.
const QUIET: Duration = Duration::from_millis(5);

/// Something to do soon.
#[derive(Debug)]
pub(crate) enum Job {
    /// A reset or a stop has left directories behind, and the record is to be written.
    Tidy(Arc<Sandbox>, Option<Arc<crate::init::Init>>),
    /// Remove a sandbox whose time, owner or main process has ended.
    Remove(Weak<Sandbox>),
    /// Remove the cgroups of generations that are over.
    SweepCgroups,
    /// Look whether an init that serves files of a stopped sandbox is still needed.
    EndFiles(Weak<Sandbox>),
    /// Look whether sandboxes that are prepared are still needed.
    SweepPrepared,
    /// End the init of a sandbox that was created and has not been started.
    EndReady(Weak<Sandbox>),
}

/// Who does the work.
pub(crate) trait Worker: Send + Sync {
    fn run(&self, job: Job);
    fn build_spare(&self, sandbox: &Arc<Sandbox>);
    /// Makes one thing ahead of need; false when there is enough.
    fn refill(&self) -> bool;
}

/// The queue of the thread.
#[derive(Debug)]
pub(crate) struct Background {
    queue: Mutex<Queue>,
    changed: Condvar,
    started: Instant,
    /// Operations under way.
    in_flight: AtomicU32,
    /// When the last one ended, in microseconds since `started`.
    last_activity: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    spares: VecDeque<Weak<Sandbox>>,
    /// By due time; the number keeps entries of one instant apart.
    timers: BTreeMap<(Instant, u64), Job>,
    next_timer: u64,
    /// Something may be missing of what is kept in stock.
    refill: bool,
    closed: bool,
}

/// What the thread does next.
enum Next {
    Job(Job),
    Spare(Arc<Sandbox>),
    Refill,
    Stop,
}

/// An operation that a caller waits for; spares wait until it is over.
#[derive(Debug)]
pub(crate) struct Activity<'a>(&'a Background);

impl Drop for Activity<'_> {
    fn drop(&mut self) {
        self.0.touch();
        self.0.in_flight.fetch_sub(1, Ordering::Release);
    }
}

impl Background {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            queue: Mutex::default(),
            changed: Condvar::new(),
            started: Instant::now(),
            in_flight: AtomicU32::new(0),
            last_activity: AtomicU64::new(0),
        })
    }

    /// Starts the thread; it ends with [`Background::close`] or when the worker has gone.
    pub(crate) fn start(self: &Arc<Self>, worker: Weak<dyn Worker>) -> std::io::Result<()> {
        let background = Arc::clone(self);
        let run = move || {
            loop {
                let next = background.next();
                let Some(worker) = worker.upgrade() else {
                    return;
                };
                match next {
                    Next::Job(job) => worker.run(job),
                    Next::Spare(sandbox) => worker.build_spare(&sandbox),
                    Next::Refill => {
                        if worker.refill() {
                            background.want_refill();
                        }
                    }
                    Next::Stop => return,
                }
            }
        };
        std::thread::Builder::new()
            .name("background".to_owned())
            .spawn(run)
            .map(drop)
    }

    /// Ends the thread after the job it is at. What is queued is found again by recovery.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Announces an operation.
    pub(crate) fn activity(&self) -> Activity<'_> {
        self.in_flight.fetch_add(1, Ordering::Acquire);
        Activity(self)
    }

    pub(crate) fn push(&self, job: Job) {
        self.lock().jobs.push_back(job);
        self.changed.notify_one();
    }

    /// Does a job later.
    pub(crate) fn push_at(&self, due: Instant, job: Job) {
        let mut queue = self.lock();
        queue.next_timer += 1;
        let key = (due, queue.next_timer);
        queue.timers.insert(key, job);
        self.changed.notify_one();
    }

    /// Wishes for a spare of a sandbox.
    pub(crate) fn want_spare(&self, sandbox: &Arc<Sandbox>) {
        self.lock().spares.push_back(Arc::downgrade(sandbox));
        self.changed.notify_one();
    }

    /// Wishes for a look at what is kept in stock.
    pub(crate) fn want_refill(&self) {
        self.lock().refill = true;
        self.changed.notify_one();
    }

    fn next(&self) -> Next {
        let mut queue = self.lock();
        loop {
            if queue.closed {
                return Next::Stop;
            }
            if let Some(job) = queue.jobs.pop_front() {
                return Next::Job(job);
            }
            let now = Instant::now();
            if let Some(entry) = queue.timers.first_entry()
                && entry.key().0 <= now
            {
                return Next::Job(entry.remove());
            }
            let quiet_in = self.quiet_in();
            while quiet_in.is_zero() {
                let Some(wish) = queue.spares.pop_front() else {
                    break;
                };
                if let Some(sandbox) = wish.upgrade() {
                    return Next::Spare(sandbox);
                }
            }
            if quiet_in.is_zero() && std::mem::take(&mut queue.refill) {
                return Next::Refill;
            }
            let timer_in = queue
                .timers
                .first_key_value()
                .map(|((due, _), _)| due.saturating_duration_since(now));
            let spare_in = (!queue.spares.is_empty() || queue.refill).then_some(quiet_in);
            queue = match timer_in.into_iter().chain(spare_in).min() {
                Some(left) => {
                    self.changed
                        .wait_timeout(queue, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
                None => self
                    .changed
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// How long until it counts as quiet, as things are; zero when it does.
    fn quiet_in(&self) -> Duration {
        if self.in_flight.load(Ordering::Acquire) > 0 {
            return QUIET;
        }
        let last = Duration::from_micros(self.last_activity.load(Ordering::Relaxed));
        (last + QUIET).saturating_sub(self.started.elapsed())
    }

    fn touch(&self) {
        self.last_activity
            .store(self.started.elapsed().as_micros() as u64, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_come_before_timers_and_timers_when_they_are_due() {
        let background = Background::new();
        background.push_at(Instant::now(), Job::EndFiles(Weak::new()));
        background.push_at(
            Instant::now() + Duration::from_millis(20),
            Job::EndFiles(Weak::new()),
        );
        background.push(Job::Remove(Weak::new()));
        assert!(matches!(background.next(), Next::Job(Job::Remove(_))));
        assert!(matches!(background.next(), Next::Job(Job::EndFiles(_))));
        let before = Instant::now();
        assert!(matches!(background.next(), Next::Job(Job::EndFiles(_))));
        assert!(before.elapsed() >= Duration::from_millis(10));
        background.close();
        assert!(matches!(background.next(), Next::Stop));
    }

    #[test]
    fn it_is_not_quiet_during_and_shortly_after_an_operation() {
        let background = Background::new();
        {
            let _activity = background.activity();
            assert_eq!(background.quiet_in(), QUIET);
        }
        let left = background.quiet_in();
        assert!(left > Duration::ZERO && left <= QUIET, "{left:?}");
    }
}
