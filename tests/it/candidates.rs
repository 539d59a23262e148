//! Several candidates of one experiment: each is asked, compared and accounted for by itself.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::backend::{Backend, json, nobody};
use crate::support::broker::{Broker, Published};
use crate::support::miffy::{Miffy, Setup, outcomes};
use crate::support::until;

/// A backend with this answer.
async fn saying(body: &'static str) -> Backend {
    Backend::start(move |_| async move { json(body) }).await
}

/// The candidates' names in the records, in no order.
fn names(records: &[Value]) -> BTreeSet<&str> {
    let names = records.iter().map(|it| it["candidate"]["name"].as_str());
    names.map(Option::unwrap).collect()
}

async fn records(broker: &Broker) -> Vec<Value> {
    let published = broker.published().await;
    published.iter().map(Published::json).collect()
}

/// How many requests ended so for a candidate of the experiment `x`.
async fn ended(miffy: &Miffy, candidate: &str, outcome: &str) -> u64 {
    let label =
        format!("experiment=\"x\",candidate=\"{candidate}\",outcome=\"{outcome}\",reason=\"\"");
    miffy.metric("miffy_outcomes_total").await[&label]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_candidate_has_its_own_outcome_and_each_that_differs_its_own_record() {
    let broker = Broker::start();
    let reference = saying("1").await;
    let (same, other, third) = (saying("1").await, saying("2").await, saying("3").await);
    let route = format!(
        "{{ path = \"/x/{{*rest}}\", name = \"x\", candidates = {{ same = \"{same}\", other = \"{other}\", third = \"{third}\" }} }}"
    );
    let setup = Setup::of(&reference, nobody(), &broker).routes(&route);
    let miffy = setup.start();
    assert_eq!(miffy.get("/x/1").await.text().await.unwrap(), "1");
    assert_eq!(
        miffy.post("/x/2", "a body").await.text().await.unwrap(),
        "1"
    );
    assert_eq!(
        miffy.outcomes(6).await,
        outcomes([("equal", 2), ("different", 4)])
    );
    assert_eq!(ended(&miffy, "same", "equal").await, 2);
    assert_eq!(ended(&miffy, "other", "different").await, 2);
    for candidate in [&same, &other, &third] {
        let bodies: Vec<_> = candidate.arrived().iter().map(|it| it.body.len()).collect();
        assert_eq!(bodies.iter().sum::<usize>(), 6, "the body arrives whole");
        assert!(
            candidate
                .arrived()
                .iter()
                .all(|it| it.role() == "candidate")
        );
    }
    assert_eq!(reference.arrived().len(), 2, "the reference is asked once");
    let exchanges = miffy.metric("miffy_exchange_seconds_count").await;
    assert_eq!(exchanges["role=\"reference\""], 2, "and measured once");
    assert_eq!(exchanges["role=\"candidate\""], 6);
    miffy.stop().await;
    let records = records(&broker).await;
    assert_eq!(records.len(), 4);
    assert_eq!(names(&records), BTreeSet::from(["other", "third"]));
    let of = |name: &str| {
        let fingerprints = records.iter().filter(|it| it["candidate"]["name"] == name);
        let all: BTreeSet<_> = fingerprints
            .map(|it| it["fingerprints"].to_string())
            .collect();
        all
    };
    assert_eq!(of("other").len(), 1);
    assert_ne!(of("other"), of("third"), "candidates are told apart");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_hangs_holds_up_no_other() {
    let broker = Broker::start();
    let (reference, quick) = (saying("1").await, saying("2").await);
    let hanging = Backend::hanging().await;
    let route = format!(
        "{{ path = \"/x/{{*rest}}\", name = \"x\", candidates = {{ hanging = \"{hanging}\", quick = \"{quick}\" }} }}"
    );
    // The other one's time is not over before the test is.
    let miffy = Setup::of(&reference, nobody(), &broker)
        .routes(&route)
        .tables("[timeouts.candidate]\nexchange = \"1h\"\n")
        .start();
    miffy.get("/x/1").await;
    assert_eq!(miffy.outcomes(1).await, outcomes([("different", 1)]));
    assert_eq!(ended(&miffy, "quick", "different").await, 1);
    until("its record to be published", || async {
        let published = miffy.metric("miffy_records_published_total").await;
        (published["sink=\"kafka\""] == 1).then_some(())
    })
    .await;
    let records = records(&broker).await;
    assert_eq!(names(&records), BTreeSet::from(["quick"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidates_own_limit_leaves_room_for_the_others() {
    let broker = Broker::start();
    let (reference, quick) = (saying("1").await, saying("1").await);
    let hanging = Backend::hanging().await;
    let route = format!(
        "{{ path = \"/x/{{*rest}}\", name = \"x\", candidates = {{ hanging = {{ url = \"{hanging}\", max_in_flight = 1 }}, quick = \"{quick}\" }} }}"
    );
    let miffy = Setup::of(&reference, nobody(), &broker)
        .routes(&route)
        .start();
    for _ in 0..3 {
        miffy.get("/x/1").await;
    }
    let expected = outcomes([("equal", 3), ("skipped.in_flight", 2)]);
    assert_eq!(miffy.outcomes(5).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_is_not_compared_is_asked_and_its_answer_read_to_its_end() {
    let broker = Broker::start();
    let (reference, candidate) = (saying("1").await, saying("2").await);
    let route = |url: &dyn std::fmt::Display| {
        format!(
            "{{ path = \"/x/{{*rest}}\", name = \"x\", candidate = {{ url = \"{url}\", compare = false }} }}"
        )
    };
    let miffy = Setup::of(&reference, nobody(), &broker)
        .routes(&route(&candidate))
        .start();
    miffy.get("/x/1").await;
    assert_eq!(miffy.outcomes(1).await, outcomes([("uncompared", 1)]));
    assert_eq!(candidate.arrived().len(), 1);
    miffy.stop().await;
    let miffy = Setup::of(&reference, nobody(), &broker)
        .routes(&route(&nobody()))
        .start();
    miffy.get("/x/1").await;
    let failed = outcomes([("candidate_failed.connect", 1)]);
    assert_eq!(miffy.outcomes(1).await, failed);
    miffy.stop().await;
    assert_eq!(records(&broker).await.len(), 0, "nobody wants to know");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secondary_is_asked_once_for_all_candidates() {
    let broker = Broker::start();
    let (reference, secondary) = (saying("1").await, saying("1").await);
    let (one, other) = (saying("2").await, saying("3").await);
    let route = format!(
        "{{ path = \"/x/{{*rest}}\", name = \"x\", candidates = {{ one = \"{one}\", other = \"{other}\" }}, secondary = \"{secondary}\" }}"
    );
    let miffy = Setup::of(&reference, nobody(), &broker)
        .routes(&route)
        .start();
    for _ in 0..4 {
        miffy.post("/x/1", "a write").await;
    }
    assert_eq!(miffy.outcomes(8).await, outcomes([("different", 8)]));
    assert_eq!(secondary.arrived().len(), 4);
}
