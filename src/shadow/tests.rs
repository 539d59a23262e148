use std::cell::Cell;
use std::sync::Mutex;

use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::sync::oneshot;

use super::*;
use crate::capture::{Budget, Ended, RequestHead, reference_slot};
use crate::config::{Environment, Source};
use crate::redact::Redaction;
use crate::telemetry::Telemetry;

/// A shadow with one experiment, whose candidate is away.
fn shadow() -> (Shadow, Arc<Experiment>) {
    let text = "candidate = \"http://127.0.0.1:1\"\nroutes = [{ path = \"/a\" }]";
    let routes = Source::Text(text.to_owned());
    let loaded = config::load(&routes, &Environment::default()).expect("it is valid");
    let settings = loaded.settings;
    let telemetry = Telemetry::new();
    let delivery = telemetry.register(|| Delivery::start(&settings, |_, _| None));
    let experiment = Arc::new(Experiment::new(0, &settings.routes[0], redaction()));
    let parts = Parts {
        runtime: Handle::current(),
        client: Client::new(&settings.candidate_backends, []).expect("a client"),
        second: Client::new(&settings.reference_backends, []).expect("a client"),
        noise: settings.noise,
        limits: limits(),
        max_in_flight: 1,
        max_wait: settings.shadow.max_wait,
        breaker: settings.shadow.breaker,
        max_message: 1,
        delivery: Arc::new(delivery.expect("a producer")),
        observer: None,
    };
    let shadow = telemetry.register(|| Shadow::register(parts, [&*experiment]));
    (shadow, experiment)
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

fn exchange(experiment: &Arc<Experiment>, reference: oneshot::Receiver<Ended>) -> Exchange {
    let (head, ()) = http::Request::new(()).into_parts();
    Exchange {
        experiment: experiment.clone(),
        request: RequestHead::from(&head),
        request_body: RequestBody::Empty,
        reference,
    }
}

#[tokio::test]
async fn an_exchange_whose_task_breaks_off_is_counted_all_the_same() {
    let (shadow, experiment) = shadow();
    let (_slot, reference) = reference_slot();
    drop(Ticket::issue(&shadow.0, &exchange(&experiment, reference)));
    assert_eq!(shadow.ledger().requests(), 1);
    assert_eq!(shadow.ledger().summary(), "skipped.internal=1");
}

/// Lets one exchange with this answer of the reference go to its end.
async fn answered(shadow: &Shadow, experiment: &Arc<Experiment>, headers: HeaderMap, size: usize) {
    let (slot, reference) = reference_slot();
    shadow.offer(exchange(experiment, reference));
    let body = Full::new(Bytes::from(vec![0; size]));
    let body = slot.answered(StatusCode::OK, headers, body, &limits());
    body.collect().await.expect("it can't fail");
    while shadow.in_flight() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_exchange_whose_comparison_panics_is_counted_and_the_next_goes_on() {
    let (mut shadow, experiment) = shadow();
    let inner = Arc::get_mut(&mut shadow.0).expect("nobody else has it yet");
    inner.judge = |_, _, _, _, _| panic!("a defect");
    let large = usize::try_from(LARGE).expect("a size");
    // Compared on the task, and on a thread of its own.
    for size in [1, large] {
        answered(&shadow, &experiment, HeaderMap::new(), size).await;
    }
    shadow.drain(Instant::now() + Duration::from_secs(30)).await;
    assert_eq!(shadow.ledger().summary(), "skipped.internal=2");
}

#[tokio::test]
async fn what_may_be_large_once_decoded_is_compared_on_a_thread_for_that() {
    static BESIDE: Mutex<Vec<bool>> = Mutex::new(Vec::new());
    thread_local!(static IS_TASKS: Cell<bool> = const { Cell::new(false) });
    IS_TASKS.set(true);
    let (mut shadow, experiment) = shadow();
    let inner = Arc::get_mut(&mut shadow.0).expect("nobody else has it yet");
    inner.judge = |_, _, _, _, _| {
        BESIDE.lock().expect("no panic").push(!IS_TASKS.get());
        Verdict {
            outcome: Outcome::Equal,
            comparison: Comparison::default(),
            record: Publication::Nothing,
        }
    };
    let gzip = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static("gzip"))]);
    answered(&shadow, &experiment, HeaderMap::new(), 1000).await;
    answered(&shadow, &experiment, gzip, 1000).await;
    assert_eq!(*BESIDE.lock().expect("no panic"), [false, true]);
}
