#!/usr/bin/env bash
# Runs miffy as it is deployed, with the sample configuration, the demo's services and a real Apache Kafka;
# sends requests with curl, reads the differences back with kcat, and stops it with SIGTERM.
# Needs curl, kcat and python3, java and mvn, and the ports of the sample configuration.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}

out=$(mktemp -d)
pids=()
end() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait
  scripts/kafka.sh stop
  rm -rf "$out"
}
fail() {
  echo "smoke-kafka.sh: $*" >&2
  cat "$out"/*.txt >&2 || true
  exit 1
}

cargo build --release --bin miffy
cargo build --example demo
broker=$(scripts/kafka.sh start)
trap end EXIT
"$CARGO_TARGET_DIR/debug/examples/demo" >"$out/services.txt" 2>&1 &
pids+=($!)
KAFKA_BOOTSTRAP_SERVERS=$broker MIFFY_LOGGING=json \
  "$CARGO_TARGET_DIR/release/miffy" --config config.sample.toml 2>"$out/miffy.txt" &
miffy=$!
pids+=("$miffy")
for _ in $(seq 100); do
  curl -sf http://127.0.0.1:9000/readyz 2>/dev/null | grep -q '"kafka":"reached"' && break
  sleep 0.1
done
curl -sf http://127.0.0.1:9000/readyz | grep -q '"kafka":"reached"' || fail "Kafka is not reached"
for value in 1 2 3 4 6 7; do
  curl -sf "http://127.0.0.1:8080/api/$value" >/dev/null || fail "/api/$value is not answered"
done
kill -TERM "$miffy"
wait "$miffy" || fail "SIGTERM did not end it with code 0, but $?"
grep '"message":"stopped"' "$out/miffy.txt" | grep -q '"published":3' || fail "it did not publish 3 records"

kcat -b "$broker" -t miffy -C -o beginning -e -q -f '%k %s\n' >"$out/kcat.txt"
python3 - "$out/kcat.txt" <<'PYTHON' || fail "the records are not those of 3, 6 and 7"
import json, sys
records = [line.split(" ", 1) for line in open(sys.argv[1], encoding="utf-8")]
assert sorted(key for key, _ in records) == ["3", "6", "7"], records
for key, record in records:
    assert json.loads(record)["request"]["params"] == {"value": key}, record
PYTHON
head -n 1 "$out/kcat.txt"
