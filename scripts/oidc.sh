#!/usr/bin/env bash
# Makes a first token with a session of a real OIDC provider, key rotation included, all on loopback.
# Takes three minutes: keys are asked for once a minute at most, and that is waited for.
set -euo pipefail
cd "$(dirname "$0")/.."

for tool in node npm; do
  command -v "$tool" >/dev/null || {
    echo "oidc: needs $tool (Node.js 20.19 or later)" >&2
    exit 1
  }
done

# The provider has an environment of its own, is no part of the gate, and installs itself.
version=9.13.3
tools=$PWD/.tools/oidc
[[ -f $tools/installed-$version ]] || {
  rm -rf "$tools" && mkdir -p "$tools"
  echo '{"private": true}' >"$tools/package.json"
  (cd "$tools" && npm install --no-save --no-package-lock --no-audit --no-fund --silent "oidc-provider@$version")
  touch "$tools/installed-$version"
}

cargo build --locked --quiet
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
OIDC_PROVIDER=$tools/node_modules/oidc-provider/lib/index.js \
  TOKEN_AUTHORITY=${CARGO_TARGET_DIR:-$PWD/target}/debug/token-authority \
  CATALOG=$PWD/catalogs/sk-platform.toml \
  WORK=$work \
  node scripts/oidc/story.mjs
