"""Lets PostgreSQL fail over to a standby while the service is called, with the settings of
docs/operations.md, and without them.

With them nothing that was acknowledged is lost, and no restart is needed. Without them a revocation is
undone that the standby did not have yet: that is what the guide warns of.
"""

import asyncio
import os
import re
import shutil
import subprocess

from backups import config
from callers import BARE, Load, Product, operator_token
from stage import ROOT, Server, Stage, is_serving, require, say, until
from wire import Way

RATE = 100
SERVERS = ("primary", "standby", "another")
# What a client may be told while there is no primary, or of a commit whose outcome is not known.
EXPECTED = ("UNAVAILABLE", "DEADLINE_EXCEEDED")


class Cluster:
    """A primary and those that follow it."""

    def __init__(self, stage):
        self.bindir = os.environ["TEST_POSTGRES_BINDIR"]
        self.directory = stage.directory / "cluster"
        self.directory.mkdir()
        stage.directory.chmod(0o755)
        for name in SERVERS:
            self.socket(name).parent.mkdir()
        self.owner = {}
        if os.geteuid() == 0:
            self.owner = {"user": "postgres", "group": "postgres", "extra_groups": []}
            for path in (self.directory, *self.directory.iterdir()):
                shutil.chown(path, "postgres", "postgres")
        stage.endings.append(self.stop_all)

    def run(self, program, *arguments, check=True):
        """Runs one of PostgreSQL's programs as its user; returns what it printed."""
        done = subprocess.run(
            [f"{self.bindir}/{program}", *map(str, arguments)],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if program == "psql" else subprocess.DEVNULL,
            text=True,
            check=check,
            **self.owner,
        )
        return (done.stdout or "").strip()

    def socket(self, name):
        """Returns the socket of a server."""
        return self.directory / f"{name}-socket" / ".s.PGSQL.5432"

    def control(self, name, action, *more, check=True):
        """Has a server started, stopped or promoted."""
        data = self.directory / name
        options = []
        if action == "start":
            options = [
                "-o",
                f"-p 5432 -k {self.socket(name).parent} -c listen_addresses=",
                "-l",
                f"{data}/log",
            ]
        self.run("pg_ctl", "-D", data, "-w", *options, action, *more, check=check)

    def ask(self, name, statement):
        """Returns what a server answers."""
        return self.run(
            "psql",
            "-qAtX",
            "-h",
            self.socket(name).parent,
            "-U",
            "authority",
            "-c",
            statement,
            "postgres",
        )

    def begin(self, settings):
        """Makes a primary with these settings, and a standby of it that follows."""
        primary = self.directory / "primary"
        self.run("initdb", "-D", primary, "-U", "authority", "--auth=trust", "--no-sync")
        (primary / "postgresql.auto.conf").write_text(settings)
        self.control("primary", "start")
        self.add("standby", "primary", "standby_a")

    def add(self, name, source, application):
        """Adds a standby that follows a server."""
        of = f"host={self.socket(source).parent} user=authority application_name={application}"
        data = self.directory / name
        self.run("pg_basebackup", "-D", data, "-d", of, "-R", "--checkpoint=fast")
        self.control(name, "start")
        follows = f"SELECT 1 FROM pg_stat_replication WHERE application_name = '{application}'"
        until(f"{name} follows", lambda: self.ask(source, f"{follows} AND state = 'streaming'"))

    def fail_over(self, before_promotion=None):
        """Ends the primary as a crash would, and promotes the standby."""
        self.control("primary", "stop", "-m", "immediate")
        if before_promotion:
            before_promotion()
        self.control("standby", "promote")

    def stop_all(self):
        """Stops what runs."""
        for name in SERVERS:
            if (self.directory / name / "postmaster.pid").exists():
                self.control(name, "stop", "-m", "immediate", check=False)


def guides_settings():
    """Returns the settings of the primary that the guide names."""
    guide = (ROOT / "docs/operations.md").read_text()
    block = re.search(r"```ini\n(# postgresql\.conf.*?)```", guide, re.DOTALL)
    return block[1]


def serve(stage, cluster):
    """Starts a server on the primary; returns it, its product, and the way to the database."""
    way = Way(stage, cluster.socket("primary"))
    url = stage.directory / "url"
    url.write_text(f"postgres://authority@127.0.0.1:{way.port}/postgres")
    url.chmod(0o600)
    server = Server(stage, "server", config(stage.directory / "data", url, stage.keyring())).start()
    return server, Product(server.address, operator_token(stage.directory / "data")), way


async def under_load(stage):
    """Fails over with the guide's settings, while tokens are revoked and introspected."""
    cluster = Cluster(stage)
    cluster.begin(guides_settings())
    server, product, way = serve(stage, cluster)
    values = product.create(server.address, 60)
    load = Load(product, server.address, RATE, BARE)
    async with load:

        async def revoke_all():
            for value in values[:40]:
                await load.revoke(value)
                await asyncio.sleep(0.2)

        revoking = asyncio.create_task(revoke_all())
        await asyncio.sleep(2)
        before = len(load.done)
        await asyncio.to_thread(cluster.fail_over)
        way.path = str(cluster.socket("standby"))
        await asyncio.to_thread(until, "it serves again", lambda: is_serving(server.address))
        # Until somebody follows the new primary, changes wait and introspections go on.
        failed, asked = len(load.failures), sum(load.counts.values())
        await asyncio.to_thread(cluster.add, "another", "standby", "standby_b")
        require(sum(load.counts.values()) > asked, "introspections waited for a standby")
        await revoking
        await asyncio.sleep(1)
    say(load.summary())
    require(5 < before < len(load.done), "there were no revocations before and after")
    require(not load.wrong, load.wrong[:3])
    strange = [text for text in load.failures if not any(code in text for code in EXPECTED)]
    require(not strange, f"{strange[:3]}")
    late = [text for text in load.failures[failed:] if not text.startswith("RevokeToken: ")]
    require(not late, f"introspections failed after it served again: {late[:3]}")
    answers = product.answers(server.address, values)
    undone = [value for value, answer in zip(values, answers) if answer and value in load.done]
    gone = [
        value for value, answer in zip(values, answers) if not answer and value not in load.begun
    ]
    require(not undone, f"{len(undone)} acknowledged revocations are undone")
    require(not gone, f"{len(gone)} tokens are gone")
    say(
        f"with the guide's settings: {len(load.done)} acknowledged revocations hold, and no restart"
    )
    server.stop()


def without(stage):
    """Fails over to a standby that lacks the last revocation, without the guide's settings."""
    cluster = Cluster(stage)
    cluster.begin("")
    server, product, way = serve(stage, cluster)
    (value,) = product.create(server.address, 1)
    caught_up = "SELECT replay_lsn = pg_current_wal_lsn() FROM pg_stat_replication"
    until("the standby has it", lambda: cluster.ask("primary", caught_up) == "t")
    cluster.control("standby", "stop")
    product.revoke(server.address, value)
    require(not any(product.answers(server.address, [value])), "revoked, and still active")
    cluster.fail_over(lambda: cluster.control("standby", "start"))
    way.path = str(cluster.socket("standby"))
    until("it serves again", lambda: is_serving(server.address))
    require(
        all(product.answers(server.address, [value])),
        "nothing was lost: the guide warns for nothing",
    )
    say("without them: an acknowledged revocation is undone, as the guide says")
    server.stop()


def main():
    """Runs both."""
    with Stage() as stage:
        asyncio.run(under_load(stage))
    with Stage() as stage:
        without(stage)


if __name__ == "__main__":
    main()
