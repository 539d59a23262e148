//! Connections that become another protocol's (RFC 9110 §7.8), WebSocket's above all.
//!
//! The request is passed on as it is; if the backend agrees with a 101, the two connections are joined
//! and miffy only carries bytes.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};
use hyper::upgrade::{OnUpgrade, on};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tracing::debug;

use super::forward::Guard;
use crate::client::Timed;
use crate::experiment::asks_for_upgrade;

/// A client's wish to upgrade its connection.
pub(super) struct Upgrade {
    client: OnUpgrade,
    protocols: Vec<HeaderValue>,
}

impl Upgrade {
    pub(super) fn asked_for(request: &mut Request) -> Option<Self> {
        if !asks_for_upgrade(request.headers()) {
            return None;
        }
        let protocols = request.headers().get_all(UPGRADE).iter().cloned().collect();
        let client = on(request);
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
    pub(super) fn accept(self, mut response: http::Response<Timed>, guard: Guard) -> Response {
        let backend = on(&mut response);
        tokio::spawn(async move {
            let _guard = guard;
            let (client, backend) = match tokio::try_join!(self.client, backend) {
                Ok(connections) => connections,
                Err(error) => return debug!(%error, "an upgrade was not completed"),
            };
            let ended =
                copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(backend)).await;
            if let Err(error) = ended {
                debug!(%error, "an upgraded connection broke off");
            }
        });
        response.map(|_empty| Body::empty())
    }
}
