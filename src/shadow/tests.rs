use std::cell::Cell;
use std::sync::Mutex;

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::sync::oneshot;

use super::trial::Ticket;
use super::*;
use crate::capture;
use crate::capture::{Budget, Ended, Exchange, Mirror, RequestBody, RequestHead};
use crate::client::Client;
use crate::config::{self, Environment, Source};
use crate::redact::Redaction;
use crate::telemetry::Telemetry;

/// A shadow that judges so, and its one trial, whose candidate is away.
fn trial(judge: Judge) -> (Shadow, Arc<Trial>) {
    let text = "candidate = \"http://127.0.0.1:1\"\nroutes = [{ path = \"/a\" }]";
    let routes = Source::Text(text.to_owned());
    let loaded = config::load(&routes, &Environment::default()).expect("it is valid");
    let settings = loaded.settings;
    let telemetry = Telemetry::new();
    let delivery = telemetry.register(|| Delivery::start(&settings, |_, _| None));
    let experiment = Arc::new(Experiment::new(&settings.routes[0], redaction()));
    let parts = Parts {
        runtime: Handle::current(),
        limits: limits(),
        max_in_flight: 1,
        max_wait: settings.shadow.max_wait,
        requery_rate: settings.noise.requery_rate,
        max_message: 1,
        delivery: Arc::new(delivery.expect("a producer")),
        observers: Vec::new(),
        hooks: crate::hooks::Attached::default(),
    };
    let client = Client::new(&settings.candidate_backends, []).expect("a client");
    let terms = Terms {
        candidates: vec![client],
        second: None,
        noise: settings.noise,
        breaker: settings.shadow.breaker,
    };
    let mut shadow = telemetry.register(|| Shadow::register(parts));
    Arc::get_mut(&mut shadow.0)
        .expect("nobody else has it yet")
        .judge = judge;
    let trial = telemetry.register(|| shadow.trial(experiment, terms));
    (shadow, Arc::new(trial))
}

fn redaction() -> Arc<Redaction> {
    Arc::new(Redaction::with_key(config::Redact::default(), b"a key"))
}

fn limits() -> Limits {
    Limits {
        max_body: usize::MAX,
        budget: Budget::new(usize::MAX),
    }
}

fn exchange(reference: oneshot::Receiver<Ended>) -> Exchange {
    let (head, ()) = http::Request::new(()).into_parts();
    Exchange {
        request: RequestHead::from(&head),
        request_body: RequestBody::Empty,
        reference,
    }
}

#[tokio::test]
async fn an_exchange_whose_task_breaks_off_is_counted_all_the_same() {
    let (shadow, trial) = trial(Pair::judge);
    let (_slot, reference) = capture::slot();
    let matched = Arc::new(Matched::from(&exchange(reference).request));
    drop(Ticket::issue(&trial, 0, &matched));
    assert_eq!(shadow.ledger().summary(), "skipped.internal=1");
}

/// Lets one exchange with this answer of the reference go to its end.
async fn answered(shadow: &Shadow, trial: &Arc<Trial>, headers: HeaderMap, size: usize) {
    let (slot, reference) = capture::slot();
    trial.clone().offer(exchange(reference));
    let body = Full::new(Bytes::from(vec![0; size]));
    let body = slot.answered(StatusCode::OK, headers, body, &limits());
    body.collect().await.expect("it can't fail");
    while shadow.in_flight() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_exchange_whose_comparison_panics_is_counted_and_the_next_goes_on() {
    let (shadow, trial) = trial(|_, _, _, _| panic!("a defect"));
    let large = usize::try_from(LARGE).expect("a size");
    // Compared on the task, and on a thread of its own.
    for size in [1, large] {
        answered(&shadow, &trial, HeaderMap::new(), size).await;
    }
    shadow.drain(Instant::now() + Duration::from_secs(30)).await;
    assert_eq!(shadow.ledger().summary(), "skipped.internal=2");
}

#[tokio::test]
async fn what_may_be_large_once_decoded_is_compared_on_a_thread_for_that() {
    static BESIDE: Mutex<Vec<bool>> = Mutex::new(Vec::new());
    thread_local!(static IS_TASKS: Cell<bool> = const { Cell::new(false) });
    IS_TASKS.set(true);
    let (shadow, trial) = trial(|_, _, _, _| {
        BESIDE.lock().expect("no panic").push(!IS_TASKS.get());
        Verdict {
            outcome: Outcome::Equal,
            comparison: Comparison::default(),
            record: Publication::Nothing,
        }
    });
    let gzip = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static("gzip"))]);
    answered(&shadow, &trial, HeaderMap::new(), 1000).await;
    answered(&shadow, &trial, gzip, 1000).await;
    assert_eq!(*BESIDE.lock().expect("no panic"), [false, true]);
}
