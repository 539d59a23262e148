# miffy's image: the binary on a slim Debian, run by nobody in particular. It also holds the demo's services,
# which docker-compose.yml runs.
FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --locked --profile dist --bin miffy --example demo \
    && strip target/dist/miffy target/dist/examples/demo

FROM debian:bookworm-slim
# Certificate authorities, for backends that are reached over https; and a place for the spool, whose owner a
# volume that is mounted there for the first time takes over.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home miffy \
    && install --directory --owner=miffy --mode=0700 /var/spool/miffy
COPY --from=build /src/target/dist/miffy /usr/local/bin/miffy
COPY --from=build /src/target/dist/examples/demo /usr/local/bin/miffy-demo-services
USER 10001
# A config.toml that is mounted here is read.
WORKDIR /home/miffy
EXPOSE 8080 9000
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["miffy", "health"]
CMD ["miffy"]
