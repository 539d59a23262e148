//! What fails stays where it fails: the candidate's faults at the candidate, the reference's as they are,
//! a client's at that client.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};

use crate::support::backend::Backend;
use crate::support::broker::Broker;
use crate::support::fault::{Fault, Faulty};
use crate::support::metrics;
use crate::support::miffy::Setup;
use crate::support::process::{Running, start};
use crate::support::rude::Rude;
use crate::support::wire::{self, Answer, End};
use crate::support::{PATIENCE, until, within};

/// Larger than the bound of captured bodies.
const LARGE: usize = 2 * 1024 * 1024;

/// A process that runs, and where.
struct Served {
    process: Running,
    address: SocketAddr,
    management: String,
    client: reqwest::Client,
    /// Kept for as long as the process runs.
    _broker: Broker,
}

impl Served {
    fn start(setup: &Setup, broker: Broker, faulty: Option<&Faulty>) -> Self {
        let preload = faulty.and_then(|faulty| faulty.preload.as_deref());
        let environment: Vec<(&str, &str)> = preload
            .iter()
            .map(|library| ("LD_PRELOAD", library.to_str().unwrap()))
            .collect();
        let (process, url) = start(setup, &environment);
        let started = process.stderr.event("started");
        let management = started["management_address"].as_str().unwrap().to_owned();
        Self {
            process,
            address: url.strip_prefix("http://").unwrap().parse().unwrap(),
            management,
            client: crate::support::http_client(),
            _broker: broker,
        }
    }

    async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.management);
        let response = self.client.get(url).send().await.unwrap();
        response.text().await.unwrap()
    }

    /// Waits until nothing is held for anybody any longer.
    async fn at_rest(&self, what: &str) {
        until(&format!("rest after {what}"), || async {
            let text = self.metrics().await;
            let is_zero = |name| metrics::samples(&text, name)[""] == 0;
            let gauges = [
                "miffy_connections",
                "miffy_live_in_flight",
                "miffy_shadow_in_flight",
                "miffy_captured_bytes",
            ];
            gauges.into_iter().all(is_zero).then_some(())
        })
        .await;
    }

    fn stop(&mut self) {
        self.process.signal("TERM");
        assert_eq!(self.process.wait().code(), Some(0));
    }
}

/// Does something for each, some at a time.
async fn for_each<T, F>(items: impl IntoIterator<Item = T>, act: impl Fn(T) -> F)
where
    F: Future<Output = ()> + 'static,
{
    let some = Rc::new(Semaphore::new(4));
    // A broker does not go from thread to thread.
    let here = LocalSet::new();
    let mut running = JoinSet::new();
    for item in items {
        let (some, acting) = (some.clone(), act(item));
        let one = async move {
            let _one = some.acquire().await.unwrap();
            acting.await;
        };
        running.spawn_local_on(one, &here);
    }
    here.run_until(async {
        while let Some(ended) = running.join_next().await {
            ended.unwrap();
        }
    })
    .await;
}

/// A service that answers by the last part of the path, and echoes what it was sent.
async fn service() -> Backend {
    Backend::raw(|mut stream| async move {
        let mut unread = Vec::new();
        loop {
            match wire::request(&unread).unwrap() {
                Some((request, length)) => {
                    unread.drain(..length);
                    if stream.write_all(&answer(&request)).await.is_err() {
                        return;
                    }
                }
                None => {
                    if !stream
                        .read_buf(&mut unread)
                        .await
                        .is_ok_and(|read| read > 0)
                    {
                        return;
                    }
                }
            }
        }
    })
    .await
}

fn answer(request: &wire::Request) -> Vec<u8> {
    let whole = |status: &str, headers: &str, body: &str| {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n");
        let body = if request.method == "HEAD" { "" } else { body };
        format!("{head}{body}").into_bytes()
    };
    match request.target.rsplit('/').next().unwrap() {
        "large" => whole("200 OK", "", &"l".repeat(LARGE)),
        "chunked" => b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
                       5\r\nhello\r\n6\r\n again\r\n0\r\nx-sum: 1\r\n\r\n"
            .to_vec(),
        "none" => b"HTTP/1.1 204 No Content\r\nX-Empty: \r\n\r\n".to_vec(),
        "same" => b"HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n".to_vec(),
        "missing" => whole("404 Nothing Here", "X-Bytes: a\r\n", "missing"),
        "cookies" => whole(
            "200 OK",
            "X: y\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n",
            "{}",
        ),
        _ => {
            // Each connection's own.
            let own = ["connection", "te", "x-shadow-test-role"];
            let sent = request
                .headers
                .iter()
                .filter(|(name, _)| !own.contains(&name.as_str()));
            let sent: Vec<String> = sent
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            let (method, target) = (&request.method, &request.target);
            let sum: u64 = request.body.iter().copied().map(u64::from).sum();
            let length = request.body.len();
            let echo = format!("{method} {target} {sent:?} {length} {sum}");
            whole("200 OK", "X-Service: 1\r\n", &echo)
        }
    }
}

/// What a client says on one connection.
struct Talk {
    requests: Vec<(&'static str, Vec<u8>)>,
    /// All at once, without waiting for answers.
    is_pipelined: bool,
}

/// A request on its way, but for its last line.
fn head(method: &str, target: &str, headers: &str) -> Vec<u8> {
    format!("{method} {target} HTTP/1.1\r\nHost: service.example\r\nX-Own: 1\r\n{headers}")
        .into_bytes()
}

/// Talks of every kind below a path, the requests of all of them, and those too large to be mirrored.
fn talks(path: &str) -> (Vec<Talk>, u64, u64) {
    let ask = |method: &'static str, last: &str, headers: &str, body: &[u8]| {
        let head = head(method, &format!("{path}/{last}"), headers);
        (method, [&head[..], b"\r\n", body].concat())
    };
    let get = |last: &str| ask("GET", last, "", b"");
    let large = vec![b'u'; LARGE];
    let length = format!("Content-Length: {LARGE}\r\n");
    let chunked = "Transfer-Encoding: chunked\r\n";
    let alone = [
        get("echo?q=%2F&r=a+b"),
        ask("HEAD", "echo", "", b""),
        ask("DELETE", "echo", "", b""),
        ask("POST", "echo", "Content-Length: 5\r\n", b"hello"),
        ask("PUT", "echo", "Content-Length: 0\r\n", b""),
        ask(
            "POST",
            "echo",
            chunked,
            b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
        ),
        ask("POST", "echo", &length, &large),
        get("large"),
        ask("HEAD", "large", "", b""),
        ask("GET", "chunked", "TE: trailers\r\nConnection: te\r\n", b""),
        get("none"),
        get("same"),
        get("missing"),
        get("cookies"),
    ];
    let mut talks: Vec<Talk> = alone
        .map(|request| Talk {
            requests: vec![request],
            is_pipelined: false,
        })
        .into();
    for is_pipelined in [false, true] {
        talks.push(Talk {
            requests: vec![
                get("1"),
                ask("POST", "2", "Content-Length: 5\r\n", b"hello"),
                get("none"),
                ask("HEAD", "3", "", b""),
                ask("POST", "4", chunked, b"5\r\nhello\r\n0\r\n\r\n"),
                get("cookies"),
            ],
            is_pipelined,
        });
    }
    let total = talks.iter().map(|talk| talk.requests.len()).sum::<usize>();
    (talks, u64::try_from(total).unwrap(), 1)
}

/// Holds a talk with a server; gives all answers.
async fn hold(talk: &Talk, server: SocketAddr) -> Vec<Answer> {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let methods: Vec<&str> = talk.requests.iter().map(|(method, _)| *method).collect();
    let mut received = Vec::new();
    if talk.is_pipelined {
        let all: Vec<u8> = talk
            .requests
            .iter()
            .flat_map(|(_, bytes)| bytes.clone())
            .collect();
        stream.write_all(&all).await.unwrap();
        return read_answers(&mut stream, &mut received, &methods).await;
    }
    let mut answers = Vec::new();
    for (at, (_, bytes)) in talk.requests.iter().enumerate() {
        stream.write_all(bytes).await.unwrap();
        answers = read_answers(&mut stream, &mut received, &methods[..=at]).await;
    }
    answers
}

/// Reads until there is a whole answer to each request, or no more will come.
async fn read_answers(
    stream: &mut TcpStream,
    received: &mut Vec<u8>,
    methods: &[&str],
) -> Vec<Answer> {
    loop {
        let answers = wire::answers(received, methods);
        if answers.len() == methods.len() && answers.iter().all(|answer| answer.end == End::Whole) {
            return answers;
        }
        received.reserve(1024 * 1024);
        if !stream.read_buf(received).await.is_ok_and(|read| read > 0) {
            return answers;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_candidate_does_clients_get_the_references_bytes() {
    for_each(Fault::ALL, |fault| async move {
        let broker = Broker::start();
        let faulty = Faulty::start(fault).await;
        let reference = service().await;
        let setup = Setup::of(&reference, &faulty.url, &broker)
            .more("shutdown_timeout = \"2s\"")
            .tables(&format!(
                "[timeouts.candidate]\nexchange = \"{}ms\"\n\
                 [shadow.breaker]\nfailures = \"off\"\n",
                if Seen::of(fault).is_endless() {
                    500
                } else {
                    PATIENCE.as_millis()
                }
            ));
        let mut miffy = Served::start(&setup, broker, Some(&faulty));
        let (talks, total, too_large) = talks("/x");
        for talk in &talks {
            let direct = within("the answers", hold(talk, reference.address)).await;
            let through = within(fault.name(), hold(talk, miffy.address)).await;
            assert_eq!(direct.len(), talk.requests.len());
            assert!(
                direct == through,
                "{fault:?}: {:?}",
                through
                    .iter()
                    .map(|answer| &answer.head)
                    .collect::<Vec<_>>()
            );
        }
        let outcomes = until("the outcomes", || async {
            let outcomes = metrics::outcomes(&miffy.metrics().await);
            (outcomes.values().sum::<u64>() >= total).then_some(outcomes)
        })
        .await;
        assert_eq!(
            outcomes.values().sum::<u64>(),
            total,
            "{fault:?}: {outcomes:?}"
        );
        assert_eq!(outcomes["skipped.request_too_large"], too_large);
        for outcome in outcomes.keys() {
            let is_right =
                is_to_be_expected(fault, outcome) || outcome == "skipped.request_too_large";
            assert!(is_right, "{fault:?}: {outcomes:?}");
        }
        miffy.at_rest(fault.name()).await;
        miffy.stop();
    })
    .await;
}

/// Whether a request that was mirrored may end so; never as equal.
fn is_to_be_expected(fault: Fault, outcome: &str) -> bool {
    const BESIDE: &str = "candidate_failed.protocol";
    let is_one_of = |outcomes: &[&str]| outcomes.contains(&outcome);
    match Seen::of(fault) {
        // Without a body, all of the answer has come.
        Seen::Same => outcome == "different",
        // What it sends of a body behind the answer to a HEAD is no answer to the next request.
        Seen::Cut => is_one_of(&["candidate_failed.body", BESIDE, "different"]),
        Seen::Unending => is_one_of(&["candidate_failed.timeout", BESIDE, "different"]),
        Seen::Gateway(504) => outcome == "candidate_failed.timeout",
        Seen::Gateway(_) => match fault {
            Fault::Refuse | Fault::TlsPlain | Fault::TlsAlert | Fault::TlsGarbage => {
                outcome == "candidate_failed.connect"
            }
            _ => outcome == "candidate_failed.protocol",
        },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_client_does_the_next_is_served() {
    let broker = Broker::start();
    let (reference, candidate) = (service().await, service().await);
    let setup = Setup::of(&reference, &candidate, &broker);
    let mut miffy = Served::start(&setup, broker, None);
    for path in ["/x/large", "/outside/large"] {
        for rude in Rude::ALL {
            within(&format!("{rude:?}"), rude.visit(miffy.address, path)).await;
            for next in ["/x/next", "/outside/next"] {
                let url = format!("http://{}{next}", miffy.address);
                let request = miffy.client.get(url).header("connection", "close");
                let response = within("the next answer", request.send()).await.unwrap();
                assert_eq!(response.status(), 200, "after {rude:?}");
            }
            miffy.at_rest(&format!("{rude:?}")).await;
        }
    }
    let text = miffy.metrics().await;
    let matched = metrics::samples(&text, "miffy_requests_total")["role=\"reference\""];
    assert_eq!(metrics::outcomes(&text).values().sum::<u64>(), matched);
    miffy.stop();
}

/// What a client sees of a reference with a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// miffy answers for it with this status.
    Gateway(u16),
    /// The answer, as it is.
    Same,
    /// The answer's start, and no end that could be taken for one.
    Cut,
    /// The answer's start, and then nothing, or more and more.
    Unending,
}

impl Seen {
    fn of(fault: Fault) -> Self {
        match fault {
            Fault::Refuse
            | Fault::CloseWithoutAnswer
            | Fault::ResetWithoutAnswer
            | Fault::Garbage
            | Fault::EndlessHeaders
            | Fault::EndlessHeader
            | Fault::UnaskedUpgrade
            | Fault::TlsPlain
            | Fault::TlsAlert
            | Fault::TlsGarbage => Self::Gateway(502),
            Fault::ConnectHang
            | Fault::SlowName
            | Fault::AcceptAndHang
            | Fault::Trickle
            | Fault::InformationalEndless
            | Fault::TlsHang => Self::Gateway(504),
            Fault::LengthTooShort | Fault::HugeHeader | Fault::InformationalFlood => Self::Same,
            Fault::ResetMidBody
            | Fault::ResetMidStream
            | Fault::ChunkedCut
            | Fault::ChunkGarbage
            | Fault::LengthTooLong => Self::Cut,
            Fault::HangAfterHead | Fault::TrickleBody | Fault::EndlessBody => Self::Unending,
        }
    }

    /// Whether nothing but a limit of time ends it. All else gets as much time as a busy machine takes.
    fn is_endless(self) -> bool {
        matches!(self, Self::Gateway(504) | Self::Unending)
    }
}

/// What came in answer to a request: all of it, or as much as is to be expected.
#[derive(Debug)]
struct Received {
    bytes: Vec<u8>,
    /// How the connection ended, if it did.
    end: Option<std::io::Result<()>>,
}

/// Asks, and reads to the end, or if there is none until a head and a while.
async fn ask(server: SocketAddr, request: &[u8], is_unending: bool) -> Received {
    let mut stream = TcpStream::connect(server).await.unwrap();
    // It may be answered before it is read.
    let _refused = stream.write_all(request).await;
    let mut bytes = Vec::new();
    if !is_unending {
        let end = within("the answer's end", stream.read_to_end(&mut bytes)).await;
        let end = Some(end.map(drop));
        return Received { bytes, end };
    }
    let head = async {
        while !bytes.windows(4).any(|it| it == b"\r\n\r\n") {
            if !stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
                break;
            }
        }
    };
    within("the answer's head", head).await;
    let rest = async {
        loop {
            match stream.read_buf(&mut bytes).await {
                Ok(0) => return Ok(()),
                Ok(_) if bytes.len() > LARGE => std::future::pending().await,
                Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
    };
    // That it does not end can't be waited for.
    let end = tokio::time::timeout(Duration::from_secs(1), rest).await;
    let end = end.ok();
    Received { bytes, end }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_reference_does_clients_see_as_if_they_had_asked_it() {
    for_each(Fault::ALL, |fault| async move {
        let broker = Broker::start();
        let faulty = Faulty::start(fault).await;
        let well = service().await;
        let (url, fine) = (&faulty.url, well.url());
        let routes = format!(
            r#"{{ path = "/x/{{*rest}}", name = "x" }},
               {{ path = "/well/{{*rest}}", name = "well", reference = {{
                   url = "{fine}", timeouts = {{ connect = "1m", first_byte = "off" }} }} }}"#
        );
        let seen = Seen::of(fault);
        let limits = if seen.is_endless() {
            "connect = \"300ms\"\nfirst_byte = \"3s\"\n"
        } else {
            ""
        };
        let setup = Setup::of(url, &fine, &broker)
            .routes(&routes)
            .more("shutdown_timeout = \"2s\"")
            .tables(&format!("[timeouts.reference]\n{limits}"));
        let mut miffy = Served::start(&setup, broker, Some(&faulty));
        for path in ["/x/1", "/outside"] {
            for (method, body) in [("GET", ""), ("POST", "hello")] {
                let length = body.len();
                let headers =
                    format!("Connection: close\r\nContent-Length: {length}\r\n\r\n{body}");
                let request = head(method, path, &headers);
                let what = format!("{fault:?}, {method} {path}");
                check_seen(&what, seen, &miffy, url, method, &request).await;
                let url = format!("http://{}/well/1", miffy.address);
                let request = miffy.client.get(url).header("connection", "close");
                let next = within("the next answer", request.send()).await.unwrap();
                assert_eq!(next.status(), 200, "after {what}");
            }
        }
        miffy.at_rest(fault.name()).await;
        let text = miffy.metrics().await;
        let matched = metrics::samples(&text, "miffy_requests_total")["role=\"reference\""];
        let outcomes = metrics::outcomes(&text);
        assert_eq!(
            outcomes.values().sum::<u64>(),
            matched,
            "{fault:?}: {outcomes:?}"
        );
        // Those of the other route are the others.
        assert_eq!(outcomes["equal"], 4, "{fault:?}: {outcomes:?}");
        miffy.stop();
    })
    .await;
}

async fn check_seen(
    what: &str,
    seen: Seen,
    miffy: &Served,
    faulty: &str,
    method: &'static str,
    request: &[u8],
) {
    let is_unending = seen == Seen::Unending;
    let received = ask(miffy.address, request, is_unending).await;
    let text = wire::latin1(&received.bytes[..received.bytes.len().min(200)]);
    let answers = wire::answers(&received.bytes, &[method]);
    let [through] = &answers[..] else {
        panic!("{what}: no answer but {text}");
    };
    if let Seen::Gateway(status) = seen {
        assert_eq!(
            (through.status(), through.end),
            (status, End::Whole),
            "{what}: {text}"
        );
        return;
    }
    let server = faulty.strip_prefix("http://").unwrap().parse().unwrap();
    let direct = if seen == Seen::Same {
        // Its connection stays open.
        let requests = vec![(method, request.to_vec())];
        let talk = Talk {
            requests,
            is_pipelined: false,
        };
        within(what, hold(&talk, server)).await.remove(0)
    } else {
        let direct = ask(server, request, is_unending).await;
        wire::answers(&direct.bytes, &[method]).remove(0)
    };
    // A body without a length comes in chunks.
    let head = |answer: &Answer| answer.head.replace("\ntransfer-encoding: chunked", "");
    assert_eq!(head(through), head(&direct), "{what}");
    match seen {
        Seen::Same => {
            assert_eq!(through.body, direct.body, "{what}");
            assert_eq!(
                (through.end, direct.end),
                (End::Whole, End::Whole),
                "{what}: {text}"
            );
        }
        Seen::Cut => {
            assert!(direct.body.starts_with(&through.body), "{what}");
            assert_eq!(through.end, End::Cut, "{what}: {text}");
        }
        Seen::Gateway(_) | Seen::Unending => {
            let length = direct.body.len().min(through.body.len());
            assert_eq!(direct.body[..length], through.body[..length], "{what}");
            assert!(
                received.end.is_none(),
                "{what}: it ended: {:?}",
                received.end
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_an_answer_is_not_the_next_one() {
    let broker = Broker::start();
    let faulty = Faulty::start(Fault::LengthTooShort).await;
    let setup = Setup::of(&faulty.url, &faulty.url, &broker);
    let mut miffy = Served::start(&setup, broker, None);
    for path in ["/x/1", "/outside"] {
        for _ in 0..50 {
            let url = format!("http://{}{path}", miffy.address);
            let request = miffy.client.get(url).header("connection", "close");
            let response = within("the answer", request.send()).await.unwrap();
            assert_eq!(response.text().await.unwrap(), "only");
        }
    }
    miffy.at_rest("it").await;
    let outcomes = metrics::outcomes(&miffy.metrics().await);
    assert_eq!(outcomes, [("equal".to_owned(), 50)].into());
    miffy.stop();
}

/// It is read as long as it has more to say, but not by the threads that answer clients.
#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_floods_leaves_the_processors_to_clients() {
    let broker = Broker::start();
    let faulty = Faulty::start(Fault::InformationalEndless).await;
    let reference = service().await;
    let setup = Setup::of(&reference, &faulty.url, &broker)
        .more("shutdown_timeout = \"2s\"")
        .tables(
            "[timeouts.candidate]\nexchange = \"300ms\"\n\
             [shadow.breaker]\nfailures = \"off\"\n",
        );
    let mut miffy = Served::start(&setup, broker, Some(&faulty));
    within("a hundred answers", async {
        for _ in 0..100 {
            let url = format!("http://{}/x/1", miffy.address);
            let response = miffy.client.get(url).send().await.unwrap();
            assert_eq!(response.status(), 200);
        }
    })
    .await;
    miffy.stop();
}

/// Without chunks, only a reset tells an end from a cut (RFC 9112 §8).
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_is_seen_by_clients_that_know_no_chunks() {
    for fault in [
        Fault::ChunkedCut,
        Fault::ChunkGarbage,
        Fault::ResetMidStream,
    ] {
        let broker = Broker::start();
        let faulty = Faulty::start(fault).await;
        let setup = Setup::of(&faulty.url, &faulty.url, &broker);
        let mut miffy = Served::start(&setup, broker, None);
        for path in ["/x/1", "/outside"] {
            let request = format!("GET {path} HTTP/1.0\r\nHost: a\r\n\r\n");
            let received = ask(miffy.address, request.as_bytes(), false).await;
            let text = wire::latin1(&received.bytes);
            assert!(received.end.unwrap().is_err(), "{fault:?}, {path}: {text}");
        }
        miffy.stop();
    }
}
