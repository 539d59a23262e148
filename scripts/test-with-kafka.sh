#!/usr/bin/env bash
# Starts a real Apache Kafka, runs the tests against it, then those of its security against one that asks for it, and
# stops both. Arguments go to the first `cargo test`.
set -euo pipefail
cd "$(dirname "$0")/.."

secure() {
  KAFKA_TEST_HOME=.kafka/secure KAFKA_TEST_PORT=$((${KAFKA_TEST_PORT:-9192} + 10)) scripts/kafka.sh "$@"
}

trap 'scripts/kafka.sh stop; secure stop' EXIT
address=$(scripts/kafka.sh start)
MIFFY_TEST_KAFKA=$address cargo test "$@"
scripts/kafka.sh stop
secure start secure
MIFFY_TEST_KAFKA_SECURE=$PWD/.kafka/secure cargo test --test it security:: -- --ignored
