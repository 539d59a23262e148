//! Names to addresses, on threads that a side has to itself.
//!
//! The system's resolver blocks its thread, at worst for as long as name servers stay silent, and a
//! limit on the time to connect does not end that. On threads shared by both sides, a candidate whose
//! name does not resolve would end up occupying them all.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use hyper_util::client::legacy::connect::dns::Name;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tower_service::Service;

/// Look-ups of one side at a time. The runtime has many times as many threads for blocking calls.
const MAX_LOOKUPS: usize = 32;

/// The system's resolver, for one side.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    /// Taken from the start of a look-up to its real end.
    threads: Arc<Semaphore>,
}

impl Resolver {
    pub(super) fn new() -> Self {
        Self {
            threads: Arc::new(Semaphore::new(MAX_LOOKUPS)),
        }
    }
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let threads = self.threads.clone();
        Box::pin(async move {
            let thread = threads.acquire_owned().await.map_err(io::Error::other)?;
            let looking_up = spawn_blocking(move || {
                let found = (name.as_str(), 0).to_socket_addrs();
                drop(thread);
                found
            });
            looking_up.await.map_err(io::Error::other)?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_look_up_waits_for_a_thread_of_its_side() {
        let mut resolver = Resolver::new();
        let lookups = u32::try_from(MAX_LOOKUPS).expect("a small number");
        let threads = resolver.threads.clone();
        let busy = threads.try_acquire_many(lookups).expect("all are free");
        let mut looking_up = resolver.call("127.0.0.1".parse().expect("a name"));
        tokio::select! {
            biased;
            _ = &mut looking_up => panic!("there is no thread for it"),
            () = tokio::task::yield_now() => {}
        }
        drop(busy);
        assert!(looking_up.await.is_ok());
        assert_eq!(resolver.threads.available_permits(), MAX_LOOKUPS);
    }
}
