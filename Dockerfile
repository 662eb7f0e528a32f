# syntax=docker/dockerfile:1
# docker build -t hanzo-gateway . && docker run -p 8080:8080 -v ./krakend.json:/etc/krakend/krakend.json:ro hanzo-gateway

FROM rust:1.95.0-slim-bookworm AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev cmake make \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin hanzo-gateway \
 && mkdir -p /out/usr/bin /out/etc/krakend /out/etc/hanzo \
 && cp target/release/hanzo-gateway /out/usr/bin/hanzo-gateway \
 && ln -s hanzo-gateway /out/usr/bin/krakend

# glibc, libgcc and CA certificates; no shell, no package manager.
FROM gcr.io/distroless/cc-debian12 AS run
ARG VERSION=1.0.0
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="hanzo-gateway" \
      org.opencontainers.image.description="API gateway that reads KrakenD v3 configuration unchanged" \
      org.opencontainers.image.source="https://github.com/hanzoai/gateway" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
# `krakend` is a link to the same binary: called by that name it starts in KrakenD's dialect.
COPY --from=build /out/ /
# A number, so that Kubernetes can check runAsNonRoot. Nothing is written: the root may be read-only.
USER 1000:1000
WORKDIR /etc/krakend
# 8080 is the front door; 9091 has metrics and statistics and is for the inside only.
EXPOSE 8080 9091
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["/usr/bin/hanzo-gateway", "health"]
ENTRYPOINT ["/usr/bin/hanzo-gateway"]
CMD ["run", "-c", "/etc/krakend/krakend.json"]
