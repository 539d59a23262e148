//! Connections that become another protocol's (RFC 9110 §7.8), WebSocket's above all.
//!
//! The request is passed on as it is; if the backend agrees with a 101, the two connections are joined
//! and miffy only carries bytes.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::response::Response;
use futures_util::future::join;
use http::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};
use http::{Version, request};
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::sync::oneshot;
use tracing::debug;

use super::forward::Guard;
use crate::client::Timed;
use crate::experiment::asks_for_upgrade;

/// A connection's bytes in both directions.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A client's connection that has become another protocol's.
type Taken = oneshot::Receiver<Box<dyn Duplex>>;

/// The server's end of a client's wish: where its connection goes once it has the backend's consent.
pub(super) struct Takeover(oneshot::Sender<Box<dyn Duplex>>);

/// The other end, an extension of the request.
#[derive(Clone)]
struct Offer(Arc<Mutex<Option<Taken>>>);

impl Takeover {
    /// Offers the connection of a request that asks for it, to whoever passes it on.
    pub(super) fn offer_to(head: &mut request::Parts) -> Option<Self> {
        // There is none in HTTP/1.0 (RFC 9110 §7.8).
        if head.version != Version::HTTP_11 || !asks_for_upgrade(&head.headers) {
            return None;
        }
        let (sender, taken) = oneshot::channel();
        let offer = Offer(Arc::new(Mutex::new(Some(taken))));
        head.extensions.insert(offer);
        Some(Self(sender))
    }

    /// Gives the connection away.
    pub(super) fn give(self, connection: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        let _unwanted = self.0.send(Box::new(connection));
    }
}

/// A client's wish to upgrade its connection.
pub(super) struct Upgrade {
    client: Taken,
    protocols: Vec<HeaderValue>,
}

impl Upgrade {
    pub(super) fn asked_for(head: &mut request::Parts) -> Option<Self> {
        let Offer(offer) = head.extensions.remove()?;
        let client = offer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()?;
        let protocols = head.headers.get_all(UPGRADE).iter().cloned().collect();
        Some(Self { client, protocols })
    }

    /// Writes the wish into headers that are end to end otherwise.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        for protocol in &self.protocols {
            headers.append(UPGRADE, protocol.clone());
        }
    }

    /// Passes the backend's consent on, and joins the connections once the client has it.
    pub(super) fn accept(self, response: http::Response<Timed>, guard: Guard) -> Response {
        let (head, backend) = response.into_parts();
        tokio::spawn(async move {
            let _guard = guard;
            let (Ok(mut client), Some(mut backend)) = join(self.client, backend.upgraded()).await
            else {
                return debug!("an upgrade was not completed");
            };
            if let Err(error) = copy_bidirectional(&mut client, &mut backend).await {
                debug!(%error, "an upgraded connection broke off");
            }
        });
        Response::from_parts(head, Body::empty())
    }
}
