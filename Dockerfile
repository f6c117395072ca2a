# One static binary and nothing beside it, as a user that is not root. It writes to the data directory
# alone, so that a read-only root file system does:
#   docker build --build-arg REVISION=$(git rev-parse HEAD) -t token-authority .
#   docker run --read-only --tmpfs /tmp -v authority:/var/lib/token-authority \
#     -p 127.0.0.1:50051:50051 token-authority serve --address 0.0.0.0:50051 --plaintext
# Where no registry is at hand, `make image` puts a directory in the builder's place:
# docs/decisions/0022-an-image-of-one-static-binary.md.

# Of a mirror, where docker.io is not to be asked.
ARG REGISTRY=docker.io/library

FROM ${REGISTRY}/rust:1.95-bookworm AS build
# What `token_authority_build_info` tells.
ARG REVISION=unknown
WORKDIR /src
COPY . .
# Crates and objects stay in the builder's cache.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    TOKEN_AUTHORITY_COMMIT="${REVISION}" scripts/static.sh /

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="token-authority" \
      org.opencontainers.image.description="Issues, revokes and introspects bearer tokens over gRPC" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# checkov:skip=CKV_DOCKER_2: who runs it has probes, and there is no shell to ask with.
# What scanners make a bill of materials from: the versions of every crate in the binary.
COPY --chmod=0444 Cargo.lock LICENSE /usr/share/doc/token-authority/
# Whom collectors of traces and providers of sessions are trusted by.
COPY --from=build --chmod=0444 /ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chmod=0555 /token-authority /usr/local/bin/token-authority
# A new volume takes over the owner and mode of what it is mounted on.
COPY --from=build --chown=65532:65532 /data /var/lib/token-authority
# For `kubectl exec … token-authority`, on every runtime.
ENV PATH=/usr/local/bin
USER 65532:65532
WORKDIR /var/lib/token-authority
EXPOSE 50051 9464
ENTRYPOINT ["/usr/local/bin/token-authority"]
CMD ["serve"]
