#!/usr/bin/env bash
# Runs the demo as a newcomer does, tries the lines that it prints, and ends it with Ctrl-C.
# Needs curl, kcat and python3, and the demo's ports.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}

out=$(mktemp -d)
demo=
end() {
  [ -z "$demo" ] || kill -9 "$demo" 2>/dev/null || true
  rm -rf "$out"
}
trap end EXIT
fail() {
  echo "smoke-demo.sh: $*" >&2
  cat "$out"/*.txt >&2 || true
  exit 1
}

cargo build --release --bin miffy
# In a process group of its own with the default handling of SIGINT, which a background job would ignore.
python3 - >"$out/demo.txt" 2>"$out/errors.txt" <<'PYTHON' &
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
os.execv(os.environ["CARGO_TARGET_DIR"] + "/release/miffy", ["miffy", "demo"])
PYTHON
demo=$!
for _ in $(seq 300); do
  grep -q 'Ctrl-C ends it' "$out/demo.txt" && grep -q 'kafka .* key 7' "$out/demo.txt" && break
  kill -0 "$demo" 2>/dev/null || fail "the demo ended by itself"
  sleep 0.1
done
grep -q 'GET /api/3: different' "$out/demo.txt" || fail "it shows no difference"

# The lines to paste are those that start with these commands.
mapfile -t lines < <(grep -E '^  (curl|kcat) ' "$out/demo.txt")
[ ${#lines[@]} -eq 3 ] || fail "it prints ${#lines[@]} lines to try, not 3"
bash -c "${lines[0]}" >"$out/curl.txt" 2>/dev/null
grep -q '^HTTP/1.1 200 OK' "$out/curl.txt" || fail "this does not work: ${lines[0]}"
for _ in $(seq 100); do
  grep -q 'kafka .* key 6' "$out/demo.txt" && break
  sleep 0.1
done
bash -c "${lines[1]}" >"$out/metrics.txt" || fail "this does not work: ${lines[1]}"
grep -q 'outcome="different",reason=""} 3' "$out/metrics.txt" || fail "the metrics don't count 3 differences"
bash -c "${lines[2]}" >"$out/kcat.txt" || fail "this does not work: ${lines[2]}"
python3 - "$out/kcat.txt" <<'PYTHON' || fail "kcat does not show the records"
import json, sys
records = [line.split(" ", 1) for line in open(sys.argv[1], encoding="utf-8")]
# Between keys there is no order.
assert sorted(key for key, _ in records) == ["3", "6", "7"], records
for key, record in records:
    record = json.loads(record)
    assert record["request"]["uri"] == f"/api/{key}", record
    assert record["differences"], record
PYTHON

kill -INT "$demo"
wait "$demo" || fail "Ctrl-C did not end it with code 0, but $?"
demo=
tail -n 1 "$out/demo.txt" | grep -qx 'ended' || fail "it did not end cleanly"
[ ! -s "$out/errors.txt" ] || fail "it wrote to standard error"
head -n 20 "$out/demo.txt"
