//! Clients that do wrong what can be done wrong.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a client does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rude {
    /// Connects, and leaves.
    Silent,
    /// Leaves within a head.
    PartialHead,
    /// Leaves within a body of known length.
    HalfBody,
    /// Resets within a body of known length.
    HalfBodyReset,
    /// Ends its side within a body, and waits for an answer.
    HalfBodyHalfClosed,
    /// Leaves within a chunk.
    HalfChunk,
    /// Sends what is no chunk.
    ChunkGarbage,
    /// Sends what is no HTTP.
    Garbage,
    /// Starts a TLS handshake.
    Tls,
    /// Sends a head without an end.
    EndlessHead,
    /// Leaves before the answer.
    LeavesUnanswered,
    /// Resets before the answer.
    ResetsUnanswered,
    /// Leaves within the answer.
    LeavesMidResponse,
    /// Resets within the answer.
    ResetsMidResponse,
    /// Reads a few bytes at a time, and leaves.
    ReadsSlowly,
    /// Asks for much, reads nothing, and leaves.
    NeverReads,
    /// Asks many times at once, and leaves.
    Pipelines,
    /// Asks, ends its side, and reads.
    HalfCloses,
    /// Waits for a 100 that would let it go on, and leaves.
    Expects,
    /// Begins HTTP/2, and leaves.
    HalfHttp2,
}

impl Rude {
    /// Every one.
    pub(crate) const ALL: [Self; 20] = [
        Self::Silent,
        Self::PartialHead,
        Self::HalfBody,
        Self::HalfBodyReset,
        Self::HalfBodyHalfClosed,
        Self::HalfChunk,
        Self::ChunkGarbage,
        Self::Garbage,
        Self::Tls,
        Self::EndlessHead,
        Self::LeavesUnanswered,
        Self::ResetsUnanswered,
        Self::LeavesMidResponse,
        Self::ResetsMidResponse,
        Self::ReadsSlowly,
        Self::NeverReads,
        Self::Pipelines,
        Self::HalfCloses,
        Self::Expects,
        Self::HalfHttp2,
    ];

    /// What it sends first. `path` is answered with a large body.
    fn sends(self, path: &str) -> Vec<u8> {
        let get = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let post = |headers: &str, body: &str| {
            format!("POST {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n{body}")
        };
        match self {
            Self::Silent => String::new(),
            Self::PartialHead => format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Unfini"),
            Self::HalfBody | Self::HalfBodyReset | Self::HalfBodyHalfClosed => {
                post("Content-Length: 10", "half,")
            }
            Self::HalfChunk => post("Transfer-Encoding: chunked", "5\r\nwhole\r\n64\r\npart"),
            Self::ChunkGarbage => post("Transfer-Encoding: chunked", "5\r\nwhole\r\nnumber\r\n"),
            Self::Garbage => "\u{1}\u{2}no http\r\n\r\n".repeat(100),
            Self::Tls => {
                return [
                    &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
                    &[7; 500],
                ]
                .concat();
            }
            Self::EndlessHead => {
                format!(
                    "GET {path} HTTP/1.1\r\nHost: a\r\n{}",
                    "X: x\r\n".repeat(200_000)
                )
            }
            Self::Pipelines => get.repeat(20),
            Self::Expects => post("Content-Length: 10\r\nExpect: 100-continue", ""),
            Self::HalfHttp2 => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0".to_owned(),
            Self::LeavesUnanswered
            | Self::ResetsUnanswered
            | Self::LeavesMidResponse
            | Self::ResetsMidResponse
            | Self::ReadsSlowly
            | Self::NeverReads
            | Self::HalfCloses => get,
        }
        .into_bytes()
    }

    /// Does it to a server that answers `path` with a large body.
    pub(crate) async fn visit(self, server: SocketAddr, path: &str) {
        let mut stream = TcpStream::connect(server).await.unwrap();
        // The server may have had enough before.
        let _had_enough = stream.write_all(&self.sends(path)).await;
        let mut buffer = vec![0; 64 * 1024];
        match self {
            Self::HalfBodyHalfClosed | Self::HalfCloses => {
                let _had_enough = stream.shutdown().await;
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
            }
            Self::ChunkGarbage | Self::Garbage | Self::Tls | Self::EndlessHead => {
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
            }
            Self::LeavesMidResponse | Self::ResetsMidResponse | Self::Pipelines => {
                stream.read_exact(&mut buffer).await.unwrap();
            }
            Self::ReadsSlowly => {
                for _ in 0..20 {
                    stream.read_exact(&mut buffer[..100]).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            Self::NeverReads | Self::Expects => {
                stream.readable().await.unwrap();
            }
            Self::Silent
            | Self::PartialHead
            | Self::HalfBody
            | Self::HalfBodyReset
            | Self::HalfChunk
            | Self::LeavesUnanswered
            | Self::ResetsUnanswered
            | Self::HalfHttp2 => {}
        }
        if matches!(
            self,
            Self::HalfBodyReset | Self::ResetsUnanswered | Self::ResetsMidResponse
        ) {
            stream.set_zero_linger().unwrap();
        }
    }
}
