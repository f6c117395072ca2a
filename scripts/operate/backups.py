"""Backs up both databases while they are written to and restores them, and goes through the incidents, by
the very lines of docs/operations.md."""

import re
import shutil
import threading
import time
import urllib.request

import grpc

from callers import TENANT, Product, operator_token
from guide import Guide
from stage import Server, Stage, fail, free_ports, new_database, require, say, until


def config(directory, url=None, keyring=None):
    """Returns a server's configuration on free ports."""
    port, ops = free_ports(2)
    made = {
        "server": {"address": f"127.0.0.1:{port}", "drain_seconds": 0},
        "ops": {"address": f"127.0.0.1:{ops}", "census_seconds": 60},
        "database": {"directory": str(directory)},
        # As cheap as may be: many tokens are made here.
        "hashing": {"cost": 4},
        "keyring": {"reload_seconds": 1},
    }
    if url:
        made["database"]["url_file"] = str(url)
        made["keyring"]["directory"] = str(keyring)
    return made


def metric(server, name):
    """Returns the sum of a metric's samples."""
    with urllib.request.urlopen(f"http://{server.ops}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if re.match(rf"{name}[ {{]", line))


class Writer(threading.Thread):
    """Makes tokens until it is told to end."""

    def __init__(self, product, address):
        super().__init__()
        self.product, self.address, self.ending = product, address, threading.Event()
        self.made = []
        self.start()

    def run(self):
        """Makes them."""
        with grpc.insecure_channel(self.address) as channel:
            while not self.ending.is_set():
                self.made.append(self.product.create_one(channel))

    def stop(self):
        """Ends it; returns the values in their order."""
        self.ending.set()
        self.join()
        return self.made


class Kind:
    """A kind of database: how its servers are set up."""

    def __init__(self, stage, name):
        self.stage, self.name = stage, name
        self.backup = stage.directory / f"{name}-backup"
        self.spare = stage.directory / f"{name}-spare"
        self.data = stage.directory / f"{name}-data"
        self.variables = {"DATA": self.data, "BACKUP": self.backup, "SPARE": self.spare}
        self.keyring = self.data / "keyring"
        self.url = None
        if name == "postgres":
            self.keyring = stage.keyring("postgres-keyring")
            self.url, self.variables["URL"] = self.database("backup_old")
            self.spare.mkdir()
        self.variables["KEYRING"] = self.keyring

    def database(self, name):
        """Makes a database; returns the file of its URL, and the URL."""
        url = new_database(name)
        file = self.stage.directory / f"{name}.url"
        file.write_text(url)
        file.chmod(0o600)
        return file, url

    def first(self):
        """Starts the server that is backed up."""
        return Server(
            self.stage, f"{self.name}-old", config(self.data, self.url, self.keyring)
        ).start()

    def restored(self, guide):
        """Restores the backup, and starts a server on it."""
        if self.name == "postgres":
            self.url, self.variables["NEW_URL"] = self.database("backup_new")
        guide.run(f"{self.name} restore", **self.variables)
        self.keyring = self.spare / "keyring"
        return self.again("new")

    def again(self, name):
        """Starts a server on what was restored."""
        return Server(
            self.stage, f"{self.name}-{name}", config(self.spare, self.url, self.keyring)
        ).start()


def operator_of(stage, product):
    """Returns the variables that the program calls with as the operator."""
    file = stage.directory / "operator"
    file.touch(mode=0o600)
    file.write_text(product.operator[0][1].removeprefix("Bearer "))
    return {"TA_TOKEN_FILE": file, "TENANT": TENANT}


def check_backup(stage, guide, kind):
    """Backs up, goes on, restores, and looks at what is told of every token; returns the last server."""
    server = kind.first()
    product = Product(server.address, operator_token(kind.data))
    good, revoked, later = (product.create(server.address, 8) for _ in range(3))
    for value in revoked:
        product.revoke(server.address, value)
    known = [*good, *revoked, *later]
    before = product.answers(server.address, known)
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    writer = Writer(product, server.address)
    until("tokens are made", lambda: len(writer.made) > 5)
    acknowledged = list(writer.made)
    guide.run(f"{kind.name} backup", **kind.variables)
    writer.stop()
    for value in later:
        product.revoke(server.address, value)
    operator = {
        **operator_of(stage, product),
        "BEFORE": moment,
        "KEPT_EVENTS": stage.directory / "events",
    }
    guide.run("keep the audit log", TA_ADDRESS=server.address, **operator)
    require(not any(product.answers(server.address, later)), "revoked, and still active")
    server.stop()

    server = kind.restored(guide)
    operator["TA_ADDRESS"] = server.address
    require(product.answers(server.address, known) == before, "the restored server tells otherwise")
    require(
        metric(server, "token_authority_bcrypt_verifications_total") == 0, "bcrypt had to verify"
    )
    told = product.answers(server.address, acknowledged)
    require(all(told), "a token is gone that was acknowledged before the backup began")
    say(
        f"{kind.name}: the same is told of {len(known) + len(told)} tokens; {len(later)} revocations are undone"
    )
    events = guide.run("read the rest", **operator)
    require("RevokeToken" not in events, "what is done again is to be read, too")
    guide.run("revoke again", **operator)
    require(not any(product.answers(server.address, later)), "not revoked again")
    require(all(product.answers(server.address, good)), "others were revoked, too")
    server.stop()
    return product, operator, good


def check_without_keyring(kind, product, good):
    """With another keyring bcrypt verifies each value once; returns the server."""
    shutil.rmtree(kind.keyring)
    if kind.name == "postgres":
        kind.keyring = kind.stage.keyring("another-keyring")
    kind.variables["KEYRING"] = kind.keyring
    server = kind.again("keyless")
    for _ in range(2):
        require(all(product.answers(server.address, good)), "lost with the keyring")
    # And the service's own, with which it asks.
    verified = metric(server, "token_authority_bcrypt_verifications_total")
    require(verified == len(good) + 1, f"bcrypt verified {verified} values")
    say(f"{kind.name}: without the keyring bcrypt verified {verified:.0f} values, each once")
    return server


def check_rotation(guide, kind, server, product, good):
    """A new key becomes current, and values in use come under it."""
    guide.run("new key", **kind.variables)

    def current():
        text = guide.run("rows by key", OPS=server.ops)
        return 'current_key_info{key="0002.' in text

    until("the new key is current", current)
    runs = metric(server, "token_authority_bcrypt_verifications_total")
    require(all(product.answers(server.address, good)), "lost with the new key")
    same = metric(server, "token_authority_bcrypt_verifications_total") == runs
    require(same, "bcrypt had to verify though the old key is there")


def check_incidents(stage, guide, server, product, operator):
    """Goes through the recipes; each must do what it is for, and nothing else."""
    made = product.create(server.address, 5)
    exposed, found, hinted, held, other = made
    bystander = product.create(server.address, 1)

    def active():
        return [
            value for value, answer in zip(made, product.answers(server.address, made)) if answer
        ]

    def private(name, text):
        file = stage.directory / name
        file.touch(mode=0o600)
        file.write_text(text)
        return file

    require(active() == made, "new tokens are inactive")
    without = {"TA_ADDRESS": operator["TA_ADDRESS"]}
    guide.run("revoke exposed", VALUE=private("exposed", exposed), **without)
    require(active() == made[1:], "revoke exposed")
    guide.run("scan", FOUND=private("paste", f"export TOKEN={found}\n"), **without)
    require(active() == made[2:], "scan")
    guide.run("revoke by hint", HINT=hinted[: len("acme_") + 8], **operator)
    require(active() == made[3:], "revoke by hint")
    told = guide.run("what it did", ID=product.tokens[held], **operator)
    require("CreateToken" in told, "the audit log does not say who made it")
    head = re.search(r"head: +(\S+)", guide.run("keep the head", **operator))[1]
    guide.run("verify", HEAD=head, **operator)

    services = guide.run("services", **operator)
    service = next(line.split()[0] for line in services.splitlines() if " gateway " in f" {line} ")
    guide.run("disable", SERVICE_ID=service, **operator)
    try:
        product.answers(server.address, [held])
        fail("a service that was switched off is answered")
    except grpc.RpcError as error:
        require(error.code() == grpc.StatusCode.UNAUTHENTICATED, f"switched off, and told {error}")
    guide.run("enable", SERVICE_ID=service, **operator)
    require(active() == [held, other] and all(product.answers(server.address, bystander)), "enable")
    guide.run("suspend", USER_ID=product.user, **operator)
    require(not active(), "suspend")


def main():
    """Runs it on both databases."""
    for tool in ("sqlite3", "jq", "curl"):
        require(shutil.which(tool), f"missing: {tool} (Debian: apt-get install {tool})")
    with Stage() as stage:
        guide = Guide(stage)
        for name in ("sqlite", "postgres"):
            say(f"{name}:")
            kind = Kind(stage, name)
            product, operator, good = check_backup(stage, guide, kind)
            server = check_without_keyring(kind, product, good)
            operator["TA_ADDRESS"] = server.address
            check_rotation(guide, kind, server, product, good)
            check_incidents(stage, guide, server, product, operator)
            guide.run("revoke all", **operator)
            server.stop()
        guide.check_all_run()
    say("both databases were restored, and every line that is marked does what it says")


if __name__ == "__main__":
    main()
