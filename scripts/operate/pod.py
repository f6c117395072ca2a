"""Runs the pods that the chart renders for its two worked files under podman, by `make image`'s image.

Asks the probes that the pod has, looks at what the kernel says of its process, has the pod of `helm test`
introspect, and tells the server to stop while it is called: what it took must be answered and kept.
"""

import asyncio
import http.client
import os
import re
import threading
import time
import tomllib
import urllib.parse

import grpc

from callers import Load, Product, operator_token
from podman import Podman, a_key
from stage import Stage, fail, free_ports, is_serving, new_database, rendered, require, say, until
from wire import Way

RATE = 100
# What a client is told that reached nobody: its call was not taken.
NOT_TAKEN = ("connection refused", "failed to connect")


class Server:
    """The pod of a file of values, and where it is."""

    def __init__(self, podman, name, values, secrets, *more):
        self.podman, self.name, self.values, self.secrets = podman, name, values, secrets
        self.grpc, self.ops = free_ports(2)
        # On loopback alone, by what outweighs the configuration: nobody else shall reach it here.
        variables = {"SERVER": self.grpc, "OPS": self.ops}
        self.settings = [
            "--set",
            f"ports.grpc={self.grpc},ports.ops={self.ops},service.port={self.grpc}",
        ]
        for number, (section, port) in enumerate(variables.items()):
            variable = f"extraEnv[{number}]"
            self.settings += ["--set", f"{variable}.name=TOKEN_AUTHORITY_{section}__ADDRESS"]
            self.settings += ["--set", f"{variable}.value=127.0.0.1:{port}"]
        self.settings += more
        self.address = f"127.0.0.1:{self.grpc}"

    def rendered(self, *more):
        """Returns what the chart makes of it."""
        return rendered(self.values, *self.settings, *more)

    def start(self):
        """Runs the pod, and asks the probes that it has until they say yes."""
        objects = self.rendered()
        template = objects["Deployment"]["spec"]["template"]
        self.container = template["spec"]["containers"][0]
        self.config = objects["ConfigMap"]["data"]["token-authority.toml"]
        self.pod = self.podman.play(self.name, template, objects, self.secrets)
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            until(f"{self.name}: {probe}", lambda name=probe: self.probe(name), said=self.pod.log)
        return self

    def probe(self, name):
        """Asks a probe as a kubelet would."""
        ports = {port["name"]: port["containerPort"] for port in self.container["ports"]}
        probe = self.container[name]
        if "grpc" in probe:
            return is_serving(
                f"127.0.0.1:{probe['grpc']['port']}", probe["grpc"].get("service", "")
            )
        connection = http.client.HTTPConnection(
            "127.0.0.1", ports.get(probe["httpGet"]["port"], probe["httpGet"]["port"]), timeout=2
        )
        try:
            connection.request("GET", probe["httpGet"]["path"])
            return 200 <= connection.getresponse().status < 400
        except OSError:
            return False
        finally:
            connection.close()

    def check_restricted(self):
        """The kernel says of the process what the pod's specification asks for."""
        process = self.pod.process()
        with open(f"/proc/{process}/status") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        found = {
            name: status[name].split()[0]
            for name in ("Uid", "Gid", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp")
        }
        nothing = "0" * 16
        expected = {"Uid": "65532", "Gid": "65532", "CapEff": nothing, "CapBnd": nothing}
        expected |= {"NoNewPrivs": "1", "Seccomp": "2"}
        require(found == expected, f"{self.name}: the process is {found}")
        with open(f"/proc/{process}/mountinfo") as file:
            root = next(line.split() for line in file if line.split()[4] == "/")
        require("ro" in root[5].split(","), f"{self.name}: its root is {root[5]}")
        say(f"{self.name}: {found}, root {root[5]}")

    def check_test(self, product):
        """The pod of `helm test` introspects."""
        token = product.service[0][1].removeprefix("Bearer ")
        # The Service's name is one that is known here, too.
        names = ["--set", "fullnameOverride=localhost"]
        objects = self.rendered("--set", "test.existingSecret=service-token", *names)
        secrets = {"service-token": {"token": token}}
        test = self.podman.play(f"{self.name}-test", objects["Pod"], objects, secrets)
        code = test.ended()
        require(code == 0, f"{self.name}: helm test ended with {code}:\n{test.log()}")
        say(f"{self.name}: helm test introspected: {' '.join(test.log().split())[:160]}")
        test.remove()

    def check_notes(self, postgres):
        """What the notes after `helm install` say to run in the pod runs there, without a shell."""
        file = "/run/secrets/token-authority/bootstrap/token"
        if not postgres:
            file = "/var/lib/token-authority/data/operator-token"
        lasting = ["token", "create", "operator", "--tenant", "authority", "--kind", "service"]
        lasting += ["--scope", "authority:operator", "--ttl", "90d", "--address", self.address]
        lines = [[*lasting, "--token-file", file]]
        if postgres:
            # For whom there is no such Secret.
            lines += [["bootstrap", "--config", "/etc/token-authority/token-authority.toml"]]
        for line in lines:
            told = self.podman.run("exec", "--tty", self.pod.main, "token-authority", *line)
            require(
                re.search(r"\bta_\w{61}\b", told),
                f"{self.name}: no operator's token: {told}",
            )
        say(f"{self.name}: made an operator's token as the notes say")

    def stop(self):
        """Tells it to stop, and wants it to say that every call was answered."""
        self.told = time.monotonic()
        self.pod.signal("TERM")
        code = self.pod.ended()
        took = time.monotonic() - self.told
        require(code == 0, f"{self.name} ended with {code}:\n{self.pod.log()}")
        require(
            took < self.pod.grace, f"{self.name} took {took:.0f} s, and is given {self.pod.grace}"
        )
        say(f"{self.name}: ended with 0 after {took:.1f} s")
        self.pod.remove()


class Making(threading.Thread):
    """Makes tokens one after the other, until it is told that nobody takes the call."""

    def __init__(self, product, address):
        super().__init__()
        self.product, self.address, self.made, self.failures = product, address, [], []
        self.start()

    def run(self):
        """Makes them."""
        with grpc.insecure_channel(self.address) as channel:
            while not self.failures:
                try:
                    self.made.append(self.product.create_one(channel))
                except grpc.RpcError as error:
                    self.failures.append(f"{error.code().name}: {error.details()}")


async def stop_under_load(server, product):
    """Stops the server while it is called; returns the values that were made meanwhile."""
    making = Making(product, server.address)
    # With a client as it is: a call that crosses the word that the connection ends was not taken, and is
    # made again by itself.
    load = Load(product, server.address, RATE)
    async with load:
        await asyncio.sleep(2)
        before = sum(load.counts.values())
        require(not load.failures, f"{server.name}: {load.failures[:3]}")
        await asyncio.to_thread(server.stop)
    making.join()
    say(f"{server.name}: {load.summary()}; {len(making.made)} tokens made until its end")
    require(before > RATE and len(making.made) > 2, f"{server.name}: there was hardly a load")
    lost = [text for text in load.failures + making.failures if not is_not_taken(text)]
    require(not lost, f"{server.name}: {len(lost)} calls were lost: {lost[:3]}")
    drained = server.told + tomllib.loads(server.config)["server"]["drain_seconds"]
    require(load.first_failure >= drained, f"{server.name}: refused before the drain was over")
    require(not load.wrong, f"{server.name}: {load.wrong[:3]}")
    return making.made


def is_not_taken(failure):
    """Returns whether a call failed because there was nobody any more to take it."""
    code, _, details = failure.partition(": ")
    return code == "UNAVAILABLE" and any(text in details.lower() for text in NOT_TAKEN)


def story(server, operator):
    """Goes through it all with one pod."""
    server.start()
    server.check_restricted()
    product = Product(server.address, operator(server))
    product.create(server.address, 10)
    server.check_test(product)
    made = asyncio.run(stop_under_load(server, product))
    # What was acknowledged is there: in the next pod, on the same claim or database.
    server.start()
    inactive = [
        value for value, answer in zip(made, product.answers(server.address, made)) if not answer
    ]
    require(not inactive, f"{server.name}: {len(inactive)} tokens are gone that it said were made")
    server.check_notes("postgres" in server.values)
    server.stop()


def of_claim(server):
    """Returns the operator's token of the embedded database."""
    claim = server.rendered()["PersistentVolumeClaim"]["metadata"]["name"]
    return operator_token(server.podman.stage.directory / f"claim-{claim}" / "data")


def minted(podman, values):
    """Returns a value for the Secret of the first operator's token, made by the image itself."""
    template = rendered(values)["Deployment"]["spec"]["template"]
    image = f"localhost/{template['spec']['containers'][0]['image']}"
    return podman.run("run", "--rm", "--network", "none", image, "bootstrap", "--mint")


def of_secret(server):
    """Returns the operator's token that was there before the server, and which it wrote nowhere."""
    data = server.podman.stage.directory / f"{server.name}-data" / "data"
    require(not (data / "operator-token").exists(), f"{server.name}: made a value of its own")
    return server.secrets["first-operator"]["token"].strip()


def main():
    """Runs both worked files."""
    if os.geteuid() != 0:
        fail("pods are run by root here: files of volumes are handed to another user")
    with Stage() as stage:
        podman = Podman(stage)
        story(Server(podman, "sqlite", "ci/sqlite-values.yaml", {}), of_claim)
        # By a name, on a port of loopback: a container has not the socket's directory.
        url = urllib.parse.urlsplit(new_database("pod"))
        way = Way(stage, urllib.parse.parse_qs(url.query)["host"][0] + "/.s.PGSQL.5432")
        secrets = {
            "authority-database": {
                "url": f"postgres://{url.username}@localhost:{way.port}{url.path}"
            },
            "authority-keyring": {"0001.key": a_key()},
            "first-operator": {"token": minted(podman, "ci/postgres-values.yaml")},
        }
        # There is no collector here: traces go nowhere, and nothing may suffer by it.
        more = ["--set", "config.telemetry.otlp_endpoint=http://127.0.0.1:9"]
        more += ["--set", "bootstrap.existingSecret=first-operator"]
        story(Server(podman, "postgres", "ci/postgres-values.yaml", secrets, *more), of_secret)
    say("both pods are as the chart wants them, and lost nothing")


if __name__ == "__main__":
    main()
