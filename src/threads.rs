//! The threads that requests are carried on: for each core one that serves clients, and one beside it for the shadow.
//! Each has a runtime of its own.
//!
//! A connection stays on the thread that it was given to, and so does all that is done for its requests. What is
//! mirrored of them is taken on by the thread beside it: a candidate that has to be listened to without end, or a
//! comparison that takes its time, keeps that one busy and no other. What requests use again and again, such as
//! connections to backends, each thread has for itself, so that no two have to agree on anything.

use std::cell::{Cell, RefCell};
use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, timeout};

thread_local! {
    /// The place of one of these threads among them.
    static PLACE: Cell<Option<usize>> = const { Cell::new(None) };
    /// The one beside it.
    static BESIDE: RefCell<Option<Arc<Beside>>> = const { RefCell::new(None) };
}

/// After how many tasks a busy thread for clients looks at its sockets and timers. Each look is a system call.
const EVENTS: u32 = 32;

/// After how many one for the shadow does. To read what a backend sends without end may take some milliseconds each
/// time, and a comparison as well.
const EVENTS_OF_SHADOW: u32 = 8;

/// After how many tasks either looks for those that other threads have woken.
const OTHERS: u32 = 4;

/// How many cores there were for this process when it first asked. They may become more or fewer while it runs; its
/// threads don't.
pub(crate) fn cores() -> usize {
    static CORES: LazyLock<usize> =
        LazyLock::new(|| thread::available_parallelism().map_or(1, NonZeroUsize::get));
    *CORES
}

/// Work for another thread.
type Work = Box<dyn FnOnce() + Send>;

/// For how long work is gathered that is not due, and how often the other thread looks for some while it finds any.
const GATHERING: Duration = Duration::from_millis(1);

/// The way to the thread for the shadow beside one that serves clients.
///
/// To wake another thread takes longer than most of what a request needs. So work is handed over together; and once
/// woken, the other thread looks for more by itself, until there is none for a while.
struct Beside {
    works: UnboundedSender<Work>,
    /// Whether the other thread looks by itself.
    is_looking: Arc<AtomicBool>,
    gathered: Mutex<Gathered>,
    /// That there is some, or that it is due.
    news: Notify,
}

/// What is to be handed over.
#[derive(Default)]
struct Gathered {
    works: Vec<Work>,
    is_due: bool,
}

/// When work is to be handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// With what is due next, or else in a millisecond or two. What this thread does meanwhile comes first.
    Soon,
    /// As soon as this thread has done what it has to do already, unless the other one looks by itself.
    Now,
}

/// Has work done on the thread for the shadow beside this one, after all that it was given before; or gives it back if
/// this one does not serve clients.
pub(crate) fn beside<W: FnOnce() + Send + 'static>(when: When, work: W) -> Result<(), W> {
    BESIDE.with_borrow(|beside| {
        let Some(beside) = beside else {
            return Err(work);
        };
        let mut gathered = beside.gathered();
        gathered.works.push(Box::new(work));
        if beside.is_looking.load(Ordering::Relaxed) {
            // That wakes nobody.
            beside.hand_over(&mut gathered);
            return Ok(());
        }
        let is_due = when == When::Now && !std::mem::replace(&mut gathered.is_due, true);
        if is_due || gathered.works.len() == 1 {
            beside.news.notify_one();
        }
        Ok(())
    })
}

impl Beside {
    fn new(works: UnboundedSender<Work>, is_looking: Arc<AtomicBool>) -> Self {
        Self {
            works,
            is_looking,
            gathered: Mutex::default(),
            news: Notify::default(),
        }
    }

    /// Only the thread that it belongs to asks for it.
    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hand_over(&self, gathered: &mut Gathered) {
        gathered.is_due = false;
        for work in gathered.works.drain(..) {
            // When all threads end, the other one may have ended first.
            let _ended = self.works.send(work);
        }
    }
}

/// Hands over what is to be done beside this thread. Its turn comes after those that waited for theirs already.
async fn hand_over(beside: Arc<Beside>) {
    loop {
        beside.news.notified().await;
        let (is_empty, is_due) = {
            let gathered = beside.gathered();
            (gathered.works.is_empty(), gathered.is_due)
        };
        if is_empty {
            // It was news before what it told of was handed over.
            continue;
        }
        if !is_due {
            // It is due then, or was meanwhile.
            let _over = timeout(GATHERING, beside.news.notified()).await;
        }
        beside.hand_over(&mut beside.gathered());
    }
}

/// Does what another thread hands over.
async fn take_over(mut works: UnboundedReceiver<Work>, is_looking: Arc<AtomicBool>) {
    while let Some(first) = works.recv().await {
        is_looking.store(true, Ordering::Relaxed);
        let mut next = Some(first);
        while let Some(work) = next {
            carry_out(work);
            while let Ok(work) = works.try_recv() {
                carry_out(work);
            }
            sleep(GATHERING).await;
            next = works.try_recv().ok();
        }
        // What is handed over from here on is received as the first.
        is_looking.store(false, Ordering::Relaxed);
    }
}

/// A panic, which the panic hook tells of, is the affair of that work alone.
fn carry_out(work: Work) {
    let _panicked = catch_unwind(AssertUnwindSafe(work));
}

/// How long the end of all threads waits for what can't be given up at once.
const END: Duration = Duration::from_secs(1);

/// The threads. They end when it is dropped, and give up what still runs on them, so that each connection ends as what is
/// on it demands, and not as the process does.
#[derive(Debug)]
pub struct Threads {
    seats: Seats,
    /// Dropped to end them.
    ends: Vec<oneshot::Sender<()>>,
    /// Nothing ever comes; it is closed when they have ended.
    ended: std::sync::mpsc::Receiver<()>,
}

/// Those that serve clients, for as long as they run.
#[derive(Debug, Clone)]
pub struct Seats(Arc<[Arc<Worker>]>);

/// One that serves clients.
#[derive(Debug)]
struct Worker {
    runtime: Handle,
    shadow: Handle,
    seats: AtomicUsize,
}

/// A connection's place on a thread, for as long as it is held.
#[derive(Debug)]
pub(crate) struct Seat(Arc<Worker>);

impl Threads {
    /// Starts them.
    pub fn start() -> io::Result<Self> {
        let (mut workers, mut ends) = (Vec::new(), Vec::new());
        let (runs, ended) = std::sync::mpsc::channel();
        for core in 0..cores() {
            let (sender, works) = mpsc::unbounded_channel();
            let is_looking = Arc::new(AtomicBool::new(false));
            let (shadow, end) = start(format!("shadow-{core}"), 2 * core, None, &runs)?;
            shadow.spawn(take_over(works, is_looking.clone()));
            ends.push(end);
            let beside = Arc::new(Beside::new(sender, is_looking));
            let name = format!("worker-{core}");
            let (runtime, end) = start(name, 2 * core + 1, Some(beside.clone()), &runs)?;
            runtime.spawn(hand_over(beside));
            ends.push(end);
            workers.push(Arc::new(Worker {
                runtime,
                shadow,
                seats: AtomicUsize::new(0),
            }));
        }
        Ok(Self {
            seats: Seats(workers.into()),
            ends,
            ended,
        })
    }

    /// The runtime of a thread for the shadow, for what no thread beside is known of.
    pub(crate) fn for_shadow(&self) -> &Handle {
        &self.seats.0[0].shadow
    }

    /// Those that serve clients.
    #[must_use]
    pub fn seats(&self) -> Seats {
        self.seats.clone()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.ends.clear();
        let _timeout_or_closed = self.ended.recv_timeout(END);
    }
}

impl Seats {
    /// A place on the thread with the fewest connections.
    pub(crate) fn take(&self) -> Seat {
        let taken = |worker: &&Arc<Worker>| worker.seats.load(Ordering::Relaxed);
        let emptiest = self.0.iter().min_by_key(taken);
        let worker = emptiest.expect("a machine has a core").clone();
        worker.seats.fetch_add(1, Ordering::Relaxed);
        Seat(worker)
    }
}

/// Starts a thread at this place. It ends when the sender is dropped, and drops what it holds of `runs` then.
fn start(
    name: String,
    place: usize,
    beside: Option<Arc<Beside>>,
    runs: &std::sync::mpsc::Sender<()>,
) -> io::Result<(Handle, oneshot::Sender<()>)> {
    let (end, ended) = oneshot::channel::<()>();
    let (tell, told) = std::sync::mpsc::channel();
    let runs = runs.clone();
    let run = move || {
        let _runs = runs;
        let mut builder = Builder::new_current_thread();
        let events = if beside.is_some() {
            EVENTS
        } else {
            EVENTS_OF_SHADOW
        };
        builder.event_interval(events).global_queue_interval(OTHERS);
        let runtime = match builder.enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return tell.send(Err(error)).unwrap_or_default(),
        };
        PLACE.set(Some(place));
        BESIDE.set(beside);
        // It is waited for.
        let _told = tell.send(Ok(runtime.handle().clone()));
        // Nothing is ever sent.
        let _end = runtime.block_on(ended);
        // What still blocks a thread was given up.
        runtime.shutdown_background();
        // What was not handed over ends here, and not with the thread, when much of it is gone.
        drop(BESIDE.take());
    };
    thread::Builder::new().name(name).spawn(run)?;
    let started = told.recv().map_err(io::Error::other)?;
    Ok((started?, end))
}

impl Seat {
    /// The runtime of its thread.
    pub(crate) fn runtime(&self) -> Handle {
        self.0.runtime.clone()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.seats.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One of something for each of the threads, and one for all others together.
#[derive(Debug)]
pub(crate) struct PerThread<T>(Box<[T]>);

impl<T> PerThread<T> {
    /// As many as it takes.
    pub(crate) fn new(make: impl FnMut() -> T) -> Self {
        let threads = 2 * cores() + 1;
        Self(std::iter::repeat_with(make).take(threads).collect())
    }

    /// This thread's own.
    pub(crate) fn here(&self) -> &T {
        let others = self.0.len() - 1;
        &self.0[PLACE.get().unwrap_or(others)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_goes_where_there_are_the_fewest() {
        let threads = Threads::start().expect("threads");
        let all = threads.seats.0.len();
        let mut seats: Vec<Seat> = (0..2 * all).map(|_| threads.seats.take()).collect();
        let taken = |threads: &Threads| -> Vec<usize> {
            let workers = threads.seats.0.iter();
            workers.map(|it| it.seats.load(Ordering::Relaxed)).collect()
        };
        assert_eq!(taken(&threads), vec![2; all]);
        let left = seats.swap_remove(0);
        let before = left.0.clone();
        drop(left);
        assert!(Arc::ptr_eq(&threads.seats.take().0, &before));
    }

    #[test]
    fn work_is_done_beside_in_the_order_in_which_it_was_given() {
        let threads = Threads::start().expect("threads");
        let worker = &threads.seats.0[0];
        let (tell, told) = std::sync::mpsc::channel();
        let give = async move {
            for n in 0..100 {
                let tell = tell.clone();
                let tell = move || tell.send((n, PLACE.get())).expect("somebody listens");
                let when = [When::Soon, When::Now][n % 7 % 2];
                assert!(beside(when, tell).is_ok(), "this one serves clients");
                assert!(beside(when, || panic!("as is told of")).is_ok());
                if n % 3 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        };
        worker.runtime.spawn(give);
        let done: Vec<_> = told.into_iter().collect();
        let expected: Vec<_> = (0..100).map(|n| (n, Some(0))).collect();
        assert_eq!(done, expected);
    }

    #[test]
    fn a_thread_that_serves_no_clients_has_none_beside_it() {
        assert!(beside(When::Now, || ()).is_err());
        let threads = Threads::start().expect("threads");
        let shadow = threads.for_shadow();
        let given = shadow.spawn(async { beside(When::Now, || ()).is_ok() });
        assert!(!shadow.block_on(given).expect("no panic"));
    }

    #[test]
    fn each_thread_has_its_own_and_all_others_share_one() {
        let threads = Threads::start().expect("threads");
        let made = AtomicUsize::new(0);
        let own = Arc::new(PerThread::new(|| made.fetch_add(1, Ordering::Relaxed)));
        let here = *own.here();
        let there = |runtime: &Handle| {
            let own = own.clone();
            runtime.block_on(runtime.spawn(async move { *own.here() }))
        };
        let mut seen = vec![here];
        for worker in threads.seats.0.iter() {
            let there = |runtime| there(runtime).expect("no panic");
            seen.extend([there(&worker.runtime), there(&worker.shadow)]);
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..=2 * cores()).collect::<Vec<_>>());
    }

    #[test]
    fn what_runs_on_them_is_given_up_with_them() {
        let threads = Threads::start().expect("threads");
        let (kept, ended) = oneshot::channel::<()>();
        threads.for_shadow().spawn(async move {
            std::future::pending::<()>().await;
            drop(kept);
        });
        drop(threads);
        assert!(ended.blocking_recv().is_err());
    }
}
