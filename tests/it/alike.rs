//! Whatever clients send, backends understand what miffy understood: of random bytes that are requests, nearly, none
//! arrives that hyper does not find in them, and what arrives can be read in one way.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use fastrand::Rng;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::smuggling::Scene;
use crate::support::backend::Backend;
use crate::support::wire::latin1;
use crate::support::within;

/// The generator that miffy's own reading is tested with.
#[path = "../../src/http1/against_hyper/random.rs"]
#[expect(dead_code, reason = "there are random responses as well")]
mod random;

/// About how large a head with a very long line is.
const MAX_BYTES: usize = 16 * 1024;

const CASES: u32 = 500;

/// Sends these pieces on a connection of their own, and waits for its end.
async fn send(address: SocketAddr, pieces: &[Bytes]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut from, mut to) = stream.split();
    let sent = async {
        for piece in pieces {
            if to.write_all(piece).await.is_err() {
                return;
            }
        }
        let _gone = to.shutdown().await;
    };
    let mut answers = Vec::new();
    let _end = tokio::join!(sent, from.read_to_end(&mut answers));
}

/// These requests with one host each, without which none arrives.
fn with_hosts(bytes: &[u8]) -> Vec<u8> {
    let text = latin1(bytes).replace("Host: a", "X: a");
    let text = text.replace("HTTP/1.1\r\n", "HTTP/1.1\r\nHost: a\r\n");
    let bytes = text.chars().map(|char| u8::try_from(char).unwrap());
    bytes.collect()
}

/// What hyper finds, told as strict backends tell of it.
async fn reader() -> (Backend, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noting = seen.clone();
    let backend = Backend::raw(move |stream| {
        let noting = noting.clone();
        async move {
            let service = service_fn(|request: Request<Incoming>| note(request, &noting));
            let mut builder = Builder::new();
            // It is not to forget what was sent before the end.
            builder.half_close(true);
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            let _malformed = connection.await;
        }
    });
    (backend.await, seen)
}

async fn note(
    request: Request<Incoming>,
    noting: &Mutex<Vec<String>>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query();
    let target = target.map_or("/", |target| target.as_str());
    if let Ok(body) = body.collect().await {
        let [target, body] = [target.as_bytes(), &body.to_bytes()].map(latin1);
        let told = format!("{} {target} {body}", head.method);
        noting.lock().unwrap().push(told);
    }
    Ok(Response::default())
}

/// The first of `seen` that does not follow in `sent` behind those before it. Trailers stand behind a body.
fn unfounded<'s>(seen: &'s [String], sent: &[String]) -> Option<&'s String> {
    let mut sent = sent.iter();
    let is_like = |seen: &str, sent: &str| match seen.strip_prefix(sent) {
        Some(trailers) => trailers.is_empty() || trailers.starts_with("\r\n"),
        None => false,
    };
    seen.iter()
        .find(|seen| !sent.any(|sent| is_like(seen, sent)))
}

#[tokio::test]
async fn backends_are_sent_only_what_was_asked_for() {
    let (hyper, sent) = reader().await;
    let all = r#"{ path = "/" }, { path = "/{*rest}" }"#;
    let scene = Scene::of(|setup| setup.routes(all)).await;
    let mut random = Rng::with_seed(7);
    let (mut understood, mut arrived) = (0, 0);
    for _ in 0..CASES {
        let mut bytes = random::requests(&mut random);
        if random.u8(..4) > 0 {
            bytes = with_hosts(&bytes);
        }
        random::mutate(&mut random, &mut bytes);
        let pieces = random::cut(&mut random, &bytes);
        within("hyper", send(hyper.address, &pieces)).await;
        let sent = std::mem::take(&mut *sent.lock().unwrap());
        within("miffy", send(scene.miffy.address, &pieces)).await;
        let [reference, candidate] = scene.settled().await;
        for (role, seen) in [("reference", &reference), ("candidate", &candidate)] {
            let bytes = bytes.escape_ascii();
            assert_eq!(seen.ambiguous, [""; 0], "{role}: {bytes}");
            let unfounded = unfounded(&seen.whole, &sent);
            assert_eq!(unfounded, None, "{role}: {bytes}\nhyper: {sent:?}");
        }
        understood += sent.len();
        arrived += reference.whole.len();
    }
    // Some of it has no host, or a coding that miffy does not know.
    assert!(
        understood > 100 && 2 * arrived > understood,
        "{arrived} of {understood}"
    );
    scene.miffy.stop().await;
}
