#!/usr/bin/env bash
# Prints the rows of the budget of docs/performance.md as Markdown, on SQLite and on a throw-away
# PostgreSQL; a quarter of an hour. scripts/bench.sh ROW… prints these rows alone; BENCH_DATABASES="sqlite"
# leaves the other out; BENCH_PROFILE=release measures another build.
set -euo pipefail
cd "$(dirname "$0")/.."

rows=("$@")
[ ${#rows[@]} -gt 0 ] || rows=(p1 p2 p3 p4 p5 p6 p8 p9 p10 flood)
databases=${BENCH_DATABASES:-sqlite postgres}
profile=${BENCH_PROFILE:-}
if [ -z "$profile" ]; then
  profile=release
  ! grep -q '^\[profile\.dist\]' Cargo.toml || profile=dist
fi

if [ -z "${BENCH_UNDER_POSTGRES:-}" ]; then
  cargo build --locked --profile "$profile" >&2
  case $databases in
  *postgres*) BENCH_UNDER_POSTGRES=1 exec scripts/with-postgres.sh scripts/bench.sh "${rows[@]}" ;;
  esac
fi

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
program=target/$profile/token-authority

# An empty database each: what one row leaves behind would be measured by the next.
new_database() {
  name=bench_$RANDOM$RANDOM
  "$TEST_POSTGRES_BINDIR/psql" --quiet --no-psqlrc "$TEST_POSTGRES_URL" -c "CREATE DATABASE $name"
  echo "${TEST_POSTGRES_URL/\/postgres\?//$name?}" >"$directory/url"
}

for row in "${rows[@]}"; do
  for database in $databases; do
    # Two servers at once, each on a store of its own.
    [ "$row $database" != "p9 postgres" ] || continue
    where=()
    if [ "$database" = postgres ]; then
      new_database
      where=(--database-url-file "$directory/url")
    fi
    printf '### %s, %s\n\n    token-authority bench %s\n\n' "$row" "$database" "$row"
    nice -n 5 "$program" bench "$row" --markdown "${where[@]}"
  done
done
