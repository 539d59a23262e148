//! Clients that go on until they are told to end.
//!
//! Each has keys of its own, and goes around them: a key's next request is sent only some time after its last one was
//! answered, so that miffy has compared that pair before.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{RwLock, RwLockWriteGuard};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::load::{Client, Tally};
use crate::options::Options;

/// How long a key rests.
const REST: Duration = Duration::from_millis(60);

/// When a request was sent, as seen from the fault.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Phase {
    Before,
    During,
    After,
}

/// What all clients are told. Whoever may write knows that no request is under way.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) server: SocketAddr,
    pub(crate) phase: Phase,
    over: bool,
}

/// Running clients.
#[derive(Debug)]
pub(crate) struct Traffic {
    told: Arc<RwLock<Told>>,
    numbers: Arc<AtomicU64>,
    clients: JoinSet<[Tally; 3]>,
}

impl Traffic {
    /// Starts clients. `rate` is that of all together, and `None` is as fast as answers come.
    pub(crate) fn start(
        runtime: &Handle,
        server: SocketAddr,
        options: &Options,
        rate: Option<u64>,
    ) -> Self {
        let told = Arc::new(RwLock::new(Told {
            server,
            phase: Phase::Before,
            over: false,
        }));
        let numbers = Arc::new(AtomicU64::new(0));
        let mut clients = JoinSet::new();
        let step =
            rate.map(|rate| Duration::from_secs(1) * connections(options) / per_second(rate));
        for index in 0..connections(options) {
            let keys = (u64::from(index)..options.keys).step_by(connections(options) as usize);
            let client = Going {
                client: Client::new(server),
                server,
                keys: keys.map(|key| (key, Instant::now())).collect(),
                due: Instant::now() + step.unwrap_or_default() * index / connections(options),
                step,
            };
            clients.spawn_on(client.run(told.clone(), numbers.clone()), runtime);
        }
        Self {
            told,
            numbers,
            clients,
        }
    }

    /// Waits until no request is under way; none is sent as long as this is held.
    pub(crate) fn hold(&self) -> RwLockWriteGuard<'_, Told> {
        self.told.blocking_write()
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.hold().phase = phase;
    }

    /// Ends it; what came of the requests in each phase, and how many there were.
    pub(crate) async fn end(mut self) -> anyhow::Result<([Tally; 3], u64)> {
        self.told.write().await.over = true;
        let mut all: [Tally; 3] = std::array::from_fn(|_| Tally::default());
        while let Some(tallies) = self.clients.join_next().await {
            for (all, tally) in all.iter_mut().zip(tallies?) {
                all.add(tally);
            }
        }
        Ok((all, self.numbers.load(Ordering::Relaxed)))
    }
}

/// No more than there are keys: each needs one.
fn connections(options: &Options) -> u32 {
    u32::try_from(options.connections.min(options.keys)).unwrap_or(u32::MAX)
}

fn per_second(rate: u64) -> u32 {
    u32::try_from(rate).unwrap_or(u32::MAX)
}

/// A client, its keys and when each may be used again.
struct Going {
    client: Client,
    server: SocketAddr,
    keys: Vec<(u64, Instant)>,
    due: Instant,
    /// Between two requests, if there is a pace.
    step: Option<Duration>,
}

impl Going {
    async fn run(mut self, told: Arc<RwLock<Told>>, numbers: Arc<AtomicU64>) -> [Tally; 3] {
        let mut tallies: [Tally; 3] = std::array::from_fn(|_| Tally::default());
        for turn in (0..self.keys.len()).cycle() {
            let (key, mut begin) = self.begin(turn).await;
            let asked = Instant::now();
            let told = told.read().await;
            if told.over {
                break;
            }
            // What clients rest here is not miffy's affair.
            let rested = asked.elapsed();
            begin += rested;
            self.due += rested;
            if self.server != told.server {
                self.server = told.server;
                self.client = Client::new(told.server);
            }
            let number = numbers.fetch_add(1, Ordering::Relaxed);
            let request =
                format!("GET /items/k{key}/{number} HTTP/1.1\r\nhost: delivery.example\r\n\r\n");
            let result = self.client.ask(request.as_bytes(), number).await;
            tallies[told.phase as usize].note(result, begin.elapsed());
            self.keys[turn].1 = Instant::now() + REST;
            self.due += self.step.unwrap_or_default();
        }
        tallies
    }

    /// Waits for a key's next request; gives from when on it counts. One that can't be sent in time, because the
    /// answer before it is late, counts from when it was due.
    async fn begin(&self, turn: usize) -> (u64, Instant) {
        let (key, rested) = self.keys[turn];
        let Some(_paced) = self.step else {
            return (key, Instant::now());
        };
        let due = self.due.max(rested);
        if Instant::now() >= due {
            return (key, due);
        }
        sleep_until(due.into()).await;
        (key, Instant::now())
    }
}
