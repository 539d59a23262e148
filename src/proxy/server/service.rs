//! One request, from its connection to the live path and back.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::response::Response;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue};
use http::{Method, Request, StatusCode, Version};
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

impl HyperService<Request<Incoming>> for ClientService {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let version = request.version();
        self.connection.speaks(version);
        let busy = self.connection.begin();
        let target = request.uri().path_and_query();
        let is_head = request.method() == Method::HEAD;
        if target.is_some_and(|target| target.as_str().len() > self.max_target) {
            self.too_long.increment(1);
            let response = error::URI_TOO_LONG.response();
            return Box::pin(async move { Ok(without_body(is_head, response)) });
        }
        let request = request.map(|body| {
            if body.is_end_stream() {
                Body::empty()
            } else {
                Body::new(Received::new(body, &self.connection))
            }
        });
        let (proxy, leaving) = (self.proxy.clone(), self.leaving.clone());
        Box::pin(async move {
            let response = forward::answer(&proxy, busy, request).await;
            let mut response = without_body(is_head, response);
            if leaving.load(Ordering::Relaxed)
                && version != Version::HTTP_2
                && response.status() != StatusCode::SWITCHING_PROTOCOLS
            {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            Ok(response)
        })
    }
}

/// An answer to HEAD has the headers of one to GET, and nothing behind them (RFC 9110 §9.3.2). A backend's has no body;
/// miffy's own are made without asking, and hyper leaves their body out in HTTP/1.1 only.
fn without_body(is_head: bool, mut response: Response) -> Response {
    if is_head && let Some(length @ 1..) = response.body().size_hint().exact() {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
        *response.body_mut() = Body::empty();
    }
    response
}
