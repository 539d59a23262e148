#!/usr/bin/env bash
# Instructions and allocations of one request, as callgrind counts them: figures that hardly depend on the machine and
# not at all on its load, so that a change of a few per cent shows. What the kernel does is not in them.
#
#   bench/instructions.sh [BINARY]     target/release/miffy, which is built, or another one
#
# A case is run with 500 requests and with 2,500, on one connection, and the difference divided by 2,000: starting and
# stopping are not in it. Needs valgrind and h2load (nghttp2-client), and the ports 3000, 3001, 8080, 9000 and 9092.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}

results=bench/results
few=500
many=2500
pids=()

fail() {
  echo "instructions: $*" >&2
  exit 1
}
end() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
}
trap end EXIT

command -v valgrind >/dev/null || fail "valgrind is not installed"
command -v h2load >/dev/null || fail "h2load is not installed (Debian: nghttp2-client)"
cargo build --release --bin miffy --example demo --example broker
binary=${1:-$CARGO_TARGET_DIR/release/miffy}
[ -x "$binary" ] || fail "$binary is no program"
mkdir -p "$results"
for port in 3000 3001 8080 9000 9092; do
  ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || fail "port $port is taken"
done

# Waits until something listens on these ports.
listening() {
  local port
  for port in "$@"; do
    for _ in $(seq 300); do
      (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue 2
      sleep 0.1
    done
    fail "nothing listens on port $port; see $results"
  done
}

"$CARGO_TARGET_DIR/release/examples/demo" >"$results/services.log" 2>&1 &
pids+=($!)
"$CARGO_TARGET_DIR/release/examples/broker" miffy-bench >"$results/broker.log" 2>&1 &
pids+=($!)
listening 3000 3001 9092

# Prints the instructions and the allocations of a whole run with so many requests to a path.
count() {
  local path=$1 requests=$2 out=$results/callgrind.out miffy
  rm -f "$out"
  RUST_LOG=warn valgrind --tool=callgrind --callgrind-out-file="$out" "$binary" --config bench/config.toml \
    2>"$results/valgrind.log" &
  miffy=$!
  pids+=("$miffy")
  listening 8080
  h2load --h1 -n "$requests" -c 1 -t 1 "http://127.0.0.1:8080$path" >"$results/h2load.txt"
  grep -q " $requests succeeded" "$results/h2load.txt" || fail "not every request was answered; see $results/h2load.txt"
  kill -TERM "$miffy"
  wait "$miffy" || fail "miffy did not end well; see $results/valgrind.log"
  awk '
    /^(summary|totals):/ { instructions = $2 }
    # A name is written with its number once, and is its number alone from then on.
    /^c?fn=/ {
      number = $1; sub(/^c?fn=/, "", number)
      if (NF > 1) { name = $0; sub(/^[^ ]* /, "", name); names[number] = name }
      if (/^cfn=/) called = names[number]
    }
    /^calls=/ && called ~ /^(_rjem_)?(malloc|calloc|realloc|mallocx|rallocx)('"'"'.*)?$/ {
      calls = $1; sub(/^calls=/, "", calls); allocations += calls
    }
    END { printf "%d %d\n", instructions, allocations }' "$out"
}

printf '%-22s %22s %21s\n' "" "instructions/request" "allocations/request"
for row in "pass-through:/other/1" "mirrored, equal:/api/1" "mirrored, different:/api/3"; do
  before=$(count "${row#*:}" "$few")
  after=$(count "${row#*:}" "$many")
  awk -v name="${row%%:*}" -v before="$before" -v after="$after" -v n=$((many - few)) 'BEGIN {
    split(before, a); split(after, b)
    printf "%-22s %22.0f %21.1f\n", name, (b[1] - a[1]) / n, (b[2] - a[2]) / n
  }'
done
