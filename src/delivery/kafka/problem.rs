//! What librdkafka's errors mean for a record, and what an operator can do.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::delivery::sink::{Failure, Problem};

/// What an error means for the record that it was told of.
pub(super) fn failure(error: &KafkaError) -> Failure {
    match error.rdkafka_error_code() {
        Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize) => Failure::TooLarge(None),
        Some(Code::MessageTimedOut) => Failure::TimedOut,
        // With a record that failed for good, those beside and behind it fail with these.
        Some(
            Code::InvalidDifferentRecord
            | Code::PurgeQueue
            | Code::PurgeInflight
            | Code::OutOfOrderSequenceNumber
            | Code::Fatal
            | Code::GaplessGuarantee,
        ) => Failure::Recalled,
        Some(code @ (Code::InvalidRecord | Code::InvalidTimestamp)) => {
            Failure::Rejected(code.to_string())
        }
        _ => Failure::Sink(problem(error)),
    }
}

/// What an error says, and what can be done about it.
pub(super) fn problem(error: &KafkaError) -> Problem {
    let code = error.rdkafka_error_code();
    Problem {
        reason: code.map_or_else(|| error.to_string(), |code| code.to_string()),
        remedy: code.and_then(remedy),
    }
}

pub(super) fn remedy(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            "create the topic, or have miffy create it with topics.create = true"
        }
        Code::TopicAuthorizationFailed => "grant Describe and Write on the topic",
        Code::ClusterAuthorizationFailed => {
            "grant IdempotentWrite on the cluster, or set \"enable.idempotence\" = false"
        }
        Code::TransactionalIdAuthorizationFailed => "grant Write on the transactional id",
        Code::Authentication | Code::SaslAuthenticationFailed => {
            "check sasl.mechanism, sasl.username and sasl.password"
        }
        Code::UnsupportedSASLMechanism => "set sasl.mechanism to one that the broker offers",
        Code::SSL => {
            "check security.protocol, ssl.ca.location, and the certificate and key of ssl.*"
        }
        Code::InvalidTopic => "choose a topic's name that the broker allows",
        Code::InvalidRequiredAcks => "set acks to all, 1 or 0",
        Code::PolicyViolation => "see what the broker's policy says of the topic",
        _ => return None,
    })
}
