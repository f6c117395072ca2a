#!/usr/bin/env python3
"""Renders the chart with many values and looks at what comes of it.

`check.py` checks; `check.py golden` writes ci/golden anew from the two worked files;
`check.py configuration FILE` prints what the server is configured with by a file of values.
"""

import collections
import difflib
import functools
import os
import pathlib
import re
import subprocess
import sys
import tomllib

import yaml
from kubernetes_validate import utils as kubernetes

import watching
from cases import CASES, REFUSED
from readme import readme

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/token-authority"
# The oldest that Chart.yaml allows, and the newest.
VERSIONS = ["1.27", "1.37"]
# Kinds of the Prometheus operator: no schema of theirs is at hand.
FOREIGN = {"ServiceMonitor", "PrometheusRule"}
# What no value sets, because the chart itself does, or because it is a secret.
OWN_KEYS = {
    "server": {"address"},
    "database": {"directory", "url", "url_file"},
    "keyring": {"directory", "create"},
    "bootstrap": {"token_file"},
    "tls": {"certificate_file", "key_file", "client_ca_file"},
    "ops": {"address", "exposed"},
    "telemetry": {"otlp_headers_file", "service_instance"},
    # No volume holds such a file.
    "trusts.NAME": {"jwks_file"},
}

problems = []


def require(good, problem):
    """Notes a problem, unless all is well."""
    if not good:
        problems.append(problem)


def helm(arguments, program="helm"):
    """Renders the chart as release `authority` in the namespace `auth`."""
    path = f"{ROOT}/.tools/bin:{os.environ['PATH']}"
    return subprocess.run(
        ["env", f"PATH={path}", program, "template", "authority", ".", "--namespace", "auth", *arguments],
        cwd=CHART,
        capture_output=True,
        text=True,
    )


def render(arguments, program="helm"):
    """Returns the rendered text; that it is refused ends the check."""
    done = helm(arguments, program)
    if done.returncode != 0:
        sys.exit(f"{program} template {' '.join(arguments)}: {done.stderr}")
    # The two generations of Helm differ in empty lines alone.
    return "".join(line for line in done.stdout.splitlines(keepends=True) if line.strip())


def objects(arguments):
    """Returns the rendered objects."""
    return [document for document in yaml.safe_load_all(render(arguments)) if document]


@functools.lru_cache
def server_keys():
    """Returns the keys of each section that the server knows, and what each may be."""
    keys = {}
    for line in (ROOT / "docs/config.md").read_text().splitlines():
        if line.startswith("## "):
            section = keys.setdefault(line.removeprefix("## ").strip("[]"), {})
        elif row := re.match(r"\| `(\w+)` \| [^|]*\| ([^|]*) \|", line):
            section[row[1]] = row[2]
    return keys


def check_bounds(key, schema, may_be):
    """The values take of a key what the server takes, and not more."""
    if bounds := re.match(r"a whole number from (\d+) to (\d+)", may_be):
        of_server = [int(bound) for bound in bounds.groups()]
        same = [schema.get("minimum"), schema.get("maximum")] == of_server
        require(same, f"values.schema.json: config.{key}: the server takes {may_be}")
    elif may_be.startswith("one of "):
        same = schema.get("enum") == may_be.removeprefix("one of ").split(", ")
        require(same, f"values.schema.json: config.{key}: the server takes {may_be}")


def keys_of_section(sections, section):
    """Returns what the values know of a section, or of each of as many as there are: [trusts.NAME]."""
    schema = {"properties": sections}
    for part in section.split("."):
        if part == "NAME":
            schema = schema.get("additionalProperties", {})
        else:
            schema = schema.get("properties", {}).get(part, {})
    # Sections of their own within it are looked at by their own names.
    return {
        key: value
        for key, value in schema.get("properties", {}).items()
        if f"{section}.{key}.NAME" not in server_keys()
    }


def check_schema_of_config():
    """The values know exactly the server's keys, but for those that the chart sets."""
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    sections = schema["properties"]["config"]["properties"]
    known = server_keys()
    require({"server", "telemetry"} <= known.keys(), "docs/config.md: no sections are found any more")
    for section in known | sections:
        values = keys_of_section(sections, section)
        keys = known.get(section, {})
        for key, may_be in keys.items():
            if key in values:
                check_bounds(f"{section}.{key}", values[key], may_be)
            elif key not in OWN_KEYS.get(section, ()):
                require(False, f"values.schema.json: config.{section}.{key} is missing")
        for key in values.keys() - keys:
            require(False, f"values.schema.json: config.{section}.{key}: the server has none")


def validate(name, document):
    """The object is one that each Kubernetes knows, with no field that it does not."""
    for version in VERSIONS:
        try:
            kubernetes.validate(document, version, strict=True)
        except kubernetes.SchemaNotFoundError:
            require(document["kind"] in FOREIGN, f"{name}: no schema of {document['kind']}")
        except kubernetes.ValidationError as error:
            where = ".".join(map(str, error.path))
            require(False, f"{name}: {document['kind']} on {version}: {where}: {error.message}")


def pods(documents):
    """Yields the labels and the specification of each pod."""
    for document in documents:
        if document["kind"] == "Pod":
            yield document["metadata"]["labels"], document["spec"]
        elif document["kind"] == "Deployment":
            template = document["spec"]["template"]
            yield template["metadata"]["labels"], template["spec"]


def check_pod(name, spec):
    """The pod meets the restricted profile, and more: nothing can be written but volumes."""
    context = spec["securityContext"]
    require(context["runAsNonRoot"] and context["runAsUser"] > 0, f"{name}: may be root")
    require(context["seccompProfile"] == {"type": "RuntimeDefault"}, f"{name}: seccomp")
    require(spec["automountServiceAccountToken"] is False, f"{name}: a token is mounted")
    require(spec["enableServiceLinks"] is False, f"{name}: variables of Services")
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        require(key not in spec, f"{name}: {key}")
    volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
    for volume in volumes.values():
        require("hostPath" not in volume, f"{name}: {volume['name']} is of the host")
        if "secret" in volume:
            require(volume["secret"]["defaultMode"] == 0o400, f"{name}: mode of {volume['name']}")
    for container in spec.get("initContainers", []) + spec["containers"]:
        expected = {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        of = f"{name}: {container['name']}"
        require(container["securityContext"] == expected, f"{of}: securityContext")
        for mount in container.get("volumeMounts", []):
            require(mount["name"] in volumes, f"{of}: no volume {mount['name']}")
            if "emptyDir" not in volumes.get(mount["name"], {}) and mount["name"] != "data":
                require(mount.get("readOnly"), f"{of}: {mount['name']} can be written")


def configuration(documents):
    """Returns the server's configuration file."""
    files = [document.get("data", {}).get("token-authority.toml") for document in documents]
    return next(filter(None, files))


def check_server(name, documents):
    """What the Deployment and the configuration say of one thing is the same."""
    found = [document for document in documents if document["kind"] == "Deployment"]
    spec = found[0]["spec"]["template"]["spec"]
    container = spec["containers"][0]
    config = tomllib.loads(configuration(documents))
    known = server_keys()
    many = [("trusts.NAME", keys) for keys in config.pop("trusts", {}).values()]
    identities = config.get("tls", {}).pop("identities", {})
    many += [("tls.identities.NAME", keys) for keys in identities.values()]
    for section, keys in [*config.items(), *many]:
        for key, value in keys.items():
            require(key in known.get(section, ()), f"{name}: the server knows no {section}.{key}")
            require(not isinstance(value, float) or key == "sample_ratio", f"{name}: {key} = {value}")
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    require(config["server"]["address"] == f"0.0.0.0:{ports['grpc']}", f"{name}: port of gRPC")
    require(config["ops"]["address"] == f"0.0.0.0:{ports['ops']}", f"{name}: port of ops")
    require(container["readinessProbe"]["grpc"]["port"] == ports["ops"], f"{name}: readiness")
    server = config["server"]
    ends = server["drain_seconds"] + server["grace_seconds"]
    telemetry = config["telemetry"]
    if "otlp_endpoint" in telemetry:
        ends += telemetry.get("otlp_timeout_seconds", 5)
    require(spec["terminationGracePeriodSeconds"] >= ends + 5, f"{name}: cut before its end")
    secured = "certificate_file" in config.get("tls", {})
    require(secured != server["plaintext"], f"{name}: neither TLS nor plain text, or both")
    spoken = [
        port["appProtocol"]
        for document in documents
        if document["kind"] == "Service"
        for port in document["spec"]["ports"]
        if port["name"] == "grpc"
    ]
    expected = ["https" if secured else "kubernetes.io/h2c"] * 2
    require(spoken == expected, f"{name}: Services say {spoken} of gRPC")
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    for each in spec.get("initContainers", []):
        if each["name"] == "migrate" and "/more" in mounts:
            of_migrate = [mount["mountPath"] for mount in each["volumeMounts"]]
            require("/more" in of_migrate, f"{name}: what is mounted beside is not there for migrate")
    for path in (
        config["database"]["directory"],
        config["database"].get("url_file"),
        config.get("keyring", {}).get("directory"),
        config.get("bootstrap", {}).get("token_file"),
        config.get("telemetry", {}).get("otlp_headers_file"),
        *(path for key, path in config.get("tls", {}).items() if key.endswith("_file")),
    ):
        good = path is None or any(f"{path}/".startswith(f"{mount}/") for mount in mounts)
        require(good, f"{name}: {path} is on no volume")


def check_selectors(name, documents):
    """Services, budgets and policies select the server's pods, and not the test's."""
    for document in documents:
        spec = document.get("spec", {})
        kind = document["kind"]
        if kind == "Service":
            selector = spec["selector"]
        elif kind == "PodDisruptionBudget":
            selector = spec["selector"]["matchLabels"]
        elif kind == "NetworkPolicy":
            selector = spec["podSelector"]["matchLabels"]
        else:
            continue
        chosen = [
            labels["app.kubernetes.io/component"]
            for labels, _ in pods(documents)
            if selector.items() <= labels.items()
        ]
        require(chosen == ["server"], f"{name}: {kind} selects {chosen}")


def check_policy(name, documents):
    """No rule of ingress is open to everybody: an empty or absent `from` would be."""
    for document in documents:
        if document["kind"] == "NetworkPolicy":
            for rule in document["spec"]["ingress"]:
                require(rule.get("from"), f"{name}: everybody is let in: {rule}")


def check_expiry():
    """The alert on certificates fires as many days before as the values say."""
    watched = ["--set", "config.server.plaintext=true,prometheusRule.enabled=true"]
    for days in ("7", "0.33", "30"):
        text = render([*watched, "--set-json", f"prometheusRule.certificateExpiresDays={days}"])
        found = re.findall(r"expiry_timestamp_seconds\) - time\(\) < (\S+) \* 86400", text)
        require(found == [days], f"certificateExpiresDays={days}: the alert says {found}")


def check_case(name, arguments, expected):
    """All that must be true of whatever is rendered."""
    documents = objects(arguments)
    kinds = collections.Counter(document["kind"] for document in documents)
    require(kinds == expected, f"{name}: kinds {dict(kinds)}, expected {expected}")
    names = collections.Counter((each["kind"], each["metadata"]["name"]) for each in documents)
    require(max(names.values()) == 1, f"{name}: two of one name: {names}")
    for document in documents:
        metadata = document["metadata"]
        require(metadata["namespace"] == "auth", f"{name}: namespace of {document['kind']}")
        require(len(metadata["name"]) <= 63, f"{name}: {metadata['name']} is too long")
        validate(name, document)
    for _, spec in pods(documents):
        check_pod(name, spec)
    check_server(name, documents)
    check_selectors(name, documents)
    check_policy(name, documents)


def closed_sections(schema, path=()):
    """Yields each object of the values that has keys of its own."""
    for key, value in schema.get("properties", {}).items():
        if "properties" in value:
            yield path + (key,)
            yield from closed_sections(value, path + (key,))


def check_refusals():
    """What must not be rendered is not, and the refusal says why."""
    refused = dict(REFUSED)
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    for section in [(), *closed_sections(schema)]:
        key = ".".join((*section, "mispelt"))
        refused[key] = (["--set", f"config.server.plaintext=true,{key}=1"], "'mispelt' not allowed")
    for name, (arguments, expected) in refused.items():
        done = helm(arguments)
        good = done.returncode != 0 and expected in done.stderr
        require(good, f"{name}: not refused with “{expected}”: {done.stderr or 'rendered'}")


def golden():
    """Yields each golden file and what should be in it."""
    for database in ("sqlite", "postgres"):
        values = ["-f", f"ci/{database}-values.yaml"]
        text = render(values)
        require(text == render(values, "helm3"), f"{database}: Helm 3 and 4 render differently")
        yield CHART / f"ci/golden/{database}.yaml", text


def check_generated(path, fresh, target):
    """The file holds what is generated."""
    known = path.read_text() if path.exists() else ""
    if known != fresh:
        name = str(path.relative_to(ROOT))
        lines = difflib.unified_diff(
            known.splitlines(), fresh.splitlines(), name, "generated", lineterm=""
        )
        print("\n".join(lines))
        require(False, f"{name} is not what is generated; if it should be: make {target}")


def check_versions():
    """The chart installs this very version."""
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    require(chart["appVersion"] == cargo, f"Chart.yaml: appVersion is not {cargo}")


def main():
    """Runs all checks; says each problem."""
    if sys.argv[1:] == ["golden"]:
        for path, text in golden():
            path.write_text(text)
        return
    if sys.argv[1:2] == ["configuration"]:
        values = ["-f", str(pathlib.Path(sys.argv[2]).resolve())]
        print(configuration(objects(values)), end="")
        return
    # The schemas are read once, not for each object.
    kubernetes.schema_contents = functools.lru_cache(kubernetes.schema_contents)
    check_versions()
    check_schema_of_config()
    for name, (arguments, expected) in CASES.items():
        check_case(name, arguments, expected)
    check_expiry()
    check_refusals()
    check_generated(CHART / "README.md", readme(), "helm-docs")
    # What the worked files came to when somebody looked.
    for path, fresh in golden():
        check_generated(path, fresh, "helm-golden")
    problems.extend(watching.check_alerts())
    problems.extend(watching.check_panels())
    problems.extend(watching.check_names())
    for problem in problems:
        print(problem)
    if problems:
        sys.exit(1)
    print(f"{len(CASES)} sets of values rendered, {len(REFUSED)} refused")


if __name__ == "__main__":
    main()
