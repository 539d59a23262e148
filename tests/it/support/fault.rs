//! Upstreams that do wrong what can be done wrong, each as a server of its own.
//!
//! This file needs tokio and the standard library only, so that other programs can include it.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// What an upstream does wrong. Where it answers at all, its status is 203.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// Nobody listens.
    Refuse,
    /// The queue of connections is full, so that none is ever made.
    ConnectHang,
    /// The host's name is looked up for minutes; needs [`Faulty::preload`].
    SlowName,
    /// Connections are accepted, and not even read.
    AcceptAndHang,
    /// A request is read, and the connection closed.
    CloseWithoutAnswer,
    /// A request is read, and the connection reset.
    ResetWithoutAnswer,
    /// An answer's head, without its body.
    HangAfterHead,
    /// An answer that comes a byte a second, its head first.
    Trickle,
    /// A whole head, and a body that comes a byte a second.
    TrickleBody,
    /// A reset within a body of known length.
    ResetMidBody,
    /// A reset within a body that the connection's end would end.
    ResetMidStream,
    /// The connection's end within a chunk.
    ChunkedCut,
    /// A chunk whose size is no number.
    ChunkGarbage,
    /// Bytes that are no HTTP.
    Garbage,
    /// Announces more than it sends, and closes.
    LengthTooLong,
    /// Sends more than it announces, which looks like another answer, and keeps the connection open.
    LengthTooShort,
    /// Headers without an end.
    EndlessHeaders,
    /// A header's value without an end.
    EndlessHeader,
    /// Chunks without an end.
    EndlessBody,
    /// A header of 100 KiB in an answer that is right otherwise.
    HugeHeader,
    /// Thousands of 1xx before an answer that is right.
    InformationalFlood,
    /// 1xx without an end.
    InformationalEndless,
    /// A protocol that nobody asked for.
    UnaskedUpgrade,
    /// Plain HTTP behind an https URL.
    TlsPlain,
    /// A fatal alert instead of a TLS handshake.
    TlsAlert,
    /// A TLS record of nonsense.
    TlsGarbage,
    /// A TLS handshake that is never answered.
    TlsHang,
}

/// What [`Fault::SlowName`] looks up.
const SLOW_HOST: &str = "upstream.example";

/// The body that is announced where one is sent in part.
const WHOLE: usize = 10_000;

impl Fault {
    /// Every one.
    pub(crate) const ALL: [Self; 27] = [
        Self::Refuse,
        Self::ConnectHang,
        Self::SlowName,
        Self::AcceptAndHang,
        Self::CloseWithoutAnswer,
        Self::ResetWithoutAnswer,
        Self::HangAfterHead,
        Self::Trickle,
        Self::TrickleBody,
        Self::ResetMidBody,
        Self::ResetMidStream,
        Self::ChunkedCut,
        Self::ChunkGarbage,
        Self::Garbage,
        Self::LengthTooLong,
        Self::LengthTooShort,
        Self::EndlessHeaders,
        Self::EndlessHeader,
        Self::EndlessBody,
        Self::HugeHeader,
        Self::InformationalFlood,
        Self::InformationalEndless,
        Self::UnaskedUpgrade,
        Self::TlsPlain,
        Self::TlsAlert,
        Self::TlsGarbage,
        Self::TlsHang,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::ConnectHang => "connect_hang",
            Self::SlowName => "slow_name",
            Self::AcceptAndHang => "accept_and_hang",
            Self::CloseWithoutAnswer => "close_without_answer",
            Self::ResetWithoutAnswer => "reset_without_answer",
            Self::HangAfterHead => "hang_after_head",
            Self::Trickle => "trickle",
            Self::TrickleBody => "trickle_body",
            Self::ResetMidBody => "reset_mid_body",
            Self::ResetMidStream => "reset_mid_stream",
            Self::ChunkedCut => "chunked_cut",
            Self::ChunkGarbage => "chunk_garbage",
            Self::Garbage => "garbage",
            Self::LengthTooLong => "length_too_long",
            Self::LengthTooShort => "length_too_short",
            Self::EndlessHeaders => "endless_headers",
            Self::EndlessHeader => "endless_header",
            Self::EndlessBody => "endless_body",
            Self::HugeHeader => "huge_header",
            Self::InformationalFlood => "informational_flood",
            Self::InformationalEndless => "informational_endless",
            Self::UnaskedUpgrade => "unasked_upgrade",
            Self::TlsPlain => "tls_plain",
            Self::TlsAlert => "tls_alert",
            Self::TlsGarbage => "tls_garbage",
            Self::TlsHang => "tls_hang",
        }
    }

    fn is_of_tls(self) -> bool {
        matches!(
            self,
            Self::TlsPlain | Self::TlsAlert | Self::TlsGarbage | Self::TlsHang
        )
    }

    /// Serves one connection; its end is whatever the fault says.
    async fn serve(self, mut stream: TcpStream) -> io::Result<()> {
        match self {
            Self::AcceptAndHang | Self::TlsHang => return gone(&stream).await,
            Self::TlsAlert => return speak(stream, b"\x15\x03\x03\x00\x02\x02\x28").await,
            Self::TlsGarbage => {
                let nonsense = [&b"\x16\x03\x03\x10\x00"[..], &noise(4096)].concat();
                return speak(stream, &nonsense).await;
            }
            // Whatever the handshake looks like, it ends nowhere.
            Self::TlsPlain => return speak(stream, RIGHT).await,
            _ => {}
        }
        while read_request(&mut stream).await? {
            if !self.answer(&mut stream).await? {
                break;
            }
        }
        if self.resets() {
            stream.set_zero_linger()?;
        }
        Ok(())
    }

    fn resets(self) -> bool {
        matches!(
            self,
            Self::ResetWithoutAnswer | Self::ResetMidBody | Self::ResetMidStream
        )
    }

    /// Answers a request; whether the connection goes on.
    async fn answer(self, stream: &mut TcpStream) -> io::Result<bool> {
        let part = vec![b'f'; WHOLE / 2];
        match self {
            Self::HangAfterHead => {
                stream.write_all(&head_of_length(WHOLE)).await?;
                gone(stream).await?;
            }
            Self::Trickle => trickle(stream, RIGHT).await?,
            Self::TrickleBody => {
                stream.write_all(&head_of_length(WHOLE)).await?;
                trickle(stream, &part).await?;
            }
            Self::ResetMidBody | Self::LengthTooLong => {
                stream.write_all(&head_of_length(WHOLE)).await?;
                stream.write_all(&part).await?;
                arrived(stream).await;
            }
            Self::ResetMidStream => {
                stream.write_all(b"HTTP/1.1 203 Faulty\r\n\r\n").await?;
                stream.write_all(&part).await?;
                arrived(stream).await;
            }
            Self::ChunkedCut => {
                stream.write_all(CHUNKED).await?;
                stream.write_all(b"5\r\nwhole\r\n64\r\npart").await?;
            }
            Self::ChunkGarbage => {
                stream.write_all(CHUNKED).await?;
                stream.write_all(b"5\r\nwhole\r\nnumber\r\n").await?;
            }
            Self::Garbage => stream.write_all(&noise(4096)).await?,
            Self::LengthTooShort => {
                // At once: whoever reads the answer has the rest before it asks again.
                let both = [&head_of_length(4)[..], b"only", RIGHT].concat();
                stream.write_all(&both).await?;
                return Ok(true);
            }
            Self::EndlessHeaders => {
                stream.write_all(b"HTTP/1.1 203 Faulty\r\n").await?;
                endlessly(stream, b"x-more: and more\r\n").await?;
            }
            Self::EndlessHeader => {
                stream.write_all(b"HTTP/1.1 203 Faulty\r\nx-more: ").await?;
                endlessly(stream, b"and more ").await?;
            }
            Self::EndlessBody => {
                stream.write_all(CHUNKED).await?;
                let chunk = [&b"1000\r\n"[..], &[b'f'; 0x1000], b"\r\n"].concat();
                endlessly(stream, &chunk).await?;
            }
            Self::HugeHeader => {
                let value = vec![b'h'; 100 * 1024];
                let start = b"HTTP/1.1 203 Faulty\r\nx-huge: ";
                let end = b"\r\ncontent-length: 4\r\n\r\nhuge";
                let answer = [&start[..], &value, end].concat();
                stream.write_all(&answer).await?;
                return Ok(true);
            }
            Self::InformationalFlood => {
                stream.write_all(&INFORMATIONAL.repeat(5000)).await?;
                stream.write_all(RIGHT).await?;
                return Ok(true);
            }
            Self::InformationalEndless => endlessly(stream, INFORMATIONAL).await?,
            Self::UnaskedUpgrade => {
                let agreed = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
                               upgrade: nonsense\r\n\r\nnonsense";
                stream.write_all(agreed).await?;
                gone(stream).await?;
            }
            Self::Refuse
            | Self::ConnectHang
            | Self::SlowName
            | Self::AcceptAndHang
            | Self::CloseWithoutAnswer
            | Self::ResetWithoutAnswer
            | Self::TlsPlain
            | Self::TlsAlert
            | Self::TlsGarbage
            | Self::TlsHang => {}
        }
        Ok(false)
    }
}

/// An answer that is right.
const RIGHT: &[u8] = b"HTTP/1.1 203 Faulty\r\ncontent-length: 5\r\n\r\nright";

const CHUNKED: &[u8] = b"HTTP/1.1 203 Faulty\r\ntransfer-encoding: chunked\r\n\r\n";

const INFORMATIONAL: &[u8] = b"HTTP/1.1 103 Early Hints\r\nlink: </style>\r\n\r\n";

fn head_of_length(length: usize) -> Vec<u8> {
    format!("HTTP/1.1 203 Faulty\r\ncontent-length: {length}\r\n\r\n").into_bytes()
}

/// Bytes without a meaning, always the same.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[1]
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// Reads a request with its body; whether there was one.
pub(crate) async fn read_request(stream: &mut TcpStream) -> io::Result<bool> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if head.len() > 1024 * 1024 || stream.read(&mut byte).await? == 0 {
            return Ok(false);
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    if head.contains("\r\ntransfer-encoding:") {
        let mut end = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        while !end.ends_with(b"0\r\n\r\n") {
            let read = stream.read(&mut buffer).await?;
            if read == 0 {
                return Ok(false);
            }
            end.extend_from_slice(&buffer[..read]);
            end.drain(..end.len().saturating_sub(5));
        }
    } else if let Some((_, rest)) = head.split_once("\r\ncontent-length:") {
        let length = rest
            .lines()
            .next()
            .and_then(|line| line.trim().parse().ok());
        let mut body = stream.take(length.unwrap_or(0));
        tokio::io::copy(&mut body, &mut tokio::io::sink()).await?;
    }
    Ok(true)
}

/// Ends when the peer has closed, whatever it has sent and nobody read.
async fn gone(stream: &TcpStream) -> io::Result<()> {
    let interest = Interest::READABLE | Interest::WRITABLE;
    loop {
        let ready = stream.ready(interest).await?;
        if ready.is_read_closed() || ready.is_write_closed() {
            return Ok(());
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Lets the peer read what was written, which a reset would take away.
async fn arrived(stream: &TcpStream) {
    let _gone = timeout(Duration::from_millis(50), gone(stream)).await;
}

/// Reads the start of whatever is said, says this, and closes.
async fn speak(mut stream: TcpStream, bytes: &[u8]) -> io::Result<()> {
    let mut heard = [0; 4096];
    if stream.read(&mut heard).await? > 0 {
        stream.write_all(bytes).await?;
        stream.shutdown().await?;
        while stream.read(&mut heard).await? > 0 {}
    }
    Ok(())
}

/// Sends a byte a second, as long as there is somebody.
async fn trickle(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    for byte in bytes {
        stream.write_all(&[*byte]).await?;
        if timeout(Duration::from_secs(1), gone(stream)).await.is_ok() {
            break;
        }
    }
    Ok(())
}

/// Sends the same until the peer is gone.
async fn endlessly(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    let many = bytes.repeat((16 * 1024 / bytes.len()).max(1));
    loop {
        stream.write_all(&many).await?;
        tokio::task::yield_now().await;
    }
}

/// An upstream with a fault, until it is dropped.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) url: String,
    /// A library for `LD_PRELOAD`, where the fault is one of the process that asks.
    pub(crate) preload: Option<PathBuf>,
    server: JoinHandle<()>,
}

impl Faulty {
    /// # Panics
    ///
    /// If there is no port, or for [`Fault::SlowName`] no C compiler.
    pub(crate) async fn start(fault: Fault) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .expect("a free port");
        let address = socket.local_addr().expect("it is bound");
        let scheme = if fault.is_of_tls() { "https" } else { "http" };
        let mut url = format!("{scheme}://{address}");
        let mut preload = None;
        let server = match fault {
            Fault::Refuse => hold(socket),
            Fault::ConnectHang => {
                let listener = socket.listen(1).expect("it is bound");
                let waiting = fill(address).await;
                hold((listener, waiting))
            }
            Fault::SlowName => {
                let port = address.port();
                url = format!("http://{SLOW_HOST}:{port}");
                let name = format!("slow-names-{}-{port}", std::process::id());
                preload = Some(slow_names(&std::env::temp_dir(), &name).expect("a C compiler"));
                hold(socket)
            }
            _ => {
                let listener = socket.listen(1024).expect("it is bound");
                tokio::spawn(accept(listener, fault))
            }
        };
        Self {
            url,
            preload,
            server,
        }
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.server.abort();
        if let Some(library) = &self.preload {
            let _removed = std::fs::remove_file(library);
        }
    }
}

/// Serves connections until it is aborted, and they with it.
async fn accept(listener: TcpListener, fault: Fault) {
    let mut serving = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        serving.spawn(fault.serve(stream));
        while serving.try_join_next().is_some() {}
    }
}

/// Keeps something until it is aborted.
fn hold<T: Send + 'static>(held: T) -> JoinHandle<()> {
    tokio::spawn(async move {
        std::future::pending::<()>().await;
        drop(held);
    })
}

/// Connects until that is not possible any longer.
async fn fill(address: SocketAddr) -> Vec<TcpStream> {
    let mut waiting = Vec::new();
    let patience = Duration::from_millis(200);
    while let Ok(Ok(stream)) = timeout(patience, TcpStream::connect(address)).await {
        waiting.push(stream);
    }
    waiting
}

/// Compiles a library that makes looking up any `*.example` take longer than anything is waited for.
pub(crate) fn slow_names(directory: &Path, name: &str) -> io::Result<PathBuf> {
    let source = directory.join(format!("{name}.c"));
    let library = directory.join(format!("{name}.so"));
    std::fs::write(
        &source,
        "#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <netdb.h>\n#include <string.h>\n\
         #include <unistd.h>\n\
         typedef int look_up(const char *, const char *, const struct addrinfo *, struct addrinfo **);\n\
         int getaddrinfo(const char *n, const char *s, const struct addrinfo *h, struct addrinfo **r)\n\
         { if (n && strstr(n, \".example\")) { sleep(120); return EAI_AGAIN; }\n\
         return ((look_up *)dlsym(RTLD_NEXT, \"getaddrinfo\"))(n, s, h, r); }\n",
    )?;
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status();
    std::fs::remove_file(&source)?;
    if built?.success() {
        Ok(library)
    } else {
        Err(io::Error::other("the library does not compile"))
    }
}
