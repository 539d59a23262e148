#!/usr/bin/env bash
# Runs the pipelines of docs/outcomes.md as they stand there, on the lines that the real binary writes to a file and to a
# topic of the embedded broker, and looks at what they print.
# Needs curl, kcat, jq and python3; DuckDB comes from PyPI unless python3 has it.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}

out=$(mktemp -d)
pids=()
end() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait
  rm -rf "$out"
}
trap end EXIT
fail() {
  echo "smoke-outcomes.sh: $*" >&2
  tail -n 40 "$out"/*.txt >&2 || true
  exit 1
}

# Waits for a line, and prints the part of it that is asked for.
line() {
  for _ in $(seq 300); do
    sed -nE "s/$2/\\1/p" "$out/$1.txt" | head -n 1 | grep . && return
    sleep 0.1
  done
  fail "$1 does not say $2"
}

for needed in curl kcat jq python3; do
  command -v "$needed" >/dev/null || fail "there is no $needed"
done
if ! python3 -c 'import duckdb' 2>/dev/null; then
  python3 -m venv "$out/venv" || fail "python3 can't make a virtual environment"
  "$out/venv/bin/pip" install -q --disable-pip-version-check duckdb || fail "DuckDB can't be installed"
  PATH="$out/venv/bin:$PATH"
fi
cargo build --bin miffy --example broker

# Two services: the candidate is slow on /slow, always differs on /other, and for one in four on /mixed.
cat >"$out/services.py" <<'PYTHON'
import http.server, threading, time

def service(role):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            _, route, number = self.path.split("?")[0].split("/")
            is_candidate = role == "candidate"
            if is_candidate and route == "slow":
                time.sleep(0.2)
            differs = route == "other" or route == "mixed" and int(number) % 4 == 0
            body = b'{"a": %d}' % (is_candidate and differs)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever).start()
    print(role, "listens on", server.server_address[1], flush=True)

for role in ["reference", "candidate"]:
    service(role)
PYTHON
python3 "$out/services.py" >"$out/services.txt" 2>&1 &
pids+=($!)
"$CARGO_TARGET_DIR/debug/examples/broker" outcomes 127.0.0.1:0 >"$out/broker.txt" 2>&1 &
pids+=($!)
KAFKA=$(line broker 'the broker listens on (.*)')
export KAFKA
cat >"$out/config.toml" <<TOML
reference = "http://127.0.0.1:$(line services 'reference listens on (.*)')"
candidate = "http://127.0.0.1:$(line services 'candidate listens on (.*)')"
address = "127.0.0.1"
port = 0
management_address = "127.0.0.1"
management_port = 0
logging = "json"
shutdown_delay = "off"
routes = [
    { path = "/same/{id}", methods = ["GET"] },
    { path = "/slow/{id}", methods = ["GET"] },
    { path = "/mixed/{id}", methods = ["GET"] },
    { path = "/other/{id}", methods = ["GET"] },
]
[kafka]
enabled = false
"bootstrap.servers" = "$KAFKA"
[file]
path = "$out/differences.jsonl"
[outcomes]
path = "$out/outcomes.jsonl"
topic = "outcomes"
TOML
"$CARGO_TARGET_DIR/debug/miffy" --config "$out/config.toml" 2>"$out/miffy.txt" &
miffy=$!
pids+=("$miffy")
address=$(line miffy '.*"message":"started","address":"([^"]*)".*')
for id in $(seq 1 12); do
  for route in same slow mixed other; do
    curl -sf "http://$address/$route/$id?token=secret" >/dev/null || fail "/$route/$id is not answered"
  done
done
curl -s -o /dev/null -d x "http://$address/same/1"
kill -TERM "$miffy"
wait "$miffy" || fail "SIGTERM did not end it with code 0, but $?"
line miffy '.*"outcome_lines":98,"outcome_lines_published":(98),.*' >/dev/null
[ "$(wc -l <"$out/outcomes.jsonl")" -eq 49 ] || fail "there are not 49 lines in the file"
! grep -q secret "$out/outcomes.jsonl" || fail "the query is in the lines"

# Runs the line of this name in the page; prints what it does.
run() {
  local command
  command=$(awk -v mark="<!-- smoke: $1 -->" '$0 == mark { on = 1; next } on && /^```/ { if (body) exit; body = 1; next } body' docs/outcomes.md)
  [ -n "$command" ] || fail "docs/outcomes.md has no $1"
  echo "--- $1"
  (cd "$out" && bash -euo pipefail -c "$command" </dev/null) | tee "$out/$1.txt"
}

# Fails unless the output of this name has lines that match these, in this order.
shows() {
  local name=$1
  shift
  python3 - "$out/$name.txt" "$@" <<'PYTHON' || fail "$name does not show what it is to show"
import re, sys
lines = iter(open(sys.argv[1], encoding="utf-8").read().splitlines())
for pattern in sys.argv[2:]:
    if not any(re.search(pattern, line) for line in lines):
        sys.exit(f"no line, or none in this place, matches {pattern}")
PYTHON
}

# 12 requests each; the candidate sleeps for 200 ms on /slow, which is more than 100 ms slower whatever the reference
# takes. /same has a request more that is skipped.
run kcat-slowest
head -n 1 "$out/kcat-slowest.txt" | grep -qE $'^[1-9][0-9]{2}(\\.[0-9]+)?\t12\t/slow/\\{id\\}$' || fail "/slow is not the slowest"
run kcat-different
shows kcat-different $'^100\t12\t/other/' $'^25\t12\t/mixed/' $'^0\t12\t/s' $'^0\t12\t/s'
run duckdb-slowest
shows duckdb-slowest '/slow/\{id\} *│ candidate │ +12 │.* [1-9][0-9]{2}\.[0-9] │' '/(same|mixed|other)/' '/(same|mixed|other)/' '/(same|mixed|other)/'
run duckdb-different
shows duckdb-different '/other/\{id\} *│ candidate │ +12 │ +12 │ +100\.0 │ +0 │ +0 │' '/mixed/\{id\} *│ candidate │ +12 │ +3 │ +25\.0 │'
shows duckdb-different '/same/\{id\} *│ candidate │ +13 │ +0 │ +0\.0 │ +0 │ +1 │'
run duckdb-kcat
shows duckdb-kcat '│ GET .*│ /slow/[0-9]+ *│ equal .*│'
echo "smoke-outcomes.sh: the pipelines of docs/outcomes.md run"
