//! What has to be asked of, or done at, the brokers beside producing: creating topics, and learning their limits.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::{ClientConfig, FromClientConfigAndContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tracing::{info, warn};

use super::problem::{problem, remedy};
use crate::config::{Quiet, Topics};
use crate::delivery::sink::Problem;

/// How long brokers may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The topic's own bound of a batch, in bytes.
const LIMIT: &str = "max.message.bytes";

/// What is to be done before records are sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Errand {
    /// Topics to be created.
    pub(super) create: Vec<String>,
    pub(super) creation: Option<Topics>,
    /// Topics whose limit is to be learned.
    pub(super) learn: Vec<String>,
}

/// Limits by topic, those that could be learned.
pub(super) type Limits = BTreeMap<String, usize>;

impl Errand {
    pub(super) fn is_empty(&self) -> bool {
        self.create.is_empty() && self.learn.is_empty()
    }

    /// Does it. Blocks the calling thread, for some twenty seconds at most.
    pub(super) fn run(&self, config: &ClientConfig) -> Result<Limits, Problem> {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|error| Problem {
            reason: error.to_string(),
            remedy: None,
        })?;
        let mut config = config.clone();
        // An administrator's connection is none of a producer's.
        for name in [
            "enable.idempotence",
            "enable.gapless.guarantee",
            "statistics.interval.ms",
        ] {
            config.remove(name);
        }
        let admin: AdminClient<Quiet> = AdminClient::from_config_and_context(&config, Quiet)
            .map_err(|error| problem(&error))?;
        runtime.block_on(async {
            self.create(&admin).await?;
            Ok(self.limits(&admin).await)
        })
    }

    async fn create(&self, admin: &AdminClient<Quiet>) -> Result<(), Problem> {
        let Some(wanted) = self.creation.as_ref().filter(|_| !self.create.is_empty()) else {
            return Ok(());
        };
        let retention = wanted
            .retention
            .map(|retention| retention.as_millis().to_string());
        let topics: Vec<NewTopic<'_>> = self
            .create
            .iter()
            .map(|name| {
                let partitions = wanted.partitions.unwrap_or(-1);
                let replication = TopicReplication::Fixed(wanted.replication_factor.unwrap_or(-1));
                let topic = NewTopic::new(name, partitions, replication);
                match &retention {
                    Some(retention) => topic.set("retention.ms", retention),
                    None => topic,
                }
            })
            .collect();
        let options = AdminOptions::new()
            .request_timeout(Some(TIMEOUT))
            .operation_timeout(Some(TIMEOUT));
        let created = admin.create_topics(&topics, &options).await;
        for result in created.map_err(|error| not_created("the topics", &error))? {
            match result {
                Ok(topic) => info!(topic, "the topic was created"),
                Err((_, Code::TopicAlreadyExists)) => {}
                // It may be there all the same.
                Err((
                    topic,
                    code @ (Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed),
                )) => warn!(topic, error = %code, "the topic can't be created"),
                Err((topic, code)) => {
                    return Err(not_created(&topic, &KafkaError::AdminOp(code)));
                }
            }
        }
        Ok(())
    }

    /// What nobody may be told is left out.
    async fn limits(&self, admin: &AdminClient<Quiet>) -> Limits {
        let topics = self.learn.iter();
        let resources: Vec<ResourceSpecifier<'_>> =
            topics.map(|name| ResourceSpecifier::Topic(name)).collect();
        if resources.is_empty() {
            return Limits::new();
        }
        let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
        let described = admin.describe_configs(&resources, &options).await;
        let described = described.unwrap_or_else(|error| {
            warn!(%error, "the topics' limits can't be learned");
            Vec::new()
        });
        let limits = self.learn.iter().zip(described);
        let limits = limits.filter_map(|(topic, described)| {
            let described = described.ok()?;
            let limit = described.get(LIMIT)?.value.as_ref()?.parse().ok()?;
            info!(topic, limit, "the topic's limit was learned");
            Some((topic.clone(), limit))
        });
        limits.collect()
    }
}

fn not_created(topic: &str, error: &KafkaError) -> Problem {
    Problem {
        reason: format!("{topic} can't be created: {error}"),
        remedy: error.rdkafka_error_code().and_then(remedy).or(Some(
            "mend it, create the topics yourself, or set topics.create = false",
        )),
    }
}
