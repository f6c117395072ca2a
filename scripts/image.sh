#!/usr/bin/env bash
# Builds the image by the Dockerfile, without a registry and without a daemon: what the stage `build` would
# leave is compiled here. Leaves target/image.tar, which docker, podman and skopeo load.
# IMAGE_PROGRAM=FILE takes that program, a static one, in place of compiling it.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v buildah >/dev/null || {
  echo "image: missing: buildah (Debian: apt-get install --no-install-recommends buildah)" >&2
  exit 1
}
revision=$(git rev-parse HEAD)
stage=target/image
if [[ -n ${IMAGE_PROGRAM:-} ]]; then
  mkdir -p "$stage/data" && chmod 0700 "$stage/data"
  objcopy --strip-debug "$IMAGE_PROGRAM" "$stage/token-authority"
  cp /etc/ssl/certs/ca-certificates.crt "$stage/"
else
  TOKEN_AUTHORITY_COMMIT=$revision scripts/static.sh "$stage"
fi

# A store of its own: nothing is left in that of who builds. Works in a container, too, and as any user.
store=$(mktemp -d)
buildah=(buildah --root "$store/images" --runroot "$store/run" --storage-driver vfs)
trap '"${buildah[@]}" rmi --all --force >/dev/null 2>&1; rm -rf "$store"' EXIT
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
"${buildah[@]}" bud --quiet --isolation chroot --build-context "build=$stage" \
  --build-arg "REVISION=$revision" --build-arg "VERSION=$version" --tag "token-authority:$version" .
rm -f target/image.tar
"${buildah[@]}" push --quiet "token-authority:$version" "docker-archive:target/image.tar:token-authority:$version"
echo "image: token-authority:$version in target/image.tar, $(du -h target/image.tar | cut -f 1)"
