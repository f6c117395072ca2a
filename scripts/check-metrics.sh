#!/usr/bin/env bash
# Starts a server on free ports, calls it, and has promtool read its metrics in both formats.
# Wants promtool and curl.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=$(mktemp -d)
server=
clean_up() {
  [[ -z $server ]] || kill "$server" 2>/dev/null || :
  rm -rf "$dir"
}
trap clean_up EXIT

cargo build --locked --quiet
TOKEN_AUTHORITY_OPS__ADDRESS=127.0.0.1:0 TOKEN_AUTHORITY_OPS__CENSUS_SECONDS=60 \
  target/debug/token-authority serve --address 127.0.0.1:0 --data "$dir/data" 2>"$dir/log" &
server=$!

address=
for ((tries = 0; tries < 300; tries++)); do
  address=$(sed -n 's/.*serving.* ops\.address=\([0-9.:]*\).*/\1/p' "$dir/log")
  [[ -z $address ]] || break
  kill -0 "$server" 2>/dev/null || break
  sleep 0.1
done
[[ -n $address ]] || { cat "$dir/log"; echo "the server does not serve"; exit 1; }

# Until everything is told that is told at all: the census comes soon after the start.
for ((tries = 0; tries < 300; tries++)); do
  curl -sSf -H 'accept: text/plain' "http://$address/metrics" >"$dir/plain"
  ! grep -q '^token_authority_tokens{' "$dir/plain" || break
  sleep 0.1
done
grep -q '^token_authority_tokens{' "$dir/plain" || { echo "no census in 30 seconds"; exit 1; }

# Silent when nothing is wrong.
said=$(promtool check metrics <"$dir/plain" 2>&1) || { echo "$said"; exit 1; }
[[ -z $said ]] || { echo "promtool check metrics:"; echo "$said"; exit 1; }

# promtool reads OpenMetrics to import it, and wants to be told when it was; a sample has no time.
curl -sSf -H 'accept: application/openmetrics-text; version=1.0.0' "http://$address/metrics" |
  sed "/^#/!s/\$/ $(date +%s)/" >"$dir/open"
promtool tsdb create-blocks-from openmetrics "$dir/open" "$dir/blocks" >"$dir/imported" 2>&1 ||
  { cat "$dir/imported"; exit 1; }
series=$(grep -vc '^#' "$dir/open")
echo "promtool reads $series series, in both formats"
