//! A client on one connection.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::wire::{self, Answer, End};
use super::within;

/// Asks one request after the other on one connection, which stays on one thread of miffy with that thread's connections
/// to backends. A pool of connections, as other clients have, may take another one for any request.
pub(crate) struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = within("a connection", TcpStream::connect(address)).await;
        Self {
            stream: stream.unwrap(),
            received: Vec::new(),
        }
    }

    /// What is answered to this.
    pub(crate) async fn ask(&mut self, method: &str, target: &str) -> Answer {
        self.ask_as("client.example", method, target).await
    }

    /// The same, of this host.
    pub(crate) async fn ask_as(&mut self, host: &str, method: &str, target: &str) -> Answer {
        let line = format!("{method} {target} HTTP/1.1\r\n");
        let request = format!("{line}Host: {host}\r\nContent-Length: 0\r\n\r\n");
        let sending = self.stream.write_all(request.as_bytes());
        within("the request to be sent", sending).await.unwrap();
        within("the answer", async {
            loop {
                let mut answers = wire::answers(&self.received, &[method]);
                if answers.first().is_some_and(|it| it.end == End::Whole) {
                    self.received.clear();
                    return answers.remove(0);
                }
                let read = self.stream.read_buf(&mut self.received).await.unwrap();
                assert!(read > 0, "it ends: {}", wire::latin1(&self.received));
            }
        })
        .await
    }
}
