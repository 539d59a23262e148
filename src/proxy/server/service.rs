//! One request, from its connection to the live path and back.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::response::Response;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue};
use http::{Method, Request, StatusCode, Version, request};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::service::Service as HyperService;
use metrics::Counter;

use super::super::connection::{ClientConnection, Received};
use super::super::{Proxy, error, forward};

/// What is done with each request of a connection, whatever it is.
pub(super) struct ClientService {
    pub(super) proxy: Arc<Proxy>,
    pub(super) connection: Arc<ClientConnection>,
    pub(super) leaving: Arc<AtomicBool>,
    pub(super) max_target: usize,
    pub(super) too_long: Counter,
}

impl ClientService {
    /// Answers a request of HTTP/1.1, or one of HTTP/2.
    pub(super) async fn answer(&self, head: request::Parts, body: Body) -> Response {
        let version = head.version;
        self.connection.speaks(version);
        let busy = self.connection.begin();
        let target = head.uri.path_and_query();
        let is_head = head.method == Method::HEAD;
        if target.is_some_and(|target| target.as_str().len() > self.max_target) {
            self.too_long.increment(1);
            return without_body(is_head, error::URI_TOO_LONG.response());
        }
        let response = forward::answer(&self.proxy, busy, head, body).await;
        let mut response = without_body(is_head, response);
        if self.leaving.load(Ordering::Relaxed)
            && version != Version::HTTP_2
            && response.status() != StatusCode::SWITCHING_PROTOCOLS
        {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        response
    }
}

/// Requests of HTTP/2.
#[derive(Clone)]
pub(super) struct Http2Service(pub(super) Arc<ClientService>);

impl HyperService<Request<Incoming>> for Http2Service {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let service = self.0.clone();
        let (head, body) = request.into_parts();
        let body = if body.is_end_stream() {
            Body::empty()
        } else {
            Body::new(Received::new(body, &service.connection))
        };
        Box::pin(async move { Ok(service.answer(head, body).await) })
    }
}

/// An answer to HEAD has the headers of one to GET, and nothing behind them (RFC 9110 §9.3.2). A backend's has no body;
/// miffy's own are made without asking.
fn without_body(is_head: bool, mut response: Response) -> Response {
    if is_head && let Some(length @ 1..) = response.body().size_hint().exact() {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
        *response.body_mut() = Body::empty();
    }
    response
}
