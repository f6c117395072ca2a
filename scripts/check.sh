#!/usr/bin/env bash
# Runs every static check, all of them even if one fails. Installs nothing.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
PATH=$PWD/.tools/bin:$PATH
exec 2>&1

missing=0
need() {
  local how=$1
  shift
  "$@" --version >/dev/null 2>&1 && return
  echo "check: missing: $* ($how)"
  missing=1
}
need "install Rust" cargo
need "rustup component add rustfmt" cargo fmt
need "rustup component add clippy" cargo clippy
need "cargo install cargo-deny --version ^0.20 --locked" cargo deny
need "python3 -m venv .tools && .tools/bin/pip install buf-bin==1.75.0" buf
need "Debian: apt-get install shellcheck; macOS: brew install shellcheck" shellcheck
need "Debian: apt-get install prometheus; macOS: brew install prometheus" promtool
need "Debian: apt-get install curl" curl
((missing == 0)) || exit 1

# The primitives' benchmarks are a package apart, whose lock file nothing else holds to be up to date.
benches_lock() { cargo update --workspace --locked --manifest-path benches/primitives/Cargo.toml; }
cargo_doc() { RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items; }

# Both -D: an exception that is no longer needed has to go, so the lists can only shrink.
cargo_deny() {
  cargo deny --locked check -D unmatched-skip -D unnecessary-skip bans licenses sources
}

generated_docs() {
  local fresh document result=0
  fresh=$(mktemp) || return
  for document in errors config metrics; do
    if ! cargo run --locked --quiet -- docs "$document" >"$fresh" ||
      ! diff -u --label "docs/$document.md" --label generated "docs/$document.md" "$fresh"; then
      result=1
    fi
  done
  rm -f "$fresh"
  ((result == 0)) || echo "regenerate with: make docs"
  return "$result"
}

# The server's own word on what the chart configures it with. For `migrate`: the certificates are not here.
chart_configuration() {
  local fresh result=0 values
  fresh=$(mktemp)
  for values in helm/token-authority/ci/*-values.yaml; do
    .tools/bin/python3 -B scripts/helm/check.py configuration "$values" >"$fresh" &&
      cargo run --locked --quiet -- config check --purpose migrate --config "$fresh" || result=1
  done
  rm -f "$fresh"
  return "$result"
}

file_length() {
  find src tests -name '*.rs' -exec awk '
    FNR == 501 { print FILENAME " has more than 500 lines: split it"; long = 1 }
    END { exit long }' {} +
}

changelog() {
  grep -qE '^## \[?Unreleased\]?' CHANGELOG.md && return
  echo "CHANGELOG.md needs a section '## Unreleased'"
  return 1
}

failures=()
step() {
  local name=$1 start=$SECONDS result=ok
  shift
  echo "== $name"
  "$@" || { result=FAILED && failures+=("$name"); }
  echo "== $name: $result, $((SECONDS - start)) s"
}

step "cargo fmt" cargo fmt --check
step "cargo clippy" cargo clippy --locked --all-targets -- -D warnings
step "cargo doc" cargo_doc
step "cargo deny" cargo_deny
step "benchmarks' lock file" benches_lock
step "buf lint" buf lint
step "buf breaking" buf breaking --against proto/baseline.binpb
step "generated docs" generated_docs
step "metrics" scripts/check-metrics.sh
step "shellcheck" shellcheck scripts/*.sh .ci/run
step "file length" file_length
step "changelog" changelog
step "helm" scripts/check-helm.sh
step "chart's configuration" chart_configuration

if ((${#failures[@]} > 0)); then
  printf 'check: FAILED: %s\n' "${failures[@]}"
  exit 1
fi
echo "check: all passed"
