# syntax=docker/dockerfile:1.7
# One image for both services and chatctl; which of them runs is the container's command.

FROM rust:1.95.0-slim-bookworm AS chef
# The toolchain of the image, whatever rust-toolchain.toml would have rustup download besides.
ENV RUSTUP_TOOLCHAIN=1.95.0 SQLX_OFFLINE=true
RUN cargo install cargo-chef --locked --version 0.1.78
WORKDIR /src

# What the dependencies are, without the sources: this changes rarely, so the next stage's long layer stays cached.
FROM chef AS plan
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM chef AS build
COPY --from=plan /src/recipe.json recipe.json
RUN cargo chef cook --release --locked --recipe-path recipe.json --package gateway --package worker --package chatctl
COPY . .
RUN cargo build --release --locked --package gateway --package worker --package chatctl \
    && mkdir /out \
    && cp target/release/gateway target/release/worker target/release/chatctl /out/

FROM debian:12.11-slim
# ca-certificates for TLS to Postgres and Redis; it brings openssl, which makes the self-signed certificate of compose.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/ /usr/local/bin/
COPY --chmod=0755 deploy/probe.sh /usr/local/bin/probe
WORKDIR /
USER 65532:65532
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
CMD ["gateway"]
