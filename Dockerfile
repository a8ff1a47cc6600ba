# One image for both services and chatctl; the container's command decides which one runs. Built with plain BuildKit: no
# `syntax` line, which would make every build depend on Docker Hub.
#
#   docker build --tag chat:0.2.0 .                             the image
#   docker build --build-context build=FOLDER .                 from the programs in FOLDER, in seconds
#   docker build --build-context web=FOLDER .                   with the files of FOLDER as the web client
#   docker build --target symbols --output symbols .            the symbols that `perf` and debuggers need
#
# `deploy/pin.sh` writes the digests of the images below; see docs/deployment.md.

FROM rust:1.95.0-slim-bookworm AS chef
# The toolchain of the image, even if rust-toolchain.toml would make rustup download more.
ENV RUSTUP_TOOLCHAIN=1.95.0 SQLX_OFFLINE=true
RUN cargo install cargo-chef --locked --version 0.1.78
WORKDIR /src

# The list of dependencies, without the sources: it changes rarely, so the long layer of the next stage stays cached.
FROM chef AS plan
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM chef AS compile
COPY --from=plan /src/recipe.json recipe.json
RUN cargo chef cook --release --locked --recipe-path recipe.json --package gateway --package worker --package chatctl
COPY . .
# Symbols take four fifths of the programs, and only profilers and debuggers read them.
RUN cargo build --release --locked --package gateway --package worker --package chatctl \
    && mkdir /programs /symbols \
    && for program in gateway worker chatctl; do \
        objcopy --only-keep-debug "target/release/$program" "/symbols/$program.debug" \
        && objcopy --strip-all --add-gnu-debuglink="/symbols/$program.debug" "target/release/$program" "/programs/$program" \
        || exit 1; \
    done

FROM scratch AS symbols
COPY --from=compile /symbols/ /

FROM scratch AS build
COPY --from=compile /programs/ /

# The web client: static files, made with the SDK's sources. `--build-context web=FOLDER` takes files that are built already.
FROM node:20.20.2-bookworm-slim AS compile-web
WORKDIR /src/web
COPY web/package.json web/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY sdk/src /src/sdk/src
COPY web ./
RUN npm run build

FROM scratch AS web
COPY --from=compile-web /src/web/dist/ /

# ca-certificates for TLS to Postgres and Redis. It brings openssl, which makes the self-signed certificate of compose.
# Removes what only installs packages, a fifth of the image: nothing is installed in a running container.
# checkov:skip=CKV_DOCKER_9: apt is not run, but removed
FROM debian:12.11-slim AS system
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && dpkg --purge --force-depends --force-remove-essential \
        apt libapt-pkg6.0 gpgv debian-archive-keyring libgnutls30 libp11-kit0 libunistring2 libidn2-0 libstdc++6 perl-base \
    && rm -rf /var/lib/apt /var/cache/* /var/log/* /usr/share/doc /usr/share/info /usr/share/locale /usr/share/man

# From scratch, because files of lower layers would stay in the image.
FROM scratch
# hadolint ignore=DL3067
COPY --from=system / /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
COPY --from=web / /usr/share/chat/web/
COPY --from=build / /usr/local/bin/
# checkov:skip=CKV_DOCKER_2: the command decides what is healthy; compose and Kubernetes have a probe for each program
# If empty, the gateway serves no web client.
ENV WEB_ROOT=/usr/share/chat/web
COPY --chmod=0755 deploy/probe.sh /usr/local/bin/probe
WORKDIR /
USER 65532:65532
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
ARG VERSION=0.2.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="chat" \
      org.opencontainers.image.description="Gateway, worker and command line of the chat server" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
CMD ["gateway"]
