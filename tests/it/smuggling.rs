//! Requests that two readers could take apart differently: refused, or sent on so that nobody can.
//!
//! The backends read strictly. What arrives there has one framing and is what miffy took it for, or it
//! does not arrive. The vectors are those of HTTP/1.1 (RFC 9112 §11.2) and of its translation from HTTP/2
//! (RFC 9113 §8.2 and §10.3).

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::backend::Backend;
use crate::support::broker::Broker;
use crate::support::miffy::{BOTH_PATHS, Miffy, Setup};
use crate::support::wire::{latin1, request};
use crate::support::{until, within};

/// Follows what is tested on the same connection.
const LAST: &[u8] = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// What has to become of a client's bytes.
#[derive(Debug, Clone, Copy)]
enum Expected {
    /// A status that says so, and the connection's end. No request arrives whole.
    Refused,
    /// A status that says so, and nothing of it arrives. The connection may go on: it is clear where.
    Declined,
    /// These requests arrive, each `METHOD target body`, and the connection goes on.
    Passed(&'static [&'static str]),
    /// These requests arrive, and the connection ends.
    PassedLast(&'static [&'static str]),
    /// Either [`Refused`](Self::Refused), or these requests arrive.
    RefusedOrPassed(&'static [&'static str]),
}

use Expected::{Declined, Passed, PassedLast, Refused, RefusedOrPassed};

/// Its name, a client's bytes where `PATH` stands for the path, and what has to become of them.
type Case = (&'static str, &'static [u8], Expected);

/// What backends were sent.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    pub(crate) whole: Vec<String>,
    /// What no backend should be sent.
    pub(crate) ambiguous: Vec<String>,
}

/// A backend that reads strictly, and answers what it has read.
async fn strict() -> (Backend, Arc<Mutex<Seen>>) {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let noting = seen.clone();
    let backend = Backend::raw(move |stream| read_strictly(stream, noting.clone())).await;
    (backend, seen)
}

async fn read_strictly(mut stream: TcpStream, seen: Arc<Mutex<Seen>>) {
    let mut unread = Vec::new();
    let mut wants_body = false;
    loop {
        match request(&unread) {
            Ok(Some((request, length))) => {
                unread.drain(..length);
                wants_body = false;
                let (method, target) = (&request.method, &request.target);
                let body = latin1(&request.body);
                let whole = format!("{method} {target} {body}");
                seen.lock().unwrap().whole.push(whole);
                let answer: &[u8] = if method == "HEAD" {
                    b"HTTP/1.1 200 OK\r\n\r\n"
                } else {
                    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
                };
                let _gone = stream.write_all(answer).await;
            }
            Ok(None) => {
                if !wants_body && is_asked_for_body(&unread) {
                    wants_body = true;
                    let _gone = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
                }
                match stream.read_buf(&mut unread).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
            }
            Err(why) => {
                let bytes = unread.escape_ascii();
                let ambiguous = format!("{why}: {bytes}");
                seen.lock().unwrap().ambiguous.push(ambiguous);
                return;
            }
        }
    }
}

/// Whether a whole head waits for 100 (RFC 9110 §10.1.1).
fn is_asked_for_body(unread: &[u8]) -> bool {
    let unread = latin1(unread).to_ascii_lowercase();
    let head = unread.split_once("\r\n\r\n");
    head.is_some_and(|(head, _)| head.contains("\nexpect: 100-continue"))
}

/// miffy between strict backends.
pub(crate) struct Scene {
    pub(crate) miffy: Miffy,
    reference: Arc<Mutex<Seen>>,
    candidate: Arc<Mutex<Seen>>,
    _backends: [Backend; 2],
}

impl Scene {
    async fn start() -> Self {
        Self::of(|setup| setup).await
    }

    /// With a configuration that differs from the usual one.
    pub(crate) async fn of(configure: impl FnOnce(Setup) -> Setup) -> Self {
        let (first, reference) = strict().await;
        let (second, candidate) = strict().await;
        let setup = Setup::of(first.url(), second.url(), &Broker::start());
        let miffy = configure(setup).start();
        Self {
            miffy,
            reference,
            candidate,
            _backends: [first, second],
        }
    }

    /// Waits until nothing is on its way, and gives what both sides were sent meanwhile.
    pub(crate) async fn settled(&self) -> [Seen; 2] {
        until("everything to be over", || async {
            let matched = self.miffy.metric("miffy_requests_total").await["role=\"reference\""];
            let ended: u64 = self.miffy.outcomes_so_far().await.values().sum();
            let running = self.miffy.metric("miffy_live_in_flight").await[""];
            (matched == ended && running == 0).then_some(())
        })
        .await;
        [&self.reference, &self.candidate].map(|seen| std::mem::take(&mut *seen.lock().unwrap()))
    }

    /// What speaks against miffy in a case.
    async fn objections(&self, path: &str, (name, bytes, expected): Case) -> Vec<String> {
        let sent = latin1(bytes).replace("PATH", path);
        let sent: Vec<u8> = sent
            .chars()
            .map(|char| u8::try_from(char).unwrap())
            .collect();
        let answer = talk(&self.miffy, name, &sent).await;
        let [mut reference, candidate] = self.settled().await;
        let next = self.miffy.get("/next").await.status();
        let [after, _] = self.settled().await;

        let mut objections = Vec::new();
        let mut object = |what: String| objections.push(format!("{name} at {path}: {what}"));
        if next != 200 || after.whole != ["GET /next "] {
            object(format!("the next client: {next}, {after:?}"));
        }
        for seen in [&reference, &candidate] {
            if !seen.ambiguous.is_empty() {
                object(format!("ambiguous: {:#?}", seen.ambiguous));
            }
        }
        let goes_on = reference
            .whole
            .pop_if(|last| last == "GET /last ")
            .is_some();
        let in_experiment =
            |request: &&String| request.split(' ').nth(1).unwrap().starts_with("/x/");
        let mirrored: Vec<&String> = reference.whole.iter().filter(in_experiment).collect();
        let mut twice = candidate.whole.iter().collect::<Vec<_>>();
        twice.sort();
        let mut once = mirrored.clone();
        once.sort();
        if once != twice {
            object(format!("mirrored: {candidate:?}"));
        }
        let status: u16 = answer
            .get(9..12)
            .map_or(0, |status| status.parse().unwrap());
        let is_declined = reference.whole.is_empty() && [400, 501].contains(&status);
        let is_refused = reference.whole.is_empty() && !goes_on && (400..=505).contains(&status);
        let is_passed = |requests: &[&str]| {
            let requests = requests.iter().map(|request| request.replace("PATH", path));
            status == 200 && requests.eq(reference.whole.iter().cloned())
        };
        let is_right = match expected {
            Refused => is_refused,
            Declined => is_declined,
            Passed(requests) => is_passed(requests) && goes_on,
            PassedLast(requests) => is_passed(requests) && !goes_on,
            RefusedOrPassed(requests) => is_refused || is_passed(requests),
        };
        if !is_right {
            let arrived = reference.whole;
            object(format!(
                "{expected:?}, not {status} with {arrived:?}, going on: {goes_on}"
            ));
        }
        objections
    }
}

/// Sends this and a last request; gives what came until the end.
async fn talk(miffy: &Miffy, name: &str, bytes: &[u8]) -> String {
    let (mut from, mut to) = miffy.connect().await.into_split();
    let mut answer = Vec::new();
    // It is read meanwhile: what is refused may be answered, and the connection closed, before all of it is sent. What
    // is not read by then is lost with a reset.
    let sent = async {
        if to.write_all(bytes).await.is_ok() {
            let _closed = to.write_all(LAST).await;
        }
    };
    // A reset ends it, too.
    let ended = async { tokio::join!(sent, from.read_to_end(&mut answer)) };
    let _end = within(&format!("the end of {name}"), ended).await;
    latin1(&answer)
}

async fn check(cases: &[Case]) {
    let scene = Scene::start().await;
    let mut objections = Vec::new();
    for path in BOTH_PATHS {
        for case in cases {
            objections.extend(scene.objections(path, *case).await);
        }
    }
    assert!(objections.is_empty(), "{}", objections.join("\n"));
    scene.miffy.stop().await;
}

/// A `POST` with these header lines, and a body in chunks that reads as another request, too.
macro_rules! chunked {
    ($headers:literal) => {
        concat!(
            "POST PATH HTTP/1.1\r\nHost: a\r\n",
            $headers,
            "\r\n5\r\nhello\r\n0\r\n\r\n"
        )
        .as_bytes()
    };
}

/// A `POST` with these header lines and five bytes of body.
macro_rules! five {
    ($headers:literal) => {
        concat!("POST PATH HTTP/1.1\r\nHost: a\r\n", $headers, "\r\nhello").as_bytes()
    };
}

/// A `POST` with these bytes for chunks.
macro_rules! chunks {
    ($bytes:expr) => {
        concat!(
            "POST PATH HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            $bytes
        )
        .as_bytes()
    };
}

/// A `GET` with this line among its headers.
macro_rules! line {
    ($line:expr) => {
        concat!("GET PATH HTTP/1.1\r\nHost: a\r\n", $line, "\r\n\r\n").as_bytes()
    };
}

const HELLO: Expected = Passed(&["POST PATH hello"]);
const HELLO_OR_NOT: Expected = RefusedOrPassed(&["POST PATH hello"]);

/// RFC 9112 §6.1 and §6.3: the encoding outranks the length, and the connection ends.
#[tokio::test(flavor = "multi_thread")]
#[rustfmt::skip]
async fn two_framings_become_one() {
    check(&[
        (
            "CL.TE",
            b"POST PATH HTTP/1.1\r\nHost: a\r\nContent-Length: 44\r\nTransfer-Encoding: chunked\r\n\r\n\
              0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\nX: x\r\n\r\n",
            PassedLast(&["POST PATH "]),
        ),
        (
            "TE.CL",
            b"POST PATH HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n\
              23\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\n\r\n",
            PassedLast(&["POST PATH GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"]),
        ),
        ("a length on either side of the encoding", chunked!("Content-Length: 3\r\nTransfer-Encoding: chunked\r\nContent-Length: 7\r\n"), PassedLast(&["POST PATH hello"])),
        ("a length that is no number behind the encoding", chunked!("Transfer-Encoding: chunked\r\nContent-Length: x\r\n"), RefusedOrPassed(&["POST PATH hello"])),
        ("a GET whose body looks like a request", b"GET PATH HTTP/1.1\r\nHost: a\r\nContent-Length: 24\r\n\r\nGET /smuggled HTTP/1.1\r\n", Passed(&["GET PATH GET /smuggled HTTP/1.1\r\n"])),
        ("a HEAD whose body looks like a request", b"HEAD PATH HTTP/1.1\r\nHost: a\r\nContent-Length: 24\r\n\r\nGET /smuggled HTTP/1.1\r\n", Passed(&["HEAD PATH GET /smuggled HTTP/1.1\r\n"])),
        ("a HEAD with chunks", b"HEAD PATH HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Passed(&["HEAD PATH hello"])),
        ("a length of nothing", b"POST PATH HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", Passed(&["POST PATH "])),
        ("a length that Connection names", five!("Connection: content-length\r\nContent-Length: 5\r\n"), HELLO_OR_NOT),
        ("an encoding that Connection names", chunked!("Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n"), HELLO_OR_NOT),
    ])
    .await;
}

/// RFC 9112 §6.1 and §7: an encoding that is not understood, or that does not end in chunks.
#[tokio::test(flavor = "multi_thread")]
#[rustfmt::skip]
async fn encodings_that_are_not_chunked_are_refused() {
    check(&[
        ("xchunked", chunked!("Transfer-Encoding: xchunked\r\n"), Refused),
        ("chunked, identity", chunked!("Transfer-Encoding: chunked, identity\r\n"), Refused),
        ("identity", chunked!("Transfer-Encoding: identity\r\n"), Refused),
        ("empty", chunked!("Transfer-Encoding:\r\n"), Refused),
        ("quoted", chunked!("Transfer-Encoding: \"chunked\"\r\n"), Refused),
        ("with a parameter", chunked!("Transfer-Encoding: chunked;q=1\r\n"), Refused),
        ("chunked, then identity", chunked!("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"), Refused),
        ("length and xchunked", five!("Content-Length: 5\r\nTransfer-Encoding: xchunked\r\n"), Refused),
        ("a space before the colon", chunked!("Transfer-Encoding : chunked\r\n"), Refused),
        ("a tab before the colon", chunked!("Transfer-Encoding\t: chunked\r\n"), Refused),
        ("a length and a space before the colon", five!("Content-Length: 5\r\nTransfer-Encoding : chunked\r\n"), Refused),
        ("a vertical tab before the value", chunked!("Transfer-Encoding: \x0bchunked\r\n"), Refused),
        ("a NUL behind the value", chunked!("Transfer-Encoding: chunked\0\r\n"), Refused),
        ("a fold before the value", chunked!("Transfer-Encoding:\r\n chunked\r\n"), Refused),
        ("a tab before the value", chunked!("Transfer-Encoding:\tchunked\r\n"), HELLO),
        ("no space before the value", chunked!("Transfer-Encoding:chunked\r\n"), HELLO),
        ("in capitals", chunked!("TRANSFER-ENCODING: CHUNKED\r\n"), HELLO),
        // Chunks taken off, what is left would still be encoded, and nobody would say so any longer.
        ("gzip, chunked", chunked!("Transfer-Encoding: gzip, chunked\r\n"), Declined),
        ("gzip, then chunked", chunked!("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"), Declined),
        ("identity, chunked", chunked!("Transfer-Encoding: identity, chunked\r\n"), HELLO_OR_NOT),
        ("identity, then chunked", chunked!("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"), HELLO_OR_NOT),
        ("chunked twice", chunked!("Transfer-Encoding: chunked, chunked\r\n"), HELLO_OR_NOT),
        ("chunked in two lines", chunked!("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), HELLO_OR_NOT),
        ("in HTTP/1.0", b"POST PATH HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Refused),
    ])
    .await;
}

/// RFC 9112 §6.3, RFC 9110 §8.6: one length, in digits.
#[tokio::test(flavor = "multi_thread")]
#[rustfmt::skip]
async fn lengths_that_are_not_one_number_are_refused() {
    check(&[
        ("differing", five!("Content-Length: 5\r\nContent-Length: 6\r\n"), Refused),
        ("equal", five!("Content-Length: 5\r\nContent-Length: 5\r\n"), HELLO_OR_NOT),
        ("equal in one line", five!("Content-Length: 5, 5\r\n"), HELLO_OR_NOT),
        ("differing in one line", five!("Content-Length: 5, 6\r\n"), Refused),
        ("a plus", five!("Content-Length: +5\r\n"), Refused),
        ("a minus", five!("Content-Length: -1\r\n"), Refused),
        ("hexadecimal", five!("Content-Length: 0x5\r\n"), Refused),
        ("two numbers", five!("Content-Length:  5 5\r\n"), Refused),
        ("a fraction", five!("Content-Length: 5.0\r\n"), Refused),
        ("an exponent", five!("Content-Length: 5e0\r\n"), Refused),
        ("underscored", five!("Content-Length: 0_5\r\n"), Refused),
        ("empty", five!("Content-Length:\r\n"), Refused),
        ("nothing but a comma", five!("Content-Length: ,\r\n"), Refused),
        ("over 64 bits", five!("Content-Length: 18446744073709551621\r\n"), Refused),
        ("the largest of 64 bits", five!("Content-Length: 18446744073709551615\r\n"), Refused),
        ("a space before the colon", five!("Content-Length : 5\r\n"), Refused),
        ("a vertical tab", five!("Content-Length: \x0b5\r\n"), Refused),
        ("folded", five!("Content-Length: 5\r\n 5\r\n"), Refused),
        ("leading zeros", five!("Content-Length: 0005\r\n"), HELLO_OR_NOT),
        ("spaces around", five!("Content-Length: \t 5 \t\r\n"), HELLO),
    ])
    .await;
}

/// RFC 9112 §2.2, §3 and §5: lines, their ends and their white space.
#[tokio::test(flavor = "multi_thread")]
#[rustfmt::skip]
async fn lines_that_could_end_elsewhere_are_refused() {
    const GET: &[&str] = &["GET PATH "];
    check(&[
        ("a bare CR in a value", line!("X: a\rContent-Length: 5"), Refused),
        ("a bare CR behind a value", line!("X: a\r\r\nY: b"), Refused),
        ("a bare CR for all lines", b"GET PATH HTTP/1.1\rHost: a\r\r", Refused),
        ("a NUL in a value", line!("X: a\0b"), Refused),
        ("a NUL in a name", line!("X\0Y: a"), Refused),
        ("a space in a name", line!("X Y: a"), Refused),
        ("a space before the colon", line!("X : a"), Refused),
        ("a name without a colon", line!("Xyz"), Refused),
        ("no name", line!(": a"), Refused),
        ("a fold", line!("X: a\r\n b"), Refused),
        ("a fold with a tab", line!("X: a\r\n\tb"), Refused),
        ("white space before the first header", b"GET PATH HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n", Refused),
        ("white space for an empty line", b"GET PATH HTTP/1.1\r\nHost: a\r\n \r\n\r\n", Refused),
        ("bare LF for all lines", b"GET PATH HTTP/1.1\nHost: a\n\n", RefusedOrPassed(GET)),
        ("a bare LF behind a value", line!("X: a\nY: b"), RefusedOrPassed(GET)),
        ("a bare LF for the empty line", b"GET PATH HTTP/1.1\r\nHost: a\r\n\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n", RefusedOrPassed(&["GET PATH ", "GET /second "])),
        ("an LF in the target", b"GET PATH\n/b HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
        ("a CR in the target", b"GET PATH\r/b HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
        ("a NUL in the target", b"GET PATH\0 HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
        ("a tab in the target", b"GET PATH\t HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
        ("a space in the target", b"GET PATH b HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
        ("two spaces in the line", b"GET  PATH HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
        ("a space behind the line", b"GET PATH HTTP/1.1 \r\nHost: a\r\n\r\n", Refused),
        ("two versions in the line", b"GET PATH HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
        ("a space before the line", b" GET PATH HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
        ("a version of one digit", b"GET PATH HTTP/1\r\nHost: a\r\n\r\n", Refused),
        ("a version that is not there", b"GET PATH HTTP/1.2\r\nHost: a\r\n\r\n", RefusedOrPassed(GET)),
        ("a version over it", b"GET PATH HTTP/3.1\r\nHost: a\r\n\r\n", Refused),
        ("HTTP/0.9", b"GET PATH\r\n", Refused),
        ("a method that is none", b"G(T PATH HTTP/1.1\r\nHost: a\r\n\r\n", Refused),
        ("empty lines before it", b"\r\n\r\nGET PATH HTTP/1.1\r\nHost: a\r\n\r\n", RefusedOrPassed(GET)),
    ])
    .await;
}

/// RFC 9112 §7.1: chunks. The head is on its way before they can be refused.
#[tokio::test(flavor = "multi_thread")]
#[rustfmt::skip]
async fn chunks_that_are_none_are_refused() {
    check(&[
        ("a bare LF behind the size", chunks!("5\nhello\r\n0\r\n\r\n"), Refused),
        ("a bare CR behind the size", chunks!("5\rhello\r\n0\r\n\r\n"), Refused),
        ("a bare LF behind the chunk", chunks!("5\r\nhello\n0\r\n\r\n"), Refused),
        ("nothing behind the chunk", chunks!("5\r\nhello0\r\n\r\n"), Refused),
        ("a chunk longer than said", chunks!("3\r\nhello\r\n0\r\n\r\n"), Refused),
        ("a bare LF behind the last size", chunks!("5\r\nhello\r\n0\n\r\n"), Refused),
        ("a minus", chunks!("-5\r\nhello\r\n0\r\n\r\n"), Refused),
        ("a plus", chunks!("+5\r\nhello\r\n0\r\n\r\n"), Refused),
        ("0x", chunks!("0x5\r\nhello\r\n0\r\n\r\n"), Refused),
        ("no digit", chunks!("\r\nhello\r\n0\r\n\r\n"), Refused),
        ("a space for a digit", chunks!(" 5\r\nhello\r\n0\r\n\r\n"), Refused),
        ("underscored", chunks!("0_5\r\nhello\r\n0\r\n\r\n"), Refused),
        ("17 digits", chunks!("10000000000000005\r\nhello\r\n0\r\n\r\n"), Refused),
        ("a space behind the size", chunks!("5 \r\nhello\r\n0\r\n\r\n"), HELLO_OR_NOT),
        ("two sizes", chunks!("5 5\r\nhello\r\n0\r\n\r\n"), Refused),
        ("leading zeros", chunks!("0005\r\nhello\r\n0\r\n\r\n"), HELLO_OR_NOT),
        ("capitals and small letters", chunks!("a\r\nhellohello\r\nA\r\nhellohello\r\n0\r\n\r\n"), Passed(&["POST PATH hellohellohellohello"])),
        ("an extension", chunks!("5;a=b\r\nhello\r\n0;c\r\n\r\n"), HELLO),
        ("a quoted extension", chunks!("5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n"), HELLO_OR_NOT),
        ("an LF in an extension", chunks!("5;a\n=b\r\nhello\r\n0\r\n\r\n"), Refused),
        ("an LF ends an extension", chunks!("5;\nhello\r\n0\r\n\r\n"), Refused),
        ("a CR in an extension", chunks!("5;a\r=b\r\nhello\r\n0\r\n\r\n"), Refused),
        ("a quoted CRLF in an extension", chunks!("5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n"), Refused),
        ("a framing among the trailers", chunks!("5\r\nhello\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\nHost: b\r\n\r\n"), HELLO_OR_NOT),
        ("a trailer without a colon", chunks!("5\r\nhello\r\n0\r\nGET /smuggled HTTP/1.1\r\n\r\n"), Refused),
    ])
    .await;
}

/// RFC 9112 §7.1.1: what is not understood is not read without an end.
#[tokio::test(flavor = "multi_thread")]
#[rustfmt::skip]
async fn a_very_long_chunk_extension_is_refused() {
    let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(1024 * 1024));
    let head = "POST PATH HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let bytes: &'static [u8] = format!("{head}{long}").leak().as_bytes();
    check(&[("a megabyte", bytes, Refused)]).await;
}

/// RFC 9112 §3.2: one host, and a target that names one outranks it.
#[tokio::test(flavor = "multi_thread")]
#[rustfmt::skip]
async fn a_request_has_one_host() {
    const GET: Expected = Passed(&["GET PATH "]);
    check(&[
        ("none", b"GET PATH HTTP/1.1\r\n\r\n", Declined),
        ("two", line!("Host: b"), Declined),
        ("two that are equal", line!("Host: a"), Declined),
        ("a comma", b"GET PATH HTTP/1.1\r\nHost: a, b\r\n\r\n", Declined),
        ("a space", b"GET PATH HTTP/1.1\r\nHost: a b\r\n\r\n", Declined),
        ("a path", b"GET PATH HTTP/1.1\r\nHost: a/b\r\n\r\n", Declined),
        ("a target that is a host", b"GET b HTTP/1.1\r\nHost: a\r\n\r\n", Declined),
        ("a user", b"GET PATH HTTP/1.1\r\nHost: a@b\r\n\r\n", Declined),
        ("one that Connection names", line!("Connection: host"), RefusedOrPassed(&["GET PATH "])),
        ("an empty one", b"GET PATH HTTP/1.1\r\nHost:\r\n\r\n", GET),
        ("with a port", b"GET PATH HTTP/1.1\r\nHost: a:80\r\n\r\n", GET),
        ("of version 6", b"GET PATH HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", GET),
        ("the target's", b"GET http://bPATH HTTP/1.1\r\nHost: a\r\n\r\n", Passed(&["GET PATH "])),
        ("the target's, and two", b"GET http://bPATH HTTP/1.1\r\nHost: a\r\nHost: c\r\n\r\n", Declined),
        ("none in HTTP/1.0", b"GET PATH HTTP/1.0\r\n\r\n", PassedLast(&["GET PATH "])),
    ])
    .await;
}

/// A request of HTTP/2: its name, its headers with `PATH` for the path, its body, and what has to become
/// of it.
type Translated = (
    &'static str,
    &'static [(&'static str, &'static str)],
    Option<&'static str>,
    Expected,
);

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [
        length[1], length[2], length[3], kind, flags, 0, 0, 0, stream,
    ];
    [&head[..], payload].concat()
}

/// Headers as HPACK literals, whatever is in them.
fn literals(headers: &[(&str, &str)], path: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(0);
        for text in [*name, &value.replace("PATH", path)] {
            let length = u8::try_from(text.len()).unwrap();
            assert!(length < 127, "{text} takes a longer form");
            block.push(length);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// Sends a request of HTTP/2; whether it was answered with 200, not with another status or an error.
async fn translate(
    miffy: &Miffy,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> bool {
    const END: u8 = 1;
    const END_HEADERS: u8 = 4;
    let start = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, 0, b""),
        frame(
            1,
            END_HEADERS | if body.is_none() { END } else { 0 },
            1,
            &literals(headers, path),
        ),
        body.map_or_else(Vec::new, |body| frame(0, END, 1, body.as_bytes())),
    ];
    let mut stream = miffy.send(start.concat()).await;
    within("an answer", async {
        let mut head = [0; 9];
        while stream.read_exact(&mut head).await.is_ok() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            stream.read_exact(&mut payload).await.unwrap();
            match head[3] {
                // The table's entry for 200.
                1 => return payload[0] == 0x88,
                // A reset of the stream, or of all.
                3 | 7 => return false,
                _ => {}
            }
        }
        false
    })
    .await
}

impl Scene {
    /// What speaks against miffy in a case of HTTP/2.
    async fn objections_to(&self, path: &str, case: Translated) -> Vec<String> {
        let (name, headers, body, expected) = case;
        let is_answered = translate(&self.miffy, path, headers, body).await;
        let [reference, candidate] = self.settled().await;
        let next = self.miffy.get("/next").await.status();
        let [after, _] = self.settled().await;
        let mut objections = Vec::new();
        let mut object = |what: String| objections.push(format!("{name} at {path}: {what}"));
        if next != 200 || after.whole != ["GET /next "] {
            object(format!("the next client: {next}, {after:?}"));
        }
        for seen in [&reference, &candidate] {
            if !seen.ambiguous.is_empty() {
                object(format!("ambiguous: {:#?}", seen.ambiguous));
            }
        }
        if path.starts_with("/x/") && candidate.whole != reference.whole {
            object(format!("mirrored: {candidate:?}"));
        }
        let is_refused = !is_answered && reference.whole.is_empty();
        let is_passed = |requests: &[&str]| {
            let requests = requests.iter().map(|request| request.replace("PATH", path));
            is_answered && requests.eq(reference.whole.iter().cloned())
        };
        let is_right = match expected {
            Refused | Declined => is_refused,
            Passed(requests) | PassedLast(requests) => is_passed(requests),
            RefusedOrPassed(requests) => is_refused || is_passed(requests),
        };
        if !is_right {
            let arrived = &reference.whole;
            object(format!("{expected:?}, not {is_answered} with {arrived:?}"));
        }
        objections
    }
}

async fn check_translated(cases: &[Translated]) {
    let scene = Scene::start().await;
    let mut objections = Vec::new();
    for path in BOTH_PATHS {
        for case in cases {
            objections.extend(scene.objections_to(path, *case).await);
        }
    }
    assert!(objections.is_empty(), "{}", objections.join("\n"));
    scene.miffy.stop().await;
}

/// The headers of a request of HTTP/2 with this method, and more.
macro_rules! h2 {
    ($method:literal $(, $name:literal: $value:literal)*) => {
        &[
            (":method", $method),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "PATH"),
            $(($name, $value)),*
        ]
    };
}

/// RFC 9113 §8.1.1 and §8.2.2: the length is that of the body, and connections have no say.
#[tokio::test(flavor = "multi_thread")]
#[rustfmt::skip]
async fn http2_has_no_framing_but_its_own() {
    const GET: Expected = Passed(&["GET PATH "]);
    const GET_OR_NOT: Expected = RefusedOrPassed(&["GET PATH "]);
    check_translated(&[
        ("an encoding", h2!("POST", "transfer-encoding": "chunked"), Some("0\r\n\r\nGET /smuggled"), Refused),
        ("another encoding", h2!("POST", "transfer-encoding": "x"), Some("hello"), Refused),
        ("connection", h2!("GET", "connection": "content-length"), None, Refused),
        ("keep-alive", h2!("GET", "keep-alive": "5"), None, Refused),
        ("proxy-connection", h2!("GET", "proxy-connection": "x"), None, Refused),
        ("upgrade", h2!("GET", "upgrade": "h2c"), None, Refused),
        ("te", h2!("GET", "te": "gzip"), None, Refused),
        ("te: trailers", h2!("GET", "te": "trailers"), None, GET),
        ("no length", h2!("POST"), Some("hello"), HELLO),
        ("a length", h2!("POST", "content-length": "5"), Some("hello"), HELLO),
        ("a GET with a body", h2!("GET"), Some("hello"), Passed(&["GET PATH hello"])),
        ("a HEAD with a body", h2!("HEAD"), Some("hello"), Passed(&["HEAD PATH hello"])),
        ("too short", h2!("POST", "content-length": "3"), Some("hello"), Refused),
        ("too long", h2!("POST", "content-length": "9"), Some("hello"), Refused),
        ("nothing for it", h2!("POST", "content-length": "5"), None, Refused),
        ("nothing for it in a GET", h2!("GET", "content-length": "5"), None, Refused),
        ("no length for something", h2!("POST", "content-length": "0"), Some("hello"), Refused),
        ("two that differ", h2!("POST", "content-length": "5", "content-length": "6"), Some("hello"), Refused),
        ("two, the second longer", h2!("POST", "content-length": "5", "content-length": "500"), Some("hello"), Refused),
        ("two, the first longer", h2!("POST", "content-length": "500", "content-length": "5"), Some("hello"), Refused),
        ("two that are equal", h2!("POST", "content-length": "5", "content-length": "5"), Some("hello"), HELLO_OR_NOT),
        ("two for nothing", h2!("POST", "content-length": "0", "content-length": "30"), None, Refused),
        ("two for nothing in a GET", h2!("GET", "content-length": "0", "content-length": "30"), None, Refused),
        ("two in one", h2!("POST", "content-length": "5, 6"), Some("hello"), Refused),
        ("a plus", h2!("POST", "content-length": "+5"), Some("hello"), Refused),
        ("no number", h2!("POST", "content-length": "x"), Some("hello"), Refused),
        ("no number in a GET", h2!("GET", "content-length": "x"), None, Refused),
        ("nothing", h2!("POST", "content-length": ""), Some("hello"), Refused),
        ("expectations", h2!("GET", "expect": "100-continue"), None, GET_OR_NOT),
    ])
    .await;
}

/// RFC 9113 §8.2.1, §8.3.1 and §10.3: nothing in HTTP/2 can become a line of HTTP/1.1.
#[tokio::test(flavor = "multi_thread")]
#[rustfmt::skip]
async fn http2_has_no_lines() {
    const GET: Expected = Passed(&["GET PATH "]);
    const GET_OR_NOT: Expected = RefusedOrPassed(&["GET PATH "]);
    check_translated(&[
        ("CRLF in a value", h2!("GET", "x": "a\r\ncontent-length: 9"), None, Refused),
        ("LF in a value", h2!("GET", "x": "a\ncontent-length: 9"), None, Refused),
        ("CR in a value", h2!("GET", "x": "a\rcontent-length: 9"), None, Refused),
        ("NUL in a value", h2!("GET", "x": "a\0"), None, Refused),
        ("CRLF in a cookie", h2!("GET", "cookie": "a=1", "cookie": "b\r\nx: y"), None, Refused),
        ("CRLF in a name", h2!("GET", "x: a\r\ny": "b"), None, Refused),
        ("a space in a name", h2!("GET", "x y": "b"), None, Refused),
        ("a colon in a name", h2!("GET", "x:y": "b"), None, Refused),
        ("capitals in a name", h2!("GET", "X": "b"), None, Refused),
        ("no name", h2!("GET", "": "b"), None, Refused),
        ("an unknown pseudo-header", h2!("GET", ":x": "b"), None, Refused),
        ("a late pseudo-header", h2!("GET", "x": "b", ":path": "/smuggled"), None, Refused),
        ("two paths", h2!("GET", ":path": "/smuggled"), None, Refused),
        ("two methods", h2!("GET", ":method": "POST"), None, Refused),
        ("two authorities", h2!("GET", ":authority": "b"), None, Refused),
        ("a method with a line", h2!("GET /smuggled HTTP/1.1\r\nx:"), None, Refused),
        ("a method with a space", h2!("GET /smuggled"), None, Refused),
        ("a path with a line", &[(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "PATH HTTP/1.1\r\nx: y")], None, Refused),
        ("a path with a space", &[(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "PATH HTTP/1.1")], None, Refused),
        ("a path with an LF", &[(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "PATH\nx")], None, Refused),
        ("no path", &[(":method", "GET"), (":scheme", "http"), (":authority", "a")], None, Refused),
        ("an empty path", &[(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "")], None, Refused),
        ("an authority with a line", &[(":method", "GET"), (":scheme", "http"), (":authority", "a\r\nx: y"), (":path", "PATH")], None, Refused),
        ("an authority with a space", &[(":method", "GET"), (":scheme", "http"), (":authority", "a b"), (":path", "PATH")], None, Refused),
        ("an authority with a path", &[(":method", "GET"), (":scheme", "http"), (":authority", "a/b"), (":path", "PATH")], None, Refused),
        ("an authority with a user", &[(":method", "GET"), (":scheme", "http"), (":authority", "user@a"), (":path", "PATH")], None, GET_OR_NOT),
        ("another host than the authority", h2!("GET", "host": "b"), None, GET_OR_NOT),
        ("a host for an authority", &[(":method", "GET"), (":scheme", "http"), (":path", "PATH"), ("host", "a")], None, GET),
        ("two hosts for an authority", &[(":method", "GET"), (":scheme", "http"), (":path", "PATH"), ("host", "a"), ("host", "b")], None, Refused),
        ("no host", &[(":method", "GET"), (":scheme", "http"), (":path", "PATH")], None, GET_OR_NOT),
        ("a scheme with a line", &[(":method", "GET"), (":scheme", "http\r\nx: y"), (":authority", "a"), (":path", "PATH")], None, GET_OR_NOT),
        ("CONNECT", &[(":method", "CONNECT"), (":authority", "a")], None, Refused),
    ])
    .await;
}
