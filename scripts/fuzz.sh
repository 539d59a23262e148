#!/usr/bin/env bash
# Fuzzes what reads foreign bytes: each target of fuzz/ for so many seconds, 20 unless told, or those that are
# named. Ends with an error at the first finding, and says where its input is.
# Usage: scripts/fuzz.sh [seconds [target...]]
#
# On stable Rust and without cargo-fuzz: coverage comes from fuzz/rustc, which leaves all dependencies as the
# tests have built them. The layout is that of cargo-fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-20}
shift || true

# What builds C takes minutes, unless it is of the versions, and where, the tests' build has it.
export CARGO_BUILD_BUILD_DIR=${CARGO_TARGET_DIR:-$PWD/target}
export CARGO_TARGET_DIR=$PWD/fuzz/target RUSTC_WRAPPER=$PWD/fuzz/rustc
[ fuzz/Cargo.lock -nt Cargo.lock ] || cp Cargo.lock fuzz/Cargo.lock
cargo build --manifest-path fuzz/Cargo.toml --bins

targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for file in fuzz/fuzz_targets/*.rs; do
    targets+=("$(basename "$file" .rs)")
  done
fi
for target in "${targets[@]}"; do
  # What is found goes to a directory of its own; the seeds stay as they are.
  grown=fuzz/grown/$target artifacts=fuzz/artifacts/$target log=fuzz/target/$target.log
  mkdir -p "$grown" "$artifacts"
  if ! "$CARGO_TARGET_DIR/debug/$target" -max_total_time="$seconds" -rss_limit_mb=1024 -malloc_limit_mb=256 \
    -timeout=10 -max_len=4096 -len_control=0 -artifact_prefix="$artifacts/" "$grown" "fuzz/corpus/$target" >"$log" 2>&1; then
    tail -n 60 "$log" >&2
    echo "fuzz.sh: $target found something. Its input is in $artifacts; to see it again:" >&2
    echo "  fuzz/target/debug/$target $artifacts/<file>" >&2
    exit 1
  fi
  coverage=$(grep -Eo 'cov: [0-9]+' "$log" | tail -n 1)
  echo "$target: $(grep '^Done' "$log"), $coverage"
done
