"""Restarts three replicas, one after the other, behind Envoy, while they are asked without a pause.

The replicas are configured by what the chart renders for ci/postgres-values.yaml, Envoy by
docs/envoy.yaml; addresses apart. No introspection may fail and none may be wrong, whatever is revoked
meanwhile. `--bare` takes the retries out of Envoy: then it shows what they are for.
"""

import asyncio
import subprocess
import sys
import urllib.request

import yaml

from callers import BARE, Load, Product, operator_token
from stage import (
    PROGRAM,
    ROOT,
    Server,
    Stage,
    configuration,
    free_ports,
    new_database,
    require,
    say,
    until,
)

REPLICAS = 3
# Introspections a second, and how long they are watched before the first restart and after the last.
RATE = 150
WATCHED_SECONDS = 3


def replicas(stage):
    """Starts the replicas, on one database and one keyring."""
    config = configuration("ci/postgres-values.yaml")
    url = stage.directory / "url"
    url.write_text(new_database("rolling"))
    url.chmod(0o600)
    keyring = stage.keyring()
    # There is no collector here.
    del config["telemetry"]["otlp_endpoint"]
    servers = []
    for number, (port, ops) in enumerate(zip(free_ports(REPLICAS), free_ports(REPLICAS))):
        name = f"replica-{number}"
        config["server"]["address"] = f"127.0.0.1:{port}"
        config["ops"]["address"] = f"127.0.0.1:{ops}"
        config["database"] |= {"directory": str(stage.directory / name), "url_file": str(url)}
        config["keyring"]["directory"] = str(keyring)
        servers.append(Server(stage, name, config).start())
    return servers


def envoy(stage, servers, bare):
    """Starts Envoy before the servers; returns the addresses of its listener and of its admin."""
    config = yaml.safe_load((ROOT / "docs/envoy.yaml").read_text())
    resources = config["static_resources"]
    port, admin = free_ports(2)
    config["admin"]["address"]["socket_address"]["port_value"] = admin
    listener = resources["listeners"][0]
    listener["address"]["socket_address"]["port_value"] = port
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    if bare:
        for route in manager["route_config"]["virtual_hosts"][0]["routes"]:
            del route["route"]["retry_policy"]
    cluster = resources["clusters"][0]
    cluster["type"] = "STATIC"
    cluster["load_assignment"]["endpoints"][0]["lb_endpoints"] = [
        {"endpoint": {"address": {"socket_address": {"address": host, "port_value": int(port)}}}}
        for host, port in (server.address.split(":") for server in servers)
    ]
    file = stage.directory / "envoy.yaml"
    file.write_text(yaml.safe_dump(config))
    program = f"{sys.prefix}/bin/envoy"
    stage.start(
        "envoy",
        [
            program,
            "-c",
            file,
            "--concurrency",
            "1",
            "--log-level",
            "warning",
            "--use-dynamic-base-id",
        ],
    )
    address = f"127.0.0.1:{admin}"
    until("Envoy sees all replicas", lambda: healthy(address) == REPLICAS)
    return f"127.0.0.1:{port}", address


def asked(admin, path):
    """Returns what Envoy's admin says."""
    try:
        with urllib.request.urlopen(f"http://{admin}/{path}", timeout=5) as answer:
            return answer.read().decode()
    except OSError:
        return ""


def healthy(admin):
    """Returns how many replicas Envoy takes for healthy."""
    return asked(admin, "clusters").count("::health_flags::healthy")


def statistic(admin, name):
    """Returns a counter of Envoy's cluster."""
    line = next(
        line
        for line in asked(admin, "stats").splitlines()
        if line.startswith(f"cluster.token-authority.{name}:")
    )
    return int(line.split()[1])


async def restart_all(servers, load, admin):
    """Restarts each replica, once the one before it is back."""
    for server in servers:
        say(f"{server.name}: SIGTERM")
        await asyncio.to_thread(server.stop)
        say(f"{server.name}: ended with 0; {load.summary()}")
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(
            until, "Envoy sees all replicas", lambda: healthy(admin) == REPLICAS
        )


def crash(server, admin):
    """Kills a replica, and starts it anew."""
    server.process.kill()
    server.process.wait()
    until("Envoy sees it", lambda: healthy(admin) == REPLICAS - 1)
    server.start()
    until("Envoy sees all replicas", lambda: healthy(admin) == REPLICAS)


async def story(stage, bare):
    """Goes through it all."""
    servers = replicas(stage)
    holders = [
        server for server in servers if (stage.directory / server.name / "operator-token").exists()
    ]
    product = Product(servers[0].address, operator_token(stage.directory / holders[0].name))
    address, admin = envoy(stage, servers, bare)
    product.create(address, 20)
    ended = product.create(address, 5)
    for value in ended:
        product.revoke(address, value)
    to_revoke = product.create(address, 30)
    load = Load(product, address, RATE, BARE)
    # Inactive from the first call on.
    load.begun.update(dict.fromkeys(ended, 0.0))
    load.done.update(dict.fromkeys(ended, 0.0))
    async with load:
        await asyncio.sleep(WATCHED_SECONDS)
        restarts = asyncio.create_task(restart_all(servers, load, admin))
        for value in to_revoke[:-1]:
            await asyncio.sleep(1)
            await load.revoke(value)
            if restarts.done():
                break
        await restarts
        # What retries are for: a pod that says nothing before it is gone.
        if not bare:
            await asyncio.to_thread(crash, servers[0], admin)
            say(f"{servers[0].name}: killed; {load.summary()}")
        await load.revoke(to_revoke[-1])
        await asyncio.sleep(WATCHED_SECONDS)
    say(load.summary())
    say(f"Envoy asked again {statistic(admin, 'upstream_rq_retry')} times")
    for text in [*load.failures[:5], *load.wrong[:5]]:
        say(text)
    require(not load.failures and not load.wrong, "introspections failed or were wrong")
    require(
        all(load.counts[kind] > 100 for kind in ("good", "revoked", "unknown")),
        "too little was asked",
    )
    expected = product.answers(servers[0].address, product.tokens)
    for server in servers:
        same = product.answers(server.address, product.tokens) == expected
        require(same, f"{server.name} answers otherwise than {servers[0].name}")
    active = [value for value, answer in zip(product.tokens, expected) if answer]
    require(
        active == [value for value in product.tokens if value not in load.done],
        "what is active in the end",
    )
    say(f"all {REPLICAS} agree on {len(active)} active and {len(load.done)} revoked tokens")


def main():
    """Runs it."""
    program = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True)
    say(program.stdout.strip())
    with Stage() as stage:
        asyncio.run(story(stage, "--bare" in sys.argv))


if __name__ == "__main__":
    main()
