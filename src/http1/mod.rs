//! HTTP/1.1 on the wire (RFC 9112): heads and bodies as bytes, the same for clients' connections and backends'.
//!
//! A head that came is one piece of memory, which its target and its headers share; names go out as they were spelt.
//! What could be read in two ways is refused: lengths, codings, ends of lines, chunks. Lines are read by `httparse`.
//!
//! # Layout
//!
//! - `chunked`: chunks as they come
//! - `decoder`: bodies as they come
//! - `encoder`: bodies as they go
//! - `head`: heads as they come
//! - `length`: how long bodies are
//! - `wire`: a connection's bytes, on buffers that it has only while there is something in them
//! - `wording`: what of a head is in no [`HeaderMap`](http::HeaderMap)
//! - `write`: heads as they go

#[cfg(test)]
mod against_hyper;
mod chunked;
mod decoder;
mod encoder;
mod head;
mod length;
mod wire;
mod wording;
mod write;

pub(crate) use decoder::{Decoded, Decoder};
pub(crate) use encoder::{Encoder, TooShort};
pub(crate) use head::{Asked, Heads, Told, retain};
pub(crate) use length::{Length, content_length};
pub(crate) use wire::{Broken, Wire, with_room};
pub(crate) use write::{StatusLine, announced_trailers, write_request, write_response};

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// A line of a head is none.
    #[error("a line of its head is not one of HTTP/1.1")]
    Head,
    /// A head is longer than it may be, or has more headers.
    #[error("its head is too large")]
    TooLarge,
    /// A target is longer than any may be.
    #[error("its target is too long")]
    TargetTooLong,
    /// A length is no number, or two.
    #[error("its length is not one number")]
    Length,
    /// A transfer coding that does not say where the body ends, or is not to be there.
    #[error("its transfer coding does not tell its end")]
    Coding,
    /// What is to be a chunk is none.
    #[error("a chunk is malformed")]
    Chunk,
    /// Chunks have more extensions, or trailers, than they may.
    #[error("its chunks have too much beside them")]
    ChunkTooLarge,
    /// What is behind the chunks is no trailer.
    #[error("its trailers are malformed")]
    Trailers,
    /// The connection ended before the body.
    #[error("it ended before its end")]
    Incomplete,
}
