//! The reference, and candidates that answer: small documents, and bodies of gigabytes.
//!
//! Every byte of an answer follows from its request, so that clients can tell whether it is right.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{HeaderName, Method, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

use crate::orders;

/// Digits of a document's number.
const DIGITS: usize = 12;

/// A document: half a kilobyte of JSON, with its number in three places.
static TEMPLATE: LazyLock<(Vec<u8>, [usize; 3])> = LazyLock::new(|| {
    let number = "#".repeat(DIGITS);
    let filler = "lorem ipsum dolor sit amet ".repeat(14);
    let text = format!(
        r#"{{"first":"{number}","price":{{"amount":12.50,"currency":"EUR"}},"text":"{filler}","middle":"{number}","list":[1,2,3,null,true],"last":"{number}"}}"#
    );
    let mut places = text.match_indices(&number).map(|(place, _)| place);
    let places = std::array::from_fn(|_| places.next().expect("there are three"));
    (text.into_bytes(), places)
});

/// The document of this number.
pub(crate) fn document(number: u64) -> Vec<u8> {
    let (template, places) = &*TEMPLATE;
    let digits = format!("{number:0DIGITS$}");
    let mut document = template.clone();
    for place in places {
        document[*place..place + DIGITS].copy_from_slice(digits.as_bytes());
    }
    document
}

/// The whole answer with this document, as it has to arrive.
pub(crate) fn answer(number: u64) -> Vec<u8> {
    let document = document(number);
    let length = document.len();
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-number: {number}\r\n\
         x-number: again\r\ncontent-length: {length}\r\n\r\n"
    )
    .into_bytes();
    answer.extend_from_slice(&document);
    answer
}

/// A document of 5 MB.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Large {
    /// The reference's.
    Plain,
    /// The same with a third of its values changed, and with one more item before all others.
    Changed,
}

impl Large {
    const BYTES: usize = 5_000_000;

    pub(crate) fn document(self) -> Bytes {
        static PLAIN: LazyLock<Bytes> = LazyLock::new(|| {
            let orders = orders::orders(Large::BYTES);
            orders::list(orders).text().into()
        });
        static CHANGED: LazyLock<Bytes> = LazyLock::new(|| {
            let mut orders = orders::orders(Large::BYTES);
            orders.insert(0, orders::order(999_999));
            let mut document = orders::list(orders);
            document.change(3, &mut 0);
            document.text().into()
        });
        match self {
            Self::Plain => PLAIN.clone(),
            Self::Changed => CHANGED.clone(),
        }
    }
}

/// What bodies of gigabytes repeat; its length is prime, so that no buffer's length divides it.
static PATTERN: LazyLock<Bytes> = LazyLock::new(|| {
    let mut state = 0x2545_f491_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[2]
    };
    std::iter::repeat_with(&mut next).take(65_521).collect()
});

/// A place in a large body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pattern {
    at: u64,
    left: u64,
}

impl Pattern {
    pub(crate) fn of_length(length: u64) -> Self {
        Self {
            at: 0,
            left: length,
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.left == 0
    }

    /// The next bytes.
    pub(crate) fn next(&mut self) -> Bytes {
        let length = PATTERN.len() as u64;
        let start = self.at % length;
        let count = (length - start).min(self.left);
        self.at += count;
        self.left -= count;
        let index = |place| usize::try_from(place).expect("it is within the pattern");
        PATTERN.slice(index(start)..index(start + count))
    }

    /// Whether these are the next bytes.
    pub(crate) fn goes_on_with(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let mut ahead = Self {
                left: self.left.min(bytes.len() as u64),
                ..*self
            };
            let next = ahead.next();
            if next.is_empty() || !bytes.starts_with(&next) {
                return false;
            }
            self.at += next.len() as u64;
            self.left -= next.len() as u64;
            bytes = &bytes[next.len()..];
        }
        true
    }
}

impl Body for Pattern {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready((!self.is_over()).then(|| Ok(Frame::data(self.next()))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// How a service answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// What is added to the number of a document that is asked for.
    pub(crate) shift: u64,
    /// Length of a download.
    pub(crate) download: u64,
    /// Its large document.
    pub(crate) large: Large,
}

/// A service on a free port, until it is dropped.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    hang_up: Arc<Notify>,
    server: JoinHandle<()>,
}

impl Service {
    pub(crate) async fn start(manner: Manner) -> anyhow::Result<Self> {
        // Making it takes a while, which is not to be a request's.
        manner.large.document();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let hang_up = Arc::new(Notify::new());
        let server = tokio::spawn(accept(listener, manner, hang_up.clone()));
        Ok(Self {
            address,
            hang_up,
            server,
        })
    }

    /// Closes all connections, as a service does when they are idle.
    pub(crate) fn hang_up(&self) {
        self.hang_up.notify_one();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn accept(listener: TcpListener, manner: Manner, hang_up: Arc<Notify>) {
    let mut serving = JoinSet::new();
    loop {
        tokio::select! {
            () = hang_up.notified() => serving.abort_all(),
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    serving.spawn(serve(stream, manner));
                }
            }
        }
        while serving.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, manner: Manner) {
    let _slower = stream.set_nodelay(true);
    let service = service_fn(move |request| respond(request, manner));
    let _ended = http1::Builder::new()
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

type Answer = Response<Either<Full<Bytes>, Pattern>>;

/// `GET …/big/{any}` is a large body, `GET …/large/{any}` a large document, `POST …/take/{any}` takes one; of anything else, the path's
/// last segment is the number of a document, or of the one that is posted and given back.
async fn respond(request: Request<Incoming>, manner: Manner) -> Result<Answer, hyper::Error> {
    let path = request.uri().path().to_owned();
    let number: u64 = path
        .rsplit('/')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or_default();
    let is_post = request.method() == Method::POST;
    if path.contains("/take/") {
        let received = received(request.into_body()).await?;
        return Ok(whole(number, received.to_string().into()));
    }
    if path.contains("/big/") && manner.download > 0 {
        let body = Pattern::of_length(manner.download);
        return Ok(respond_with(number, Either::Right(body)));
    }
    if path.contains("/large/") {
        return Ok(whole(number, manner.large.document()));
    }
    Ok(if is_post {
        whole(number, request.into_body().collect().await?.to_bytes())
    } else {
        let number = number + manner.shift;
        whole(number, document(number).into())
    })
}

fn whole(number: u64, body: Bytes) -> Answer {
    respond_with(number, Either::Left(Full::new(body)))
}

fn respond_with(number: u64, body: Either<Full<Bytes>, Pattern>) -> Answer {
    let length = body.size_hint().exact().unwrap_or_default();
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let name = HeaderName::from_static("x-number");
    headers.append(&name, number.into());
    headers.append(&name, HeaderValue::from_static("again"));
    headers.insert(CONTENT_LENGTH, length.into());
    answer
}

/// How many bytes of a body came, as long as they were the right ones.
async fn received(mut body: Incoming) -> Result<u64, hyper::Error> {
    let mut pattern = Pattern::of_length(u64::MAX);
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref()
            && !pattern.goes_on_with(data)
        {
            break;
        }
    }
    Ok(pattern.at)
}
