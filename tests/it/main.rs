//! Integration tests: miffy as its users have it, with real sockets and a broker.
//!
//! The broker is librdkafka's mock cluster, or the Apache Kafka that `MIFFY_TEST_KAFKA=host:port` names.
//! `security` needs the broker of `scripts/kafka.sh start secure`, in the directory that `MIFFY_TEST_KAFKA_SECURE` names.
#![expect(clippy::unwrap_used, reason = "a test's panic is its result")]

mod support;

mod admin;
mod against;
mod alike;
mod binary;
mod candidates;
mod clients;
mod coming_from;
mod comparison;
mod compat;
mod configuration;
mod delivery;
mod documents;
mod edges;
mod encryption;
mod experiments;
mod fastest;
mod faults;
mod hooks;
mod json;
mod management;
mod noise;
mod outcomes;
mod proxying;
mod records;
mod redaction;
mod reload;
mod security;
mod shadow;
mod smuggling;
mod spooling;
