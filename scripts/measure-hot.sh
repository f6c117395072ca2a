#!/usr/bin/env bash
# Prints the instructions of a hot introspection and of a call that does nothing, by valgrind: figures
# that don't drift. BENCH_PROFILE=release measures another build.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v valgrind >/dev/null || {
  echo "measure-hot: needs valgrind (Debian: apt-get install valgrind)" >&2
  exit 1
}
profile=${BENCH_PROFILE:-}
if [ -z "$profile" ]; then
  profile=release
  ! grep -q '^\[profile\.dist\]' Cargo.toml || profile=dist
fi
cargo build --locked --profile "$profile" >&2
"target/$profile/token-authority" bench instructions --markdown
