#!/bin/sh
# scripts/static.sh DIRECTORY makes what the image consists of: the program, which needs no library, whom
# HTTPS trusts, and an empty data directory. The Dockerfile runs it, and so does scripts/image.sh where no
# registry has the builder.
set -eu
cd "$(dirname "$0")/.."
out=$1
mkdir -p "$out"

# With --target, macros of the build are not made static, too: they could not be loaded.
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --profile dist --target "$host"

# Tables of lines are for debuggers, which an image has none of; a panic names its place without them.
objcopy --strip-debug "${CARGO_TARGET_DIR:-target}/$host/dist/token-authority" "$out/token-authority"
cp /etc/ssl/certs/ca-certificates.crt "$out/ca-certificates.crt"
mkdir -p "$out/data"
chmod 0700 "$out/data"
