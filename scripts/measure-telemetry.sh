#!/usr/bin/env bash
# Prints the instructions of an introspection, with telemetry and with every span and event compiled
# out, where nothing is exported.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v valgrind >/dev/null || {
  echo "measure-telemetry: needs valgrind (Debian: apt-get install valgrind)" >&2
  exit 1
}

binaries=$(mktemp -d)
trap 'rm -rf "$binaries"' EXIT

cargo build --locked --release --features untraced
cp target/release/token-authority "$binaries/without"
cargo build --locked --release
cp target/release/token-authority "$binaries/with"

TELEMETRY_WITH=$binaries/with TELEMETRY_WITHOUT=$binaries/without \
  cargo test --locked --test it telemetry::measure::measure -- --ignored --nocapture
