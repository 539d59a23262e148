//! What is spoken on a connection: HTTP/1.1, or HTTP/2 with prior knowledge.

use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::super::connection::{Noted, Socket};
use super::service::ClientService;
use crate::config::Clients;

/// How each version is spoken.
pub(super) struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

/// A connection on which one of them is spoken, to its end.
#[expect(
    clippy::large_enum_variant,
    reason = "most are of HTTP/1.1, and it is boxed with what drives it"
)]
pub(super) enum Served<IO: Socket> {
    Http1(Http1<IO>),
    Http2(Pin<Box<Http2<IO>>>),
}

type Http1<IO> = http1::UpgradeableConnection<TokioIo<Noted<IO>>, ClientService>;
type Http2<IO> = http2::Connection<TokioIo<Noted<IO>>, ClientService, TokioExecutor>;

impl Protocols {
    pub(super) fn within(limits: &Clients) -> Self {
        // A response's date is the backend's, if it sends one.
        let mut http1 = http1::Builder::new();
        http1
            .preserve_header_case(true)
            .auto_date_header(false)
            .max_headers(limits.max_headers)
            .max_buf_size(limits.max_head);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .auto_date_header(false)
            .max_header_list_size(u32::try_from(limits.max_head).unwrap_or(u32::MAX));
        Self { http1, http2 }
    }

    pub(super) fn serve<IO: Socket>(&self, io: Noted<IO>, service: ClientService) -> Served<IO> {
        if io.connection().is_http2() {
            let served = self.http2.serve_connection(TokioIo::new(io), service);
            Served::Http2(Box::pin(served))
        } else {
            let served = self.http1.serve_connection(TokioIo::new(io), service);
            Served::Http1(served.with_upgrades())
        }
    }
}

impl<IO: Socket> Served<IO> {
    /// Has it end after what it is about.
    pub(super) fn graceful_shutdown(&mut self) {
        match self {
            Self::Http1(served) => Pin::new(served).graceful_shutdown(),
            Self::Http2(served) => served.as_mut().graceful_shutdown(),
        }
    }

    /// Gives back what it was made of, with the start of a message where that was read; `None` in HTTP/2. What waits to
    /// be written is lost.
    pub(super) fn into_io(self) -> Option<Noted<IO>> {
        let Self::Http1(served) = self else {
            return None;
        };
        let parts = served.into_parts()?;
        let mut io = parts.io.into_inner();
        // Empty lines are what older clients send behind a request, and nobody minds (RFC 9112 §2.2).
        if !parts.read_buf.iter().all(|byte| b"\r\n".contains(byte)) {
            io.unread(&parts.read_buf);
        }
        Some(io)
    }
}

impl<IO: Socket> Future for Served<IO> {
    type Output = hyper::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Http1(served) => Pin::new(served).poll(cx),
            Self::Http2(served) => served.as_mut().poll(cx),
        }
    }
}
