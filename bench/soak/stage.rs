//! A miffy between a reference and the candidates of some cases, and what each case asks of it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::disturbance::{Means, Signals};
use crate::fault::{Fault, Faulty};
use crate::kind::{Kind, MAX_CAPTURED_MIB, MAX_IN_FLIGHT};
use crate::load::{Clients, Round, Tally};
use crate::metrics::{Metrics, Outcomes, get};
use crate::options::{Case, Options};
use crate::process::{Miffy, Usage};
use crate::report::Row;
use crate::sampler::Sampler;
use crate::service::{Large, Manner, Service};
use crate::wait::within;

/// One in so many requests of a case goes straight to the reference; one in so many is sent at all where a
/// client is at fault.
const DIRECT_SHARE: u64 = 4;
const CLIENT_SHARE: u64 = 5;

/// Sockets that miffy has beside those of clients, reference and candidates: listeners, Kafka, scrapes, and
/// connections that were begun when another became free.
const OTHER_SOCKETS: usize = 16;

/// Sockets that librdkafka may have opened since it first reached the broker.
const KAFKA_SOCKETS: usize = 2;

/// Threads: workers, name look-ups (32, blocked while names are slow), comparisons, librdkafka, the log.
const MAX_THREADS: usize = 48;

/// What memory changes by itself, in MiB.
const PAGES_MIB: usize = 8;

/// How long it may take until nothing runs any more, from the last answer: the candidate's limit, and some.
const QUIET: Duration = Duration::from_secs(6);

/// How long until every record has been delivered.
const DELIVERED: Duration = Duration::from_mins(1);

/// How long until the sockets are what they were: connections are closed after 30 s without use, which is
/// looked at every 30 s.
const IDLE: Duration = Duration::from_secs(70);

/// What miffy may take to end: its `shutdown_timeout`, and some.
const STOP: Duration = Duration::from_secs(15);

/// A candidate of a case.
enum Candidate {
    Answering(Service),
    Failing(Faulty),
}

impl Candidate {
    async fn start(case: Case, options: &Options) -> anyhow::Result<Self> {
        let (shift, download) = match case {
            Case::Faulty(fault) => return Ok(Self::Failing(Faulty::start(fault).await)),
            Case::Different | Case::KafkaAway => (1, 0),
            Case::Client(client) if client.is_mirrored_whole() => (0, options.body_bytes()),
            Case::Healthy | Case::Client(_) => (0, 0),
        };
        let large = match case {
            Case::Client(client) => client.large(),
            _ => Large::Plain,
        };
        let manner = Manner {
            shift,
            download,
            large,
        };
        let service = Service::start(manner).await?;
        Ok(Self::Answering(service))
    }

    fn url(&self) -> String {
        match self {
            Self::Answering(service) => format!("http://{}", service.address),
            Self::Failing(faulty) => faulty.url.clone(),
        }
    }
}

/// miffy, and everything around it.
pub(crate) struct Stage<'o> {
    kind: Kind,
    options: &'o Options,
    /// Before everything else goes: whoever watches it would find it gone.
    sampler: Sampler,
    miffy: Miffy,
    /// Before the first case.
    at_first: Usage,
    means: Means,
    reference: Service,
    candidates: Vec<Candidate>,
    _broker: Option<MockCluster<'static, DefaultProducerContext>>,
    /// Clients and the reference; candidates have a thread of their own, so that one that is busy takes
    /// its share of the machine, but nobody's turn.
    live: Runtime,
    _aside: Runtime,
}

impl<'o> Stage<'o> {
    pub(crate) fn start(kind: Kind, cases: &[Case], options: &'o Options) -> anyhow::Result<Self> {
        let live = Builder::new_multi_thread().enable_all().build()?;
        let aside = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let reference = live.block_on(Service::start(Manner {
            shift: 0,
            download: options.body_bytes(),
            large: Large::Plain,
        }))?;
        let mut candidates = Vec::new();
        for case in cases {
            candidates.push(aside.block_on(Candidate::start(*case, options))?);
        }
        let broker = (kind != Kind::KafkaAway).then(|| MockCluster::new(1));
        let broker = broker.transpose()?;
        let brokers = match &broker {
            Some(broker) => broker.bootstrap_servers(),
            None => nobody(&aside)?,
        };
        let config = config(kind, reference.address, &brokers, cases, &candidates)?;
        let preload = candidates.iter().find_map(|candidate| match candidate {
            Candidate::Failing(faulty) => faulty.preload.clone(),
            Candidate::Answering(_) => None,
        });
        let miffy = Miffy::start(&config, preload.as_deref())?;
        if broker.is_some() {
            within("Kafka's being reached", DELIVERED, || {
                Ok(get(miffy.management, "/readyz")?.contains("reached"))
            })?;
        }
        let means = Means {
            miffy: miffy.address,
            body_bytes: options.body_bytes(),
            slow_heads: options.slow_heads()?,
        };
        Ok(Self {
            kind,
            options,
            sampler: Sampler::start(miffy.id, miffy.management),
            at_first: Usage::of(miffy.id)?,
            miffy,
            means,
            reference,
            candidates,
            _broker: broker,
            live,
            _aside: aside,
        })
    }

    /// Sends a case's requests, and looks at what they did.
    pub(crate) fn run(&self, case: Case) -> anyhow::Result<Row> {
        let before = self.metrics()?;
        let memory_before_mib = Usage::of(self.miffy.id)?.memory_mib();
        self.sampler.take();
        let (direct, through, others) = self.load(case)?;
        let quiet = Instant::now();
        let matched = through.latencies.len() as u64 + through.failed + others;
        let mut row = Row {
            name: case.name(),
            direct,
            through,
            peaks: self.sampler.take(),
            after: Usage::default(),
            idle_after_s: 0.0,
            outcomes: Outcomes::new(),
            broken: Vec::new(),
        };
        for problem in self.settle(case, &before, matched) {
            row.expect(false, || format!("{problem:#}"));
        }
        row.idle_after_s = quiet.elapsed().as_secs_f64();
        row.after = Usage::of(self.miffy.id)?;
        let after = self.metrics()?;
        row.outcomes = since(&before.outcomes(), &after.outcomes());
        let gateway_errors = after.sum("miffy_gateway_errors_total");
        let errors = gateway_errors - before.sum("miffy_gateway_errors_total");
        row.expect(errors == 0, || format!("{errors} answers of 502 or 504"));
        self.check(case, &mut row, memory_before_mib);
        if let Some(most) = self.options.max_added_p99 {
            let added = row.added_p99();
            row.expect(added <= most, || format!("it added {added:.2} ms"));
        }
        Ok(row)
    }

    /// Ends miffy in order.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        drop(self.sampler);
        let panics = self.miffy.panics();
        if !panics.is_empty() {
            bail!("miffy panicked:\n{}", panics.join("\n"));
        }
        self.miffy.stop(STOP)?;
        Ok(())
    }

    fn metrics(&self) -> anyhow::Result<Metrics> {
        Metrics::scrape(self.miffy.management)
    }

    /// Sends a case's requests beside whatever a client does. Gives both tallies, and how many requests that
    /// client made.
    fn load(&self, case: Case) -> anyhow::Result<(Tally, Tally, u64)> {
        let signals = Signals::default();
        let other = self.disturb(case, &signals);
        let tallies = self.live.block_on(async {
            if other.is_some() {
                signals.begun.cancelled().await;
            }
            let has_an_end = matches!(case, Case::Client(client) if client.has_an_end());
            let goes_on = || has_an_end && other.as_ref().is_some_and(|other| !other.is_finished());
            self.rounds(case, goes_on).await
        });
        signals.stop.cancel();
        let others = match other {
            Some(other) => self.live.block_on(other)??,
            None => 0,
        };
        let (direct, through) = tallies?;
        Ok((direct, through, others))
    }

    /// Sends requests in rounds, straight and through miffy in turns: as many as were asked for, and more as
    /// long as something else goes on.
    async fn rounds(
        &self,
        case: Case,
        goes_on: impl Fn() -> bool,
    ) -> anyhow::Result<(Tally, Tally)> {
        let options = self.options;
        let requests = match case {
            Case::Client(_) => options.requests / CLIENT_SHARE,
            _ => options.requests,
        };
        let mut straight = Clients::new(self.reference.address, options.connections);
        let mut through_miffy = Clients::new(self.miffy.address, options.connections);
        let (mut direct, mut through) = (Tally::default(), Tally::default());
        let mut round = Round {
            case: case.name(),
            first: 0,
            count: requests.div_ceil(options.rounds),
            rate: options.rate,
        };
        while round.first < requests || goes_on() {
            let fewer = Round {
                count: round.count.div_ceil(DIRECT_SHARE),
                ..round
            };
            direct.add(straight.run(fewer).await?);
            through.add(through_miffy.run(round).await?);
            round.first += round.count;
        }
        Ok((direct, through))
    }

    fn disturb(&self, case: Case, signals: &Signals) -> Option<JoinHandle<anyhow::Result<u64>>> {
        let Case::Client(disturbance) = case else {
            return None;
        };
        let disturbing = disturbance.run(self.means, signals.clone());
        Some(self.live.spawn(disturbing))
    }

    /// Waits until nothing is left of a case's requests; gives what did not come to its end.
    fn settle(&self, case: Case, before: &Metrics, matched: u64) -> Vec<anyhow::Error> {
        let before = before.outcomes();
        let is_quiet = || {
            let metrics = self.metrics()?;
            let gauges = [
                "miffy_connections",
                "miffy_live_in_flight",
                "miffy_shadow_in_flight",
                "miffy_captured_bytes",
            ];
            let busy = gauges.iter().find(|gauge| metrics.sum(gauge) > 0);
            if let Some(gauge) = busy {
                bail!("{gauge} is {}", metrics.sum(gauge));
            }
            Ok(true)
        };
        let is_accounted_for = || {
            let outcomes = since(&before, &self.metrics()?.outcomes());
            let counted: u64 = outcomes.values().sum();
            if counted != matched {
                bail!("{counted} outcomes of {matched} requests");
            }
            Ok(true)
        };
        let is_delivered = || {
            let metrics = self.metrics()?;
            let waiting = metrics.sum("miffy_delivery_waiting_records");
            Ok(waiting == 0 || self.kind == Kind::KafkaAway)
        };
        let is_idle = || {
            let sockets = Usage::of(self.miffy.id)?.sockets;
            let at_first = self.at_first.sockets;
            if sockets > at_first + KAFKA_SOCKETS {
                bail!("{sockets} sockets, and {at_first} at first");
            }
            Ok(true)
        };
        let waits = [
            within("nothing's being in flight", QUIET, is_quiet),
            within("an outcome for each request", QUIET, is_accounted_for),
            within("the records' delivery", DELIVERED, is_delivered),
            {
                self.hang_up(case);
                within("the sockets' end", IDLE, is_idle)
            },
        ];
        waits.into_iter().filter_map(Result::err).collect()
    }

    /// Has services close idle connections, so that not every case has to wait until miffy does; but once it
    /// has to.
    fn hang_up(&self, case: Case) {
        if case == Case::Healthy {
            return;
        }
        self.reference.hang_up();
        for candidate in &self.candidates {
            if let Candidate::Answering(service) = candidate {
                service.hang_up();
            }
        }
    }

    /// What has to hold whatever the case is.
    fn check(&self, case: Case, row: &mut Row, memory_before_mib: usize) {
        let both = [
            ("straight", &row.direct.problems, row.direct.failed),
            ("through miffy", &row.through.problems, row.through.failed),
        ];
        let failures = both.map(|(way, problems, failed)| {
            (failed > 0).then(|| format!("{failed} failed {way}: {}", problems.join("; ")))
        });
        row.broken.extend(failures.into_iter().flatten());
        let peaks = row.peaks;
        let more = match case {
            Case::Client(disturbance) => disturbance.sockets(self.means),
            _ => 0,
        };
        // Given up, an exchange may leave a connection that is still being closed.
        let connections = usize::try_from(self.options.connections * 2 + 2 * MAX_IN_FLIGHT);
        let sockets = connections.unwrap_or(usize::MAX) + more + OTHER_SOCKETS;
        row.expect(peaks.usage.sockets <= sockets, || {
            format!("{} sockets, over {sockets}", peaks.usage.sockets)
        });
        let memory = self.kind.max_memory_mib();
        row.expect(peaks.usage.memory_mib() <= memory, || {
            format!("{} MiB, over {memory}", peaks.usage.memory_mib())
        });
        row.expect(peaks.usage.threads <= MAX_THREADS, || {
            format!("{} threads, over {MAX_THREADS}", peaks.usage.threads)
        });
        row.expect(peaks.mirrored <= MAX_IN_FLIGHT, || {
            format!("{} exchanges at a time", peaks.mirrored)
        });
        row.expect(
            peaks.captured <= MAX_CAPTURED_MIB as u64 * 1024 * 1024,
            || format!("{} bytes captured", peaks.captured),
        );
        row.expect(peaks.samples > 0 && peaks.scrapes_failed == 0, || {
            format!("it could not be watched: {peaks:?}")
        });
        let internal = row.outcomes.get("skipped.internal").copied();
        row.expect(internal.unwrap_or_default() == 0, || {
            "miffy itself failed".to_owned()
        });
        let memory = row.after.memory_mib();
        let first = self.at_first.memory_mib();
        // What a case before has left behind is that one's affair, and records that wait are not left over.
        let kept = (first + self.options.kept_mib).max(memory_before_mib + PAGES_MIB);
        row.expect(memory <= kept || self.kind == Kind::KafkaAway, || {
            format!("{memory} MiB afterwards, {memory_before_mib} before, {first} at first")
        });
    }
}

/// miffy's configuration: an experiment for each case.
fn config(
    kind: Kind,
    reference: SocketAddr,
    brokers: &str,
    cases: &[Case],
    candidates: &[Candidate],
) -> anyhow::Result<String> {
    let (limit, max_body) = (kind.candidate_limit(), kind.max_body());
    let mut config = format!(
        r#"
        address = "127.0.0.1"
        port = 0
        management_address = "127.0.0.1"
        management_port = 0
        logging = "json"
        shutdown_timeout = "5s"
        reference = "http://{reference}"
        shadow.max_in_flight = {MAX_IN_FLIGHT}
        capture.max_body = "{max_body}"
        capture.max_total = "{MAX_CAPTURED_MIB}MiB"
        timeouts.candidate = {{ connect = "1s", exchange = "{limit}" }}
        kafka = {{ topic = "soak", "bootstrap.servers" = "{brokers}" }}
        "#
    );
    for (case, candidate) in cases.iter().zip(candidates) {
        let (name, url) = (case.name(), candidate.url());
        write!(
            config,
            "[[routes]]\nname = \"{name}\"\npath = \"/x/{name}/{{*rest}}\"\nmethods = [\"*\"]\n\
             candidate = \"{url}\"\n"
        )?;
    }
    Ok(config)
}

/// An address where nobody listens, for as long as the runtime is there.
fn nobody(runtime: &Runtime) -> anyhow::Result<String> {
    let silent = runtime.block_on(Faulty::start(Fault::Refuse));
    let address = silent.url.strip_prefix("http://").context("a URL")?;
    let address = address.to_owned();
    runtime.spawn(async move {
        let _bound = silent;
        std::future::pending::<()>().await;
    });
    Ok(address)
}

fn since(before: &Outcomes, after: &Outcomes) -> Outcomes {
    let grown = |(outcome, count): (&String, &u64)| {
        let before = before.get(outcome).copied().unwrap_or_default();
        (outcome.clone(), count - before)
    };
    after.iter().map(grown).collect()
}
