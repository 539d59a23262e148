//! Clients that take much, or take their time, while others send their requests.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::service::{Large, Pattern};

/// How long nothing may move.
const PATIENCE: Duration = Duration::from_secs(30);

/// Clients that read slowly.
pub(crate) const SLOW_READERS: usize = 16;

/// What each of them reads at a time, and how long it rests then.
const SIP: usize = 16 * 1024;
const REST: Duration = Duration::from_millis(100);

/// Clients that ask for large documents, and how often each does: they keep comparisons busy, and leave the
/// machine something for everybody else.
const READERS: u32 = 4;
const EVERY: Duration = Duration::from_millis(500);

/// How long a client rests that never finishes a head, between two of its bytes.
const HEAD_REST: Duration = Duration::from_secs(1);

/// What clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disturbance {
    /// One reads a body of gigabytes.
    Download,
    /// One sends a body of gigabytes.
    Upload,
    /// Some read bodies of gigabytes very slowly, and hang up.
    SlowReaders,
    /// Thousands send a request's head byte by byte, and hang up.
    SlowHeads,
    /// Some ask for documents of 5 MB, over and over, that the candidate has as well.
    LargeEqual,
    /// The same, and the candidate's differ in a third of their values.
    LargeJson,
}

/// Says when a disturbance has begun, and when it is to end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signals {
    pub(crate) begun: CancellationToken,
    pub(crate) stop: CancellationToken,
}

/// What it takes to disturb.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Means {
    pub(crate) miffy: SocketAddr,
    pub(crate) body_bytes: u64,
    pub(crate) slow_heads: usize,
}

impl Disturbance {
    pub(crate) const ALL: [Self; 6] = [
        Self::Download,
        Self::Upload,
        Self::SlowReaders,
        Self::SlowHeads,
        Self::LargeEqual,
        Self::LargeJson,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::Upload => "upload",
            Self::SlowReaders => "slow_readers",
            Self::SlowHeads => "slow_heads",
            Self::LargeEqual => "large_equal",
            Self::LargeJson => "large_json",
        }
    }

    /// Whether the candidate has a large body to send, too.
    pub(crate) fn is_mirrored_whole(self) -> bool {
        self == Self::Download
    }

    /// Whether large documents are compared.
    pub(crate) fn is_compared_whole(self) -> bool {
        matches!(self, Self::LargeEqual | Self::LargeJson)
    }

    /// The large document that the candidate has.
    pub(crate) fn large(self) -> Large {
        match self {
            Self::LargeJson => Large::Changed,
            _ => Large::Plain,
        }
    }

    /// Whether it ends by itself.
    pub(crate) fn has_an_end(self) -> bool {
        matches!(self, Self::Download | Self::Upload)
    }

    /// The sockets that it costs miffy.
    pub(crate) fn sockets(self, means: Means) -> usize {
        match self {
            Self::Download | Self::Upload => 3,
            Self::SlowReaders => 3 * SLOW_READERS,
            Self::SlowHeads => means.slow_heads,
            // Those towards the candidate wait for the comparison before, and are others then.
            Self::LargeEqual | Self::LargeJson => 4 * READERS as usize,
        }
    }

    /// Disturbs, until it is stopped if it has no end of its own. Gives the number of requests that miffy
    /// has to account for.
    pub(crate) async fn run(self, means: Means, signals: Signals) -> anyhow::Result<u64> {
        // Whatever goes wrong, nobody is to wait for its begin.
        let _begun = signals.begun.clone().drop_guard();
        match self {
            Self::Download => {
                signals.begun.cancel();
                download(means).await
            }
            Self::Upload => {
                signals.begun.cancel();
                upload(means).await
            }
            Self::SlowReaders => all(SLOW_READERS, means, signals, read_slowly).await,
            Self::SlowHeads => all(means.slow_heads, means, signals, send_a_head_slowly).await,
            Self::LargeEqual | Self::LargeJson => {
                // In turns: all at once, they would take all of a small machine for a while.
                let before = AtomicU32::new(0);
                let read = |stream, _, stop| {
                    let turn = EVERY * before.fetch_add(1, Ordering::Relaxed) / READERS;
                    read_large(self, turn, stream, stop)
                };
                all(READERS as usize, means, signals, read).await
            }
        }
    }
}

async fn connect(means: Means) -> anyhow::Result<TcpStream> {
    let connecting = TcpStream::connect(means.miffy);
    Ok(timeout(PATIENCE, connecting)
        .await
        .context("connecting")??)
}

async fn download(means: Means) -> anyhow::Result<u64> {
    let mut stream = connect(means).await?;
    get(&mut stream, "/x/download/big/0").await?;
    let mut expected = Pattern::of_length(means.body_bytes);
    let mut buffer = vec![0; 256 * 1024];
    while !expected.is_over() {
        let read = timeout(PATIENCE, stream.read(&mut buffer)).await??;
        let right = read > 0 && expected.goes_on_with(&buffer[..read]);
        ensure!(right, "the download is not what was sent: {expected:?}");
    }
    Ok(1)
}

async fn upload(means: Means) -> anyhow::Result<u64> {
    let mut stream = connect(means).await?;
    let length = means.body_bytes;
    let head = format!(
        "POST /x/upload/take/0 HTTP/1.1\r\nhost: soak.example\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let mut body = Pattern::of_length(length);
    while !body.is_over() {
        timeout(PATIENCE, stream.write_all(&body.next())).await??;
    }
    let head = read_head(&mut stream).await?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let mut received = vec![0; length.to_string().len()];
    timeout(PATIENCE, stream.read_exact(&mut received)).await??;
    let received = String::from_utf8_lossy(&received);
    ensure!(
        received == length.to_string(),
        "{received} of {length} bytes arrived"
    );
    Ok(1)
}

/// As many clients that do the same, each until it is stopped; the sum of what they give.
async fn all<F>(
    count: usize,
    means: Means,
    signals: Signals,
    client: impl Fn(TcpStream, Means, CancellationToken) -> F,
) -> anyhow::Result<u64>
where
    F: Future<Output = anyhow::Result<u64>> + Send + 'static,
{
    let mut clients = JoinSet::new();
    for _ in 0..count {
        let stop = signals.stop.clone();
        clients.spawn(client(connect(means).await?, means, stop));
    }
    signals.begun.cancel();
    let mut requests = 0;
    while let Some(ended) = clients.join_next().await {
        requests += ended??;
    }
    Ok(requests)
}

async fn read_slowly(
    mut stream: TcpStream,
    means: Means,
    stop: CancellationToken,
) -> anyhow::Result<u64> {
    get(&mut stream, "/x/slow_readers/big/0").await?;
    let mut expected = Pattern::of_length(means.body_bytes);
    let mut buffer = vec![0; SIP];
    while !stop.is_cancelled() {
        timeout(PATIENCE, stream.read_exact(&mut buffer)).await??;
        ensure!(expected.goes_on_with(&buffer), "not what was sent");
        sleep(REST).await;
    }
    Ok(1)
}

async fn send_a_head_slowly(
    mut stream: TcpStream,
    _means: Means,
    stop: CancellationToken,
) -> anyhow::Result<u64> {
    let start = b"GET /x/slow_heads/0 HTTP/1.1\r\nhost: soak.example\r\nx-slow: ";
    // miffy may lose its patience at any time.
    let mut sent = stream.write_all(start).await;
    while sent.is_ok() && !stop.is_cancelled() {
        let _stopped = timeout(HEAD_REST, stop.cancelled()).await;
        sent = stream.write_all(b"a").await;
    }
    Ok(0)
}

async fn read_large(
    case: Disturbance,
    turn: Duration,
    mut stream: TcpStream,
    stop: CancellationToken,
) -> anyhow::Result<u64> {
    let expected = Large::Plain.document();
    let mut buffer = vec![0; expected.len()];
    let target = format!("/x/{}/large/0", case.name());
    let mut ticks = interval_at(Instant::now() + turn, EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut requests = 0;
    while !stop.is_cancelled() {
        ticks.tick().await;
        get(&mut stream, &target).await?;
        timeout(PATIENCE, stream.read_exact(&mut buffer)).await??;
        ensure!(buffer == expected, "not what was sent");
        requests += 1;
    }
    Ok(requests)
}

/// Asks for a large body, and reads its head.
async fn get(stream: &mut TcpStream, target: &str) -> anyhow::Result<()> {
    let request = format!("GET {target} HTTP/1.1\r\nhost: soak.example\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let head = read_head(stream).await?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    Ok(())
}

async fn read_head(stream: &mut TcpStream) -> anyhow::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(PATIENCE, stream.read_u8()).await??);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
