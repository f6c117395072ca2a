//! The table of metrics and what a server tells are one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use token_authority::authority::access::Rpc;
use token_authority::authority::sweeper::Retention;
use token_authority::config::{Config, Identity};
use token_authority::domain::peer::Peer;
use token_authority::domain::time::Timestamp;
use token_authority::lifecycle::LAST;
use token_authority::metrics::{self, Metric, Type, Values};
use token_authority::pb;
use tokio::time::Instant;

use super::{Stage, claims};
use crate::support::import::{foreign, imported_by};
use crate::support::ops::Scrape;
use crate::support::tokens::{
    batch as ask_batch, question, service, suspend_tenant, ttl, wanted, who_am_i,
};
use crate::support::{Backend, TestServer, both_backends, refusal, self_service};

both_backends!(all_that_is_documented_is_told_and_nothing_else);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What is not zero for a moment only, or only where much happens: another test sees
/// to it. A metric, or one value of its label.
const ELSEWHERE: [(&str, &str); 25] = [
    ("bcrypt_queue_length", "what_waits_for_a_hash_is_told"),
    ("bcrypt_threads_busy", "what_waits_for_a_hash_is_told"),
    ("bcrypt_refused", "what_waits_for_a_hash_is_told"),
    ("requests_in_flight", "what_waits_for_a_hash_is_told"),
    ("store_writers", "what_waits_for_the_store_is_told"),
    (
        "store_connections use=in_use",
        "what_waits_for_the_store_is_told",
    ),
    ("store_wait_timeouts", "what_waits_for_the_store_is_told"),
    (
        "connections_refused",
        "one_connection_too_many_is_closed_and_a_free_place_is_taken_again",
    ),
    (
        "tls_handshakes_failed",
        "who_is_not_let_in_is_told_so_and_counted",
    ),
    ("tls_reloads", "what_does_not_fit_leaves_what_was_in_use"),
    (
        "tls_certificate_expiry_timestamp_seconds",
        "what_does_not_fit_leaves_what_was_in_use",
    ),
    ("sessions_refused", "each_refusal_is_counted_and_told"),
    ("housekeeping_failures", "a_server_tells_how_its_chores_go"),
    ("memory_recalls", "memory_is_told_in_numbers"),
    ("memory_records", "memory_is_told_in_numbers"),
    ("memory_bytes", "memory_is_told_in_numbers"),
    ("memory_max_bytes", "memory_is_told_in_numbers"),
    ("memory_known_values", "memory_is_told_in_numbers"),
    ("memory_complete", "memory_is_told_in_numbers"),
    ("memory_reads", "memory_is_told_in_numbers"),
    ("memory_drops", "memory_is_told_in_numbers"),
    ("changes_applied", "memory_is_told_in_numbers"),
    (
        "memory_evictions",
        "memory_that_is_full_forgets_and_answers_right",
    ),
    (
        "memory_reads_joined",
        "calls_for_one_value_are_read_together",
    ),
    (
        "memory_reads_raced",
        "no_answer_is_as_if_a_change_had_not_happened_that_was_done_before",
    ),
];
/// What counts that a bounded memory of 65,536 has no room: always zero here.
const NEVER: [&str; 2] = ["fingerprint_upgrades_dropped", "uses_dropped"];
/// Codes that are answered by none of these calls; each of the others is.
const CODES: [&str; 7] = [
    "ABORTED",
    "CANCELLED",
    "DATA_LOSS",
    "DEADLINE_EXCEEDED",
    "OUT_OF_RANGE",
    "RESOURCE_EXHAUSTED",
    "UNKNOWN",
];

/// What was told by some scrapes: for each series the most.
#[derive(Default)]
struct Told {
    most: BTreeMap<String, f64>,
    families: BTreeSet<String>,
    texts: Vec<String>,
}

impl Told {
    async fn look(&mut self, t: &TestServer) {
        let Scrape { text, .. } = t.scrape().await;
        for line in text.lines() {
            if let Some(family) = line.strip_prefix("# TYPE ") {
                self.families.insert(family.to_owned());
            }
            if !line.starts_with('#') {
                let (series, number) = line.rsplit_once(' ').unwrap();
                let most = self.most.entry(series.to_owned()).or_default();
                *most = most.max(number.parse().unwrap());
            }
        }
        self.texts.push(text);
    }

    /// Returns the series of a metric, of a histogram its counts: their labels and the
    /// most that they were.
    fn of(&self, metric: &Metric) -> Vec<(BTreeMap<&str, &str>, f64)> {
        let name = match metric.kind {
            Type::Counter | Type::Gauge => metric.series().into_owned(),
            Type::Histogram => format!("{}_count", metric.name),
        };
        let series = self.most.iter().filter_map(|(series, most)| {
            let labels = series.strip_prefix(name.as_str())?;
            (labels.is_empty() || labels.starts_with('{')).then(|| (labels_of(labels), *most))
        });
        series.collect()
    }
}

/// Reads labels; their values hold neither a comma nor a quote.
fn labels_of(text: &str) -> BTreeMap<&str, &str> {
    let inside = text.trim_start_matches('{').trim_end_matches('}');
    let labels = inside.split(',').filter(|label| !label.is_empty());
    let labels = labels.map(|label| label.split_once('=').unwrap());
    labels
        .map(|(name, value)| (name, value.trim_matches('"')))
        .collect()
}

/// Does all that is counted.
async fn exercise(stage: &Stage, told: &mut Told) {
    let Stage {
        t, acme, server, ..
    } = stage;
    let operator = t.operator();
    for (_, question) in stage.questions() {
        let _ = server.try_introspect(question).await;
    }
    for (_, actor) in stage.credentials().await {
        who_am_i(&actor, pb::WhoAmIRequest {}).await.unwrap_err();
    }
    certificates(t).await;
    let batch = pb::BatchIntrospectRequest {
        requests: vec![question("acme", acme.admin.value()); 3],
    };
    ask_batch(server, batch).await.unwrap();

    // Every RPC, one that nobody serves, and what is not of ours.
    let brief = t.member(acme, "brief", &[]).await.actor;
    let others = [
        "/grpc.health.v1.Health/Check",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/astray.Nothing/AtAll",
    ];
    for path in Rpc::ALL.iter().map(|rpc| rpc.path()).chain(others) {
        let _ = brief.raw(path, Vec::new()).await;
        let _ = t.nobody().raw(path, Vec::new()).await;
    }
    for path in others {
        let _ = brief.raw(path, Vec::new()).await;
    }
    let missing = pb::GetTenantRequest {
        tenant_id: "nowhere".into(),
    };
    operator.get_tenant(missing).await.unwrap_err();
    let again = pb::CreateTenantRequest {
        tenant_id: "acme".into(),
        token_prefix: "acme2_".into(),
        ..Default::default()
    };
    operator.create_tenant(again).await.unwrap_err();
    let late = operator.try_create(service("globex", "late", &[])).await;
    let status = late.unwrap_err();
    assert_eq!(refusal(&status), "FailedPrecondition TENANT_SUSPENDED");
    let exposed = acme.admin.issue("exposed", &[]).await;
    let request = pb::RevokeExposedTokenRequest {
        value: exposed.value,
    };
    let nobody = t.nobody();
    nobody.me().revoke_exposed_token(request).await.unwrap();

    for (_, value) in claims::values(t).await {
        let _ = t.nobody().try_claim(&value).await;
    }

    // Every kind, every state.
    operator.create(service("acme", "service", &[])).await;
    let agent = pb::CreateTokenRequest {
        kind: pb::TokenKind::Agent.into(),
        agent_id: "agent".into(),
        ..wanted("agent", &[])
    };
    acme.admin.create(agent).await;
    let soon = pb::CreateTokenRequest {
        expiry: ttl(3600),
        ..wanted("soon", &[])
    };
    acme.admin.create(soon).await;
    import(stage).await;
    t.authority.flush_usage().await.unwrap();
    t.authority.take_census().await.unwrap();
    told.look(t).await;

    // bcrypt, where there is no fingerprint; then there is one.
    t.database
        .execute("UPDATE secrets SET fingerprint = NULL, fingerprint_key = NULL")
        .await;
    server.introspect("acme", acme.admin.value()).await;
    t.authority.flush_usage().await.unwrap();
    std::fs::write(t.keyring().join("0002.key"), "no key").unwrap();
    t.authority.reload_keyring().await.unwrap_err();
    std::fs::remove_file(t.keyring().join("0002.key")).unwrap();

    // What the database refuses, and what must be unique.
    t.database
        .execute("CREATE UNIQUE INDEX once ON tokens (name) WHERE name = 'twice'")
        .await;
    acme.admin.issue("twice", &[]).await;
    let twice = operator.try_create(service("acme", "twice", &[])).await;
    assert_eq!(refusal(&twice.unwrap_err()), "Internal INTERNAL");
    t.database
        .execute("ALTER TABLE tenants RENAME TO lost_tenants")
        .await;
    let question = question("acme", acme.admin.value());
    t.authority.coherence().doubt();
    server.try_introspect(question.clone()).await.unwrap_err();
    t.database
        .execute("ALTER TABLE lost_tenants RENAME TO tenants")
        .await;

    sweep(stage).await;
    t.authority.take_census().await.unwrap();
    told.look(t).await;
    // At last, the store is gone.
    t.authority.close(Instant::now() + LAST).await.unwrap();
    let status = server.try_introspect(question).await.unwrap_err();
    assert_eq!(refusal(&status), "Unavailable STORE_UNAVAILABLE");
    told.look(t).await;
}

/// The SPIFFE ID of what acts in a tenant.
fn spiffe_id(tenant_id: &str) -> String {
    format!("spiffe://prod.example.org/of/{tenant_id}")
}

/// Has identities known that act in these tenants.
fn identify(config: &mut Config, tenants: [&str; 2]) {
    for tenant_id in tenants {
        let identity = Identity {
            spiffe_id: Some(spiffe_id(tenant_id)),
            dns_name: None,
            tenant_id: tenant_id.into(),
            scopes: vec!["authority:introspect".into()],
        };
        config.identities.insert(tenant_id.into(), identity);
    }
}

/// Calls by certificates that are worth nothing, each for another reason.
async fn certificates(t: &TestServer) {
    t.tenant("asleep", self_service()).await;
    suspend_tenant(&t.operator(), "asleep").await;
    let [asleep, nowhere, nobody] = ["asleep", "nowhere", "nobody"].map(spiffe_id);
    for uris in [
        [asleep.as_str()].as_slice(),
        &[&nowhere],
        &[&nobody],
        &[&asleep, &nowhere],
    ] {
        let actor = t.certified(uris, &[]).await;
        who_am_i(&actor, pb::WhoAmIRequest {}).await.unwrap_err();
    }
    let expired = Peer {
        uris: vec![asleep],
        dns: Vec::new(),
        expires_at: Timestamp::from_millis(0).unwrap(),
    };
    let actor = t.presenting(&expired, None).await;
    who_am_i(&actor, pb::WhoAmIRequest {}).await.unwrap_err();
}

/// Imports a value, and presents a wrong one for it.
async fn import(stage: &Stage) {
    let value = foreign("acme", 1);
    imported_by(&stage.acme, &value, &[]).await;
    let wrong = value.replace("s3cret/s3cret", "s3cret/S3cret");
    for _ in 0..2 {
        stage.server.introspect("acme", &wrong).await;
    }
}

/// Removes something of each kind.
async fn sweep(stage: &Stage) {
    let (t, operator) = (&stage.t, stage.t.operator());
    let once = pb::CreateUserRequest {
        tenant_id: "acme".into(),
        external_id: "once".into(),
        role: pb::Role::Member.into(),
        request_id: "once".into(),
        ..Default::default()
    };
    operator.try_create_user(once).await.unwrap();
    t.advance(91 * DAY);
    let retention = Retention {
        dead_tokens: DAY,
        audit_events: Some(DAY),
        period: DAY,
    };
    t.authority.sweep(retention).await.unwrap().unwrap();
}

/// Returns what is wrong between the table and what was told.
fn faults(told: &Told) -> Vec<String> {
    let mut faults = Vec::new();
    let families = metrics::table().map(|metric| format!("{} {}", metric.name, metric.kind.name()));
    let families: BTreeSet<String> = families.collect();
    let undocumented = told.families.difference(&families);
    faults.extend(undocumented.map(|family| format!("{family}: not in the table")));
    for metric in metrics::table() {
        let name = metric.name;
        let short = name.strip_prefix("token_authority_").unwrap_or(name);
        // Nothing is done by itself while a test runs.
        if short == "housekeeping_done_timestamp_seconds" {
            continue;
        }
        let elsewhere = |what: &str| ELSEWHERE.iter().any(|(of, _)| *of == what);
        let zero = NEVER.contains(&short) || elsewhere(short);
        let series = told.of(metric);
        let names: BTreeSet<_> = metric.labels.iter().map(|label| label.name).collect();
        for (labels, _) in &series {
            if labels.keys().copied().collect::<BTreeSet<_>>() != names {
                faults.push(format!("{name}: has the labels {labels:?}"));
            }
        }
        if !zero && !series.iter().any(|(_, most)| *most > 0.0) {
            faults.push(format!("{name}: always zero, or never told"));
        }
        for label in metric.labels {
            let Values::Closed(values) = label.values else {
                continue;
            };
            let values = values();
            for (labels, _) in &series {
                let value = labels.get(label.name).copied().unwrap_or_default();
                if !values.iter().any(|documented| documented == value) {
                    faults.push(format!("{name}: {}={value} is not documented", label.name));
                }
            }
            for value in values {
                let of_it = series
                    .iter()
                    .filter(|(labels, _)| labels.get(label.name) == Some(&value.as_str()));
                let most = of_it.map(|(_, most)| *most).reduce(f64::max);
                let of_value = format!("{short} {}={value}", label.name);
                let may_be_zero = zero
                    || elsewhere(&of_value)
                    || (label.name == "code" && CODES.contains(&value.as_str()));
                match most {
                    None => faults.push(format!("{name}: no {}={value}", label.name)),
                    Some(0.0) if !may_be_zero => {
                        faults.push(format!("{name}: {}={value} is always zero", label.name));
                    }
                    Some(most) if most > 0.0 && label.name == "code" && may_be_zero => {
                        faults.push(format!("{value} is answered: take it off the list"));
                    }
                    Some(_) => {}
                }
            }
        }
    }
    faults
}

async fn all_that_is_documented_is_told_and_nothing_else(backend: Backend) {
    let t = TestServer::start_with(backend, |config| {
        config.database.connections = 16;
        identify(config, ["asleep", "nowhere"]);
    });
    let t = t.await;
    let mut stage = Stage::of(t).await;
    stage.t.expect_alarms();
    // The operator's token must outlive this test.
    stage
        .t
        .database
        .execute("UPDATE tokens SET expires_at = NULL WHERE name = 'operator'")
        .await;
    let mut told = Told::default();
    told.look(&stage.t).await;
    exercise(&stage, &mut told).await;
    let faults = faults(&told);
    assert!(faults.is_empty(), "{faults:#?}");

    let mut ids = stage.t.issued();
    let words = [
        "acme", "globex", "initech", "soylent", "usr_", "tok_", "ivt_", "astray", "brief",
    ];
    ids.extend(words.map(String::from));
    for text in &told.texts {
        for id in &ids {
            assert!(!text.contains(id.as_str()), "{id} in {text}");
        }
    }
}
