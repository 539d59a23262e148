//! Backends that do what a test wants, and tell what they were sent.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use super::until;

/// A request that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Arrived {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Arrived {
    pub(crate) fn role(&self) -> &str {
        self.headers["x-shadow-test-role"].to_str().unwrap()
    }
}

/// A backend on a free port of its own, until it is dropped.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    server: JoinHandle<()>,
}

impl Backend {
    /// Answers each request with what `answer` makes of it.
    pub(crate) async fn start<F, Fut, R>(answer: F) -> Self
    where
        F: Fn(Arrived) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = R> + Send + 'static,
        R: IntoResponse + 'static,
    {
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let seen = arrived.clone();
        let handler = move |request: Request| {
            let (answer, seen) = (answer.clone(), seen.clone());
            async move {
                let (head, body) = request.into_parts();
                let request = Arrived {
                    method: head.method,
                    target: head.uri.to_string(),
                    headers: head.headers,
                    body: to_bytes(body, usize::MAX).await.unwrap_or_default(),
                };
                seen.lock().unwrap().push(request.clone());
                answer(request).await.into_response()
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            axum::serve(listener, Router::new().fallback(handler))
                .await
                .unwrap();
        });
        Self {
            address,
            arrived,
            server,
        }
    }

    /// Gives every connection to `serve`, for what no HTTP server would do.
    pub(crate) async fn raw<F, Fut>(serve: F) -> Self
    where
        F: Fn(TcpStream) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream));
            }
        });
        Self {
            address,
            arrived: Arc::default(),
            server,
        }
    }

    /// Reads each request's head, and answers with these bytes and the end of the connection.
    pub(crate) async fn answering(bytes: &'static [u8]) -> Self {
        Self::raw(move |mut stream| async move {
            read_head(&mut stream).await;
            let _gone = stream.write_all(bytes).await;
        })
        .await
    }

    /// Reads each connection's first head, answers with these bytes, and leaves the connection open.
    pub(crate) async fn stalling(bytes: &'static [u8]) -> Self {
        Self::raw(move |mut stream| async move {
            read_head(&mut stream).await;
            let _gone = stream.write_all(bytes).await;
            std::future::pending::<()>().await;
        })
        .await
    }

    /// Reads each request's head, and never answers.
    pub(crate) async fn hanging() -> Self {
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let seen = arrived.clone();
        let mut backend = Self::raw(move |mut stream| {
            let seen = seen.clone();
            async move {
                let target = read_head(&mut stream).await;
                seen.lock().unwrap().push(Arrived {
                    method: Method::GET,
                    target,
                    headers: HeaderMap::new(),
                    body: Bytes::new(),
                });
                std::future::pending::<()>().await;
            }
        })
        .await;
        backend.arrived = arrived;
        backend
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far.
    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }

    /// Waits for the first request.
    pub(crate) async fn first(&self) -> Arrived {
        until("a request", || async { self.arrived().first().cloned() }).await
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url())
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Two backends that never agree.
pub(crate) async fn disagreeing() -> (Backend, Backend) {
    (
        Backend::start(|_| async { json(r#"{"n":1}"#) }).await,
        Backend::start(|_| async { json(r#"{"n":2}"#) }).await,
    )
}

/// An address where nothing listens.
pub(crate) fn nobody() -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    // Bound for as long as the tests run, so that nobody else gets to listen there.
    std::mem::forget(socket);
    format!("http://{address}")
}

/// Reads up to the empty line behind a message's head, which it gives without the line.
pub(crate) async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    head.iter().map(|byte| char::from(*byte)).collect()
}

/// A response with this status, these headers and this body.
pub(crate) fn response(
    status: u16,
    headers: &[(&'static str, &'static str)],
    body: impl Into<Body>,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        response.headers_mut().append(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    response
}

/// A JSON response.
pub(crate) fn json(body: impl Into<Body>) -> Response {
    response(200, &[("content-type", "application/json")], body)
}
