"""Processes, directories and what the chart renders: what every script here begins and ends with."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib

import grpc
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/token-authority"
PROGRAM = os.environ["TOKEN_AUTHORITY"]
# How long anything may take to begin or to end, in seconds.
PATIENCE = 60


def say(text):
    """Tells how far it has come."""
    print(text, flush=True)


def fail(text):
    """Ends with what is wrong."""
    sys.exit(f"FAILED: {text}")


def require(good, text):
    """Ends with what is wrong, unless all is well."""
    if not good:
        fail(text)


def until(what, condition, patience=PATIENCE, said=str):
    """Waits until a condition holds; returns what it came to."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    fail(f"{what}: not within {patience} seconds {said()}")


def free_ports(count):
    """Returns as many ports that nobody has: all at once, so that they are different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def is_serving(address, service=""):
    """Returns whether health says that the server serves."""
    with grpc.insecure_channel(address, options=[("grpc.enable_retries", 0)]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        with contextlib.suppress(grpc.RpcError):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=2)
            return answer.status == health_pb2.HealthCheckResponse.SERVING
    return False


def rendered(values, *more):
    """Returns what the chart makes of a file of values, by kind; of each kind the first."""
    done = subprocess.run(
        ["helm", "template", "authority", str(CHART), "-f", str(CHART / values), *more],
        capture_output=True,
        text=True,
    )
    require(done.returncode == 0, f"helm template: {done.stderr}")
    objects = {}
    for each in yaml.safe_load_all(done.stdout):
        if each:
            objects.setdefault(each["kind"], each)
    return objects


def configuration(values):
    """Returns the server's configuration as the chart renders it."""
    return tomllib.loads(rendered(values)["ConfigMap"]["data"]["token-authority.toml"])


def toml(config):
    """Returns a configuration of plain sections as TOML."""
    lines = []
    for section, keys in config.items():
        lines.append(f"[{section}]")
        for key, value in keys.items():
            text = f'"{value}"' if isinstance(value, str) else str(value).lower()
            lines.append(f"{key} = {text}")
    return "\n".join(lines) + "\n"


class Server:
    """One process of the program, and how it was configured."""

    def __init__(self, stage, name, config, environment=None):
        self.stage, self.name, self.environment = stage, name, environment
        self.address = config["server"]["address"]
        self.ops = config["ops"]["address"]
        self.file = stage.directory / f"{name}.toml"
        self.file.write_text(toml(config))
        self.process = None

    def start(self):
        """Starts it and waits until it serves."""
        self.process = self.stage.start(
            self.name, [PROGRAM, "serve", "--config", self.file], self.environment
        )
        until(f"{self.name} serves", self.serves_or_ended)
        return self

    def serves_or_ended(self):
        """Returns whether it serves; that it has ended ends everything."""
        if self.process.poll() is not None:
            fail(f"{self.name} ended with {self.process.returncode}:\n{self.stage.log(self.name)}")
        return is_serving(self.address)

    def stop(self):
        """Tells it to stop, and wants it to say that nothing was lost."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE)
        require(code == 0, f"{self.name} ended with {code}:\n{self.stage.log(self.name)}")


class Stage:
    """A directory, and the processes in it; both are gone when it is left, however that is."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="operate."))
        self.processes = []
        self.endings = []

    def __enter__(self):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        return self

    def __exit__(self, *_):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        for ending in reversed(self.endings):
            ending()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self, name, arguments, environment=None):
        """Starts a process; what it says goes into a file of its name."""
        with (self.directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env={**os.environ, **(environment or {})},
            )
        self.processes.append(process)
        return process

    def log(self, name, lines=20):
        """Returns the last that a process said."""
        text = (self.directory / f"{name}.log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def keyring(self, name="keyring"):
        """Makes a keyring of one key; returns its directory."""
        directory = self.directory / name
        directory.mkdir(mode=0o700)
        key = directory / "0001.key"
        command = f"umask 077; head -c 32 /dev/urandom | base64 >{key}"
        subprocess.run(["sh", "-c", command], check=True)
        return directory


def new_database(name):
    """Makes an empty database in the PostgreSQL of scripts/with-postgres.sh; returns its URL."""
    url = os.environ["TEST_POSTGRES_URL"]
    psql = os.path.join(os.environ["TEST_POSTGRES_BINDIR"], "psql")
    done = [psql, "--quiet", "--no-psqlrc", url, "-c", f"CREATE DATABASE {name}"]
    subprocess.run(done, check=True)
    return url.replace("/postgres?", f"/{name}?")
