#!/usr/bin/env bash
# wrk against the reference alone, miffy passing through, miffy mirroring an equal pair, and miffy mirroring
# a different pair that is published; one table. Everything runs on this machine, so it shares its cores:
# compare the rows with each other, not with other machines. CPU is the miffy process's own, user and system.
#
#   bench/run.sh [SECONDS] [ROUNDS]     10 seconds for each row, 1 round; more rounds give medians
#
# Needs wrk, and the ports 3000, 3001, 8080, 9000 and 9092. The broker is the embedded one.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}

seconds=${1:-10}
rounds=${2:-1}
connections=${CONNECTIONS:-32}
threads=2
results=bench/results
pids=()

fail() {
  echo "bench: $*" >&2
  exit 1
}
end() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
}
trap end EXIT

command -v wrk >/dev/null || fail "wrk is not installed"
cargo build --release --bin miffy --example demo --example broker
mkdir -p "$results"
for port in 3000 3001 8080 9000 9092; do
  ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || fail "port $port is taken"
done

"$CARGO_TARGET_DIR/release/examples/demo" >"$results/services.log" 2>&1 &
pids+=($!)
"$CARGO_TARGET_DIR/release/examples/broker" miffy-bench >"$results/broker.log" 2>&1 &
pids+=($!)
RUST_LOG=warn "$CARGO_TARGET_DIR/release/miffy" --config bench/config.toml 2>"$results/miffy.log" &
miffy=$!
pids+=("$miffy")
for port in 3000 3001 8080 9000 9092; do
  for _ in $(seq 100); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue 2
    sleep 0.1
  done
  fail "nothing listens on port $port; see $results"
done

# The CPU time that miffy has used, in clock ticks: fields 14 and 15 of its stat (proc(5)).
cpu_ticks() { awk '{ sub(/^.*\) /, ""); print $12 + $13 }' "/proc/$miffy/stat"; }
memory_mib() { awk '/VmRSS/ { printf "%.0f", $2 / 1024 }' "/proc/$miffy/status"; }

# One row: its name, the URL, and whether miffy is in it.
measure() {
  local name=$1 url=$2 before after
  before=$(cpu_ticks)
  wrk -t"$threads" -c"$connections" -d"${seconds}s" --latency "$url" >"$results/wrk.txt"
  after=$(cpu_ticks)
  awk -v name="$name" -v ticks="$((after - before))" -v hz="$(getconf CLK_TCK)" -v memory="$(memory_mib)" '
    $1 == "Requests/sec:" { rps = $2 }
    $1 == "50%" { p50 = $2 }
    $1 == "99%" { p99 = $2 }
    $2 == "requests" && $3 == "in" { total = $1 }
    /Non-2xx/ { bad = $NF }
    /Socket errors/ { errors = $0; sub(/^ */, "", errors) }
    END {
      printf "%s\t%s\t%s\t%s\t%.1f\t%s\t%s\n", name, rps, p50, p99, ticks / hz * 1e6 / total, memory, bad + 0 " " errors
    }' "$results/wrk.txt" >>"$results/rows.tsv"
}

: >"$results/rows.tsv"
wrk -t1 -c8 -d2s http://127.0.0.1:8080/api/1 >/dev/null # to warm up
for _ in $(seq "$rounds"); do
  measure "reference alone" http://127.0.0.1:3000/api/1
  measure "pass-through" http://127.0.0.1:8080/other/1
  measure "mirrored, equal" http://127.0.0.1:8080/api/1
  measure "mirrored, different" http://127.0.0.1:8080/api/3
done

echo
printf '%-22s %12s %10s %10s %16s %10s\n' "" "requests/s" "p50" "p99" "CPU µs/request" "MiB"
cut -f1 "$results/rows.tsv" | awk '!seen[$0]++' | while read -r name; do
  awk -F'\t' -v name="$name" '$1 == name' "$results/rows.tsv" | sort -t$'\t' -k2 -n |
    awk -F'\t' '{ row[NR] = $0 } END { print row[int((NR + 1) / 2)] }' |
    awk -F'\t' '{
      cpu = $1 == "reference alone" ? "-" : $5
      printf "%-22s %12s %10s %10s %16s %10s", $1, $2, $3, $4, cpu, $6
      if ($7 !~ /^0 *$/) printf "   errors: %s", $7
      print ""
    }'
done
echo
curl -s http://127.0.0.1:9000/metrics | grep -E '^miffy_(outcomes|records_published|records_dropped)_total' | grep -v ' 0$'
