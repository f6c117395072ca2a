"""Looks at what watches over the server: alerts, their runbook, the dashboard."""

import json
import pathlib
import re
import subprocess
import tempfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/token-authority"


def alerts():
    """Returns each alert's rule, by its name."""
    groups = yaml.safe_load((CHART / "rules/alerts.yaml").read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def panels():
    """Yields the title and each expression of the dashboard's panels and annotations."""
    dashboard = json.loads((CHART / "dashboards/token-authority.json").read_text())
    for annotation in dashboard["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def same(what, names, others, of):
    """Says of two sets of names in what they differ."""
    for name in sorted(set(names) ^ set(others)):
        yield f"{name} is {'not ' if name in names else 'only '}in {what}, of {of}"


def check_alerts():
    """Yields what is missing: each alert has a test that it fires in, and a paragraph."""
    known = alerts()
    tests = (CHART / "rules/tests.yaml").read_text()
    fired = re.findall(r'\{alertname="(\w+)"', tests.replace("ALERTS{", "{"))
    yield from same("rules/tests.yaml", known, fired, "the alerts")
    headings = re.findall(r"^### (\w+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)
    yield from same("docs/runbook.md", known, headings, "the alerts")
    for name, rule in known.items():
        if rule["labels"].keys() != {"severity"} or rule["annotations"].keys() != {"summary"}:
            yield f"{name}: an alert has a severity and a summary"


def check_panels():
    """Yields what promtool says of the dashboard's expressions."""
    rules = [
        {"record": "panel", "labels": {"title": title}, "expr": plain(expression)}
        for title, expression in panels()
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump({"groups": [{"name": "panels", "rules": rules}]}, file)
        file.flush()
        done = subprocess.run(
            ["promtool", "check", "rules", file.name], capture_output=True, text=True
        )
    if done.returncode != 0:
        yield f"dashboards/token-authority.json: {done.stderr}"


def documented():
    """Returns the names of all metrics, and the values of each label that has a closed set."""
    text = (ROOT / "docs/metrics.md").read_text()
    metrics, labels = text.split("## Labels")
    names = set(re.findall(r"^\| `(\w+)` \|", metrics, re.MULTILINE))
    values = {}
    for label, row in re.findall(r"^\| `(\w+)` \| (.*) \|$", labels, re.MULTILINE):
        values.setdefault(label, set()).update(re.findall(r"`([^`]+)`", row))
    return names, values


def check_names():
    """Yields each metric, and each value of a label, that an expression asks for in vain."""
    names, values = documented()
    asked = [(f"alert {name}", rule["expr"]) for name, rule in alerts().items()]
    asked += [(f"panel {title}", expression) for title, expression in panels()]
    for where, expression in asked:
        for name in re.findall(r"\b((?:token_authority|process)_\w+)", expression):
            if name not in names and re.sub("_(bucket|sum|count)$", "", name) not in names:
                yield f"{where}: docs/metrics.md has no {name}"
        for label, wanted in re.findall(r'(\w+)(?:=~|!~|!=|=)"([^"$]*)"', expression):
            for value in sorted(set(wanted.split("|")) - values.get(label, set())):
                yield f"{where}: docs/metrics.md has no {label}={value}"


def plain(expression):
    """Returns an expression with something in place of Grafana's variables."""
    return expression.replace("$__rate_interval", "5m").replace("$", "a")
