#!/usr/bin/env bash
# Starts a real Apache Kafka, runs the tests against it, and stops it. Arguments go to `cargo test`.
set -euo pipefail
cd "$(dirname "$0")/.."
address=$(scripts/kafka.sh start)
trap 'scripts/kafka.sh stop' EXIT
MIFFY_TEST_KAFKA=$address cargo test "$@"
