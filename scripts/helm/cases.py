"""What the chart is rendered with, and what must come of it."""

import json

# The settings that each case needs to be rendered at all.
SPOKEN = ["--set", "config.server.plaintext=true"]
TLS = ["--set", "tls.existingSecret=certificate"]
POSTGRES = SPOKEN + [
    "--set", "database.kind=postgres",
    "--set", "database.existingSecret=url",
    "--set", "keyring.existingSecret=keys",
]  # fmt: skip

# The kinds of the two backends, one pod each, with every feature as it is by default.
BASE = {
    "ConfigMap": 1,
    "Deployment": 1,
    "NetworkPolicy": 1,
    "Pod": 1,
    "Service": 3,
    "ServiceAccount": 1,
}
UNTESTED = {kind: count for kind, count in BASE.items() if kind != "Pod"}
SQLITE = BASE | {"PersistentVolumeClaim": 1}
SEVERAL = BASE | {"PodDisruptionBudget": 1}
WATCHED = {"ConfigMap": 2, "PrometheusRule": 1, "ServiceMonitor": 1}


def sets(*settings):
    """Returns the arguments that set each of `key=value`."""
    return [argument for setting in settings for argument in ("--set", setting)]


def identity(name, tenant, scope, **shown):
    """Returns the arguments that make a service known by its certificate."""
    keys = {"tenant_id": tenant, "scopes": [scope], **shown}
    return ["--set-json", f"config.tls.identities.{name}={json.dumps(keys)}"]


# Clients that may show a certificate.
CLIENTS = TLS + sets("tls.clientCA.key=ca.crt", "config.tls.client_certificates=optional")

# Each case: arguments of Helm, and how many of each kind there must be.
CASES = {
    "sqlite": (SPOKEN, SQLITE),
    "sqlite, worked": (["-f", "ci/sqlite-values.yaml"], SQLITE),
    "sqlite, none for maintenance": (SPOKEN + sets("replicas=0"), SQLITE),
    "sqlite, a claim of one's own": (
        SPOKEN + sets("persistence.existingClaim=mine", "keyring.existingSecret=keys"),
        BASE,
    ),
    "sqlite, a claim that says everything": (
        SPOKEN
        + sets(
            "persistence.storageClass=fast",
            "persistence.accessMode=ReadWriteOncePod",
            "persistence.annotations.backup=daily",
            "persistence.keep=false",
        ),
        SQLITE,
    ),
    "postgres, one pod": (POSTGRES, BASE),
    "postgres, worked": (["-f", "ci/postgres-values.yaml"], SEVERAL | WATCHED),
    "postgres, several": (POSTGRES + sets("replicas=2"), SEVERAL),
    "postgres, scaled": (
        POSTGRES + sets("autoscaling.enabled=true"),
        SEVERAL | {"HorizontalPodAutoscaler": 1},
    ),
    "postgres, scaled in one's own way": (
        POSTGRES
        + sets(
            "autoscaling.enabled=true",
            "autoscaling.behavior.scaleDown.selectPolicy=Disabled",
            "podDisruptionBudget.maxUnavailable=25%",
        ),
        SEVERAL | {"HorizontalPodAutoscaler": 1},
    ),
    "postgres, nothing but the service": (
        POSTGRES
        + sets(
            "replicas=2",
            "database.migrate=false",
            "networkPolicy.enabled=false",
            "podDisruptionBudget.enabled=false",
            "serviceAccount.create=false",
            "test.enabled=false",
            "topologySpread.enabled=false",
        ),
        {"ConfigMap": 1, "Deployment": 1, "Service": 3},
    ),
    "nobody is let in": (
        POSTGRES
        + sets("test.enabled=false")
        + ["--set-json", "networkPolicy.grpc.from=[]"],
        UNTESTED,
    ),
    "Prometheus alone is let in": (
        POSTGRES
        + sets("test.enabled=false")
        + ["--set-json", 'networkPolicy={"grpc":{"from":[]},"ops":{"from":[{"podSelector":{}}]}}'],
        UNTESTED,
    ),
    "an operator of one's own": (
        POSTGRES + sets("bootstrap.existingSecret=first", "bootstrap.tokenKey=value"),
        BASE,
    ),
    "a test that introspects": (
        SPOKEN + sets("test.existingSecret=service-token"),
        SQLITE,
    ),
    "TLS": (TLS, SQLITE),
    "TLS, and a test that introspects": (
        TLS + sets("test.existingSecret=service-token", "test.caKey=ca.crt"),
        SQLITE,
    ),
    "TLS of all, and a test that has a certificate": (
        TLS
        + sets("tls.clientCA.key=ca.crt", "test.existingSecret=service-token", "test.caKey=ca.crt")
        + sets("test.clientSecret=client", "test.serverName=authority.example"),
        SQLITE,
    ),
    "TLS, of everybody's certificate": (
        TLS + sets("tls.clientCA.key=ca.crt", "test.enabled=false"),
        {kind: count for kind, count in SQLITE.items() if kind != "Pod"},
    ),
    "TLS, in all its ways": (
        TLS
        + sets("tls.clientCA.key=ca.pem", "tls.clientCA.existingSecret=clients")
        + sets("config.tls.client_certificates=optional", "config.tls.reload_seconds=60")
        + ["--set-string", "config.tls.minimum_version=1.2"],
        SQLITE,
    ),
    "watched, with less and more": (
        SPOKEN
        + sets(
            "serviceMonitor.enabled=true",
            "serviceMonitor.interval=15s",
            "serviceMonitor.labels.release=prometheus",
            "prometheusRule.enabled=true",
            "prometheusRule.disabled={TokenAuthorityDown}",
            "prometheusRule.alertLabels.team=identity",
            "dashboard.enabled=true",
            "dashboard.annotations.folder=identity",
        ),
        SQLITE | WATCHED,
    ),
    "all that is extra": (["-f", "ci/extra-values.yaml"], SEVERAL),
}

# Each case that must be refused: arguments of Helm, and what the refusal must say.
REFUSED = {
    "the defaults": ([], "set config.server.plaintext=true"),
    "TLS and plain text": (SPOKEN + TLS, "speaks TLS or plain text"),
    "a CA of clients without TLS": (SPOKEN + sets("tls.clientCA.key=ca.crt"), "are for TLS"),
    "settings of TLS without it": (SPOKEN + sets("config.tls.reload_seconds=9"), "are for TLS"),
    "a Secret of CAs and no key": (TLS + sets("tls.clientCA.existingSecret=a"), "set tls.clientCA.key"),
    "certificates of no CA": (
        TLS + sets("config.tls.client_certificates=required"),
        "set tls.clientCA.key",
    ),
    "an administrator of every tenant": (
        CLIENTS + identity("ci", "authority", "authority:tenant.admin", dns_name="ci.example"),
        "config.tls.identities.ci: authority:tenant.admin",
    ),
    "two services of one SPIFFE ID": (
        CLIENTS
        + identity("chat", "acme", "authority:introspect", spiffe_id="spiffe://prod.example/chat")
        + identity("talk", "acme", "authority:introspect", spiffe_id="spiffe://prod.example/chat"),
        "chat and talk are both spiffe://prod.example/chat",
    ),
    "two services of one DNS name": (
        CLIENTS
        + identity("chat", "acme", "authority:introspect", dns_name="chat.example")
        + identity("talk", "beta", "authority:introspect", dns_name="chat.example"),
        "chat and talk are both chat.example",
    ),
    "a test without a certificate": (
        TLS + sets("tls.clientCA.key=ca.crt"),
        "helm test has no client certificate",
    ),
    "a test that trusts nobody": (TLS + sets("test.existingSecret=a"), "set test.caKey"),
    "a test over TLS in plain text": (
        SPOKEN + sets("test.existingSecret=a", "test.caKey=ca.crt"),
        "test that introspects over TLS",
    ),
    "a test of health with a certificate": (
        TLS + sets("tls.clientCA.key=ca.crt", "test.clientSecret=client"),
        "test that introspects over TLS",
    ),
    "a file of TLS": (TLS + sets("config.tls.key_file=/a"), "'key_file' not allowed"),
    "sqlite, several": (SPOKEN + sets("replicas=2"), "SQLite is for one pod: set replicas=1"),
    "sqlite, scaled": (
        SPOKEN + sets("autoscaling.enabled=true"),
        "SQLite is for one pod: set autoscaling.enabled=false",
    ),
    "sqlite, a URL": (
        SPOKEN + sets("database.existingSecret=url"),
        "database.existingSecret is PostgreSQL's",
    ),
    "postgres, no URL": (
        SPOKEN + sets("database.kind=postgres", "keyring.existingSecret=keys"),
        "PostgreSQL needs database.existingSecret",
    ),
    "postgres, no keyring": (
        SPOKEN + sets("database.kind=postgres", "database.existingSecret=url"),
        "PostgreSQL needs keyring.existingSecret",
    ),
    "scaled upside down": (
        POSTGRES + sets("autoscaling.enabled=true", "autoscaling.minReplicas=11"),
        "autoscaling.minReplicas is more than",
    ),
    "headers for nobody": (SPOKEN + sets("otlp.existingSecret=headers"), "headers for nobody"),
    "a password in the open": (
        SPOKEN + sets("config.telemetry.otlp_endpoint=http://a:b@c:4317"),
        "/config/telemetry/otlp_endpoint",
    ),
    "one port for two": (SPOKEN + sets("ports.ops=50051"), "are one port"),
    "an alert that there is not": (
        SPOKEN + sets("prometheusRule.enabled=true", "prometheusRule.disabled={Nope}"),
        "no alert is named Nope",
    ),
    "a third database": (POSTGRES + sets("database.kind=mysql"), "/database/kind"),
    "a value out of bounds": (SPOKEN + sets("config.hashing.cost=15"), "/config/hashing/cost"),
    "root": (SPOKEN + sets("runAsUser=0"), "/runAsUser"),
    "a number in the environment": (
        SPOKEN + sets("extraEnv[0].name=A", "extraEnv[0].value=1"),
        "/extraEnv/0/value",
    ),
    "a section taken away": (SPOKEN + sets("config.telemetry=null"), "'telemetry'"),
    "a default taken away": (SPOKEN + sets("image=null"), "'image'"),
    # What the server knows, but the chart alone may set.
    "a URL in the open": (SPOKEN + sets("config.database.url=postgres://a"), "'url' not allowed"),
    "a file of the first token": (
        SPOKEN + sets("config.bootstrap.token_file=/a"),
        "'bootstrap' not allowed",
    ),
    "an address": (SPOKEN + sets("config.server.address=0.0.0.0:1"), "'address' not allowed"),
}
