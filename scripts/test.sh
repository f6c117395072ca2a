#!/usr/bin/env bash
# Runs every test, doc tests too, on SQLite and on a throw-away PostgreSQL, and fails unless each
# database ran the same tests. The whole output is kept in target/test.log.
# For some tests only: scripts/with-postgres.sh cargo test NAME
set -euo pipefail
cd "$(dirname "$0")/.."

log=target/test.log
mkdir -p target

failed=0
scripts/with-postgres.sh cargo test --locked --no-fail-fast 2>&1 | tee "$log" || failed=1

# Lists the tests that passed on database $1, without that last part of their names.
passed_on() {
  sed -nE "s/^test (.+)::$1( - should panic)? \.\.\. ok\$/\1/p" "$log" | sort
}
sqlite=$(passed_on sqlite | wc -l)
postgres=$(passed_on postgres | wc -l)

if one_sided=$(diff <(passed_on sqlite) <(passed_on postgres)); then
  # A suite that lost its databases passes with whatever is left.
  if ((failed == 0 && sqlite == 0)); then
    echo "test: no test ran on a database; their names end in ::sqlite and ::postgres" >&2
    failed=1
  fi
else
  echo "test: passed on SQLite alone (<) or on PostgreSQL alone (>):" >&2
  grep '^[<>]' <<<"$one_sided" >&2
  failed=1
fi
((failed == 0)) || echo "test: FAILED; the whole output is in $log" >&2

version=$(sed -n 's/^with-postgres: PostgreSQL \([^ ]*\) from .*/\1/p' "$log")
echo "databases: $((sqlite)) tests on SQLite," \
  "$((postgres)) tests on PostgreSQL ${version:-(not started)}"
exit "$failed"
