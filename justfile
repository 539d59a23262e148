# What developers and CI run. Nothing here needs `just`: each recipe is a line that can be typed.

# The recipes
default:
    @just --list

# The main job on this machine, with nothing else installed
demo:
    cargo run --release -- demo

# All tests, with the embedded broker
test:
    cargo test

# All tests, with a real Apache Kafka, and those of its security with another one
test-kafka:
    scripts/test-with-kafka.sh

# What reads foreign bytes, fuzzed: each target for so many seconds
fuzz seconds="60":
    scripts/fuzz.sh {{ seconds }}

# The pipelines of docs/outcomes.md on real lines; needs kcat and jq, and DuckDB comes from PyPI
outcomes:
    scripts/smoke-outcomes.sh

# A real Apache Kafka on 127.0.0.1:9192 until Ctrl-C; needs java and mvn
kafka:
    scripts/kafka.sh run

# Formatting, lints and documentation, warnings as errors
lint:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items

# The Kubernetes manifests against the schemas, each other and `miffy check`; the schemas come from PyPI
check-deploy miffy="":
    deploy/check {{ miffy }}

# Everything that CI does, but for the image
ci:
    .ci/run

# The live path beside every fault of candidates, clients and Kafka, with 100,000 requests each
soak *arguments:
    cargo bench --bench soak -- {{arguments}}

# Every difference beside each fault of Kafka, miffy and its disk, with a real Apache Kafka; `--throughput` for its cost
delivery *arguments:
    cargo bench --bench delivery -- {{arguments}}

# MB/s of comparing JSON bodies of 1 KB to 5 MB, beside serde_json's reading both; arguments are criterion's
bench-json *arguments:
    cargo bench --bench compare -- {{arguments}}

# wrk against the reference alone, miffy passing through, and miffy mirroring equal and different pairs
bench:
    bench/run.sh

# Instructions and allocations of one request, which hardly depend on the machine; needs valgrind and nghttp2-client
bench-instructions *arguments:
    bench/instructions.sh {{arguments}}

# miffy beside nginx, HAProxy and Envoy: CPU and memory of a request, latency, throughput; `--help` tells what can be chosen
bench-compare *arguments:
    cargo build --profile dist --bin miffy
    cargo build --release --example broker
    test -e target/proxies-venv/bin/python || python3 -m venv target/proxies-venv
    target/proxies-venv/bin/pip install -q --disable-pip-version-check -r bench/proxies/requirements.txt
    target/proxies-venv/bin/python bench/proxies/run.py {{arguments}}
