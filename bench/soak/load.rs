//! Clients: they keep their connections, pace their requests, and compare every byte of every answer.
//!
//! They are plain sockets, since they must cost little: they share the machine with what they measure.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use crate::service::{answer, document};

/// How long an answer may take. Nothing takes nearly as long unless it never comes.
const PATIENCE: Duration = Duration::from_secs(10);

/// One in this many requests has a body.
const POSTS: u64 = 4;

/// Failures that are told in words.
const TOLD: usize = 3;

/// Requests to be sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    /// Goes into the path.
    pub(crate) case: &'static str,
    /// The number of the first request.
    pub(crate) first: u64,
    pub(crate) count: u64,
    /// Requests a second, of all connections together.
    pub(crate) rate: u64,
}

/// What came of requests.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Microseconds, of the requests that were answered rightly.
    pub(crate) latencies: Vec<u32>,
    pub(crate) failed: u64,
    /// Of the first failures.
    pub(crate) problems: Vec<String>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.failed += other.failed;
        let room = TOLD.saturating_sub(self.problems.len());
        self.problems.extend(other.problems.into_iter().take(room));
    }

    /// Adds what came of a request.
    pub(crate) fn note(&mut self, result: anyhow::Result<()>, took: Duration) {
        match result {
            Ok(()) => {
                let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
                self.latencies.push(micros);
            }
            Err(problem) => {
                self.failed += 1;
                if self.problems.len() < TOLD {
                    self.problems.push(format!("{problem:#}"));
                }
            }
        }
    }

    /// The latency, in milliseconds, that this share of the requests did not exceed.
    pub(crate) fn quantile(&mut self, share: f64) -> f64 {
        self.latencies.sort_unstable();
        let last = self.latencies.len().saturating_sub(1);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is an index of a vector"
        )]
        let index = (last as f64 * share).round() as usize;
        let micros = self.latencies.get(index).copied().unwrap_or_default();
        f64::from(micros) / 1000.0
    }
}

/// Clients of one server.
#[derive(Debug)]
pub(crate) struct Clients(Vec<Client>);

/// A client with a connection of its own.
#[derive(Debug)]
pub(crate) struct Client {
    server: SocketAddr,
    /// `None` before the first request, and after a failure.
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Clients {
    pub(crate) fn new(server: SocketAddr, connections: u64) -> Self {
        Self((0..connections).map(|_| Client::new(server)).collect())
    }

    /// Sends a round's requests, each client its share.
    pub(crate) async fn run(&mut self, round: Round) -> anyhow::Result<Tally> {
        let step = self.0.len() as u64;
        for client in &mut self.0 {
            client.connect().await?;
        }
        let start = Instant::now();
        let mut running = JoinSet::new();
        for (index, mut client) in (0..).zip(self.0.drain(..)) {
            running.spawn(async move {
                let tally = client.run(round, start, index, step).await;
                (client, tally)
            });
        }
        let mut tally = Tally::default();
        while let Some(ended) = running.join_next().await {
            let (client, share) = ended?;
            self.0.push(client);
            tally.add(share);
        }
        Ok(tally)
    }
}

impl Client {
    pub(crate) fn new(server: SocketAddr) -> Self {
        Self {
            server,
            stream: None,
            buffer: Vec::new(),
        }
    }

    async fn connect(&mut self) -> anyhow::Result<&mut TcpStream> {
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let connecting = TcpStream::connect(self.server);
                let stream = timeout(PATIENCE, connecting)
                    .await
                    .context("connecting")??;
                stream.set_nodelay(true)?;
                stream
            }
        };
        Ok(self.stream.insert(stream))
    }

    /// Sends every `step`th request of a round, from the `index`th on, each when it is due. One that can't
    /// be sent in time, because the answer before it is late, counts from when it was due.
    async fn run(&mut self, round: Round, start: Instant, index: u64, step: u64) -> Tally {
        let mut tally = Tally::default();
        for position in (index..round.count).step_by(usize::try_from(step).unwrap_or(1)) {
            let due = start + Duration::from_micros(position * 1_000_000 / round.rate);
            let mut begin = due;
            if Instant::now() < due {
                sleep_until(due.into()).await;
                begin = Instant::now();
            }
            let (case, number) = (round.case, round.first + position);
            let result = self.ask(&request(case, number), number).await;
            tally.note(result.context(case), begin.elapsed());
        }
        tally
    }

    /// Sends a request for the document of this number, and compares its answer.
    pub(crate) async fn ask(&mut self, request: &[u8], number: u64) -> anyhow::Result<()> {
        let result = timeout(PATIENCE, self.exchange(request, number)).await;
        let result = result.unwrap_or_else(|_elapsed| bail!("no answer within {PATIENCE:?}"));
        if result.is_err() {
            // Whatever is on its way there is not for the next one.
            self.stream = None;
        }
        result.with_context(|| number.to_string())
    }

    async fn exchange(&mut self, request: &[u8], number: u64) -> anyhow::Result<()> {
        let expected = answer(number);
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(expected.len(), 0);
        let stream = self.connect().await?;
        stream.write_all(request).await?;
        let mut filled = 0;
        while filled < expected.len() {
            let read = stream.read(&mut buffer[filled..]).await?;
            filled += read;
            if read == 0 || !expected.starts_with(&buffer[..filled]) {
                let got = String::from_utf8_lossy(&buffer[..filled.min(400)]);
                bail!("not as expected after {filled} bytes: {got:?}");
            }
        }
        self.buffer = buffer;
        Ok(())
    }
}

fn request(case: &str, number: u64) -> Vec<u8> {
    let target = format!("/x/{case}/{number}?q=a%2Fb");
    let headers = "host: soak.example\r\naccept: application/json\r\ncookie: a=b\r\n";
    if !number.is_multiple_of(POSTS) {
        return format!("GET {target} HTTP/1.1\r\n{headers}\r\n").into_bytes();
    }
    let body = document(number);
    let length = body.len();
    let head = format!(
        "POST {target} HTTP/1.1\r\n{headers}content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.into_bytes(), body].concat()
}
