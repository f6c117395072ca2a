//! Metrics: each counts what it says, all that is documented is told and nothing else,
//! and no label names anybody.

mod claims;
mod load;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use token_authority::pb;

use crate::support::ops::Scrape;
use crate::support::tokens::{
    altered, change, checked, delete_tenant, delete_user, id, question, rotate, rotation, service,
    suspend_tenant, suspend_user, ttl, update, wanted, who_am_i,
};
use crate::support::{Actor, Backend, Tenant, TestServer, both_backends, refusal, self_service};

both_backends!(
    each_outcome_of_an_introspection_moves_its_counter_alone,
    each_bad_credential_is_counted_by_why,
    a_batch_counts_each_of_its_values,
    what_waits_for_a_hash_is_told,
    what_waits_for_the_store_is_told,
);

/// A server, and values of which each is worth nothing for another reason.
struct Stage {
    t: TestServer,
    acme: Tenant,
    /// Who introspects, for all tenants.
    server: Actor,
    /// By the outcome of their introspection: the tenant to ask for, and the value.
    worthless: Vec<(&'static str, &'static str, String)>,
}

impl Stage {
    async fn set(backend: Backend) -> Self {
        Self::of(TestServer::start(backend).await).await
    }

    async fn of(t: TestServer) -> Self {
        let acme = t.tenant("acme", self_service()).await;
        let operator = t.operator();
        let server = t.resource_server().await;
        let brief = pb::CreateTokenRequest {
            expiry: ttl(1),
            ..wanted("brief", &[])
        };
        let expired = acme.admin.create(brief).await.value;
        let revoked = acme.admin.issue("revoked", &[]).await;
        let disabled = acme.admin.issue("disabled", &[]).await;
        let rotated = acme.admin.issue("rotated", &[]).await;
        let alice = t.member(&acme, "alice", &["read"]).await;
        let bob = t.member(&acme, "bob", &["read"]).await;
        let carol = t.member(&acme, "carol", &["read"]).await;
        let globex = t.tenant("globex", self_service()).await;
        let initech = t.tenant("initech", self_service()).await;

        t.advance(Duration::from_secs(1));
        acme.admin.revoke("acme", &id(&revoked)).await;
        let off = pb::UpdateTokenRequest {
            disabled: true,
            ..change(&id(&disabled))
        };
        update(&acme.admin, off).await.unwrap();
        rotate(&acme.admin, rotation(&id(&rotated), 0))
            .await
            .unwrap();
        suspend_user(&acme.admin, "acme", &alice.user_id).await;
        delete_user(&acme.admin, "acme", &bob.user_id).await;
        // Who leaves has its tokens revoked; should that ever fail, they are dead all the
        // same.
        t.database
            .execute(
                "UPDATE memberships SET removed_at = created_at WHERE user_id =
                 (SELECT user_id FROM users WHERE external_id = 'carol')",
            )
            .await;
        suspend_tenant(&operator, "globex").await;
        delete_tenant(&operator, "initech").await;

        let good = acme.admin.value();
        let bare = &good[..good.len() - 6];
        let worthless = vec![
            ("malformed", "acme", String::from("hunter2")),
            ("unknown", "acme", checked(&altered(good, "acme_", 0))),
            ("wrong_secret", "acme", checked(&altered(good, "acme_", 54))),
            (
                "wrong_prefix",
                "acme",
                checked(&bare.replacen("acme_", "globex_", 1)),
            ),
            ("value_ended", "acme", rotated.value),
            ("revoked", "acme", revoked.value),
            ("expired", "acme", expired),
            ("disabled", "acme", disabled.value),
            ("owner_deleted", "acme", bob.actor.value().to_owned()),
            ("owner_suspended", "acme", alice.actor.value().to_owned()),
            ("owner_left", "acme", carol.actor.value().to_owned()),
            (
                "tenant_deleted",
                "initech",
                initech.admin.value().to_owned(),
            ),
            (
                "tenant_suspended",
                "globex",
                globex.admin.value().to_owned(),
            ),
        ];
        Self {
            t,
            acme,
            server,
            worthless,
        }
    }

    /// Returns each question that is answered with inactive, and its outcome.
    fn inactive(&self) -> Vec<(&'static str, pb::IntrospectRequest)> {
        let good = self.acme.admin.value();
        let webhook = pb::IntrospectRequest {
            expected_kind: pb::TokenKind::Webhook.into(),
            ..question("acme", good)
        };
        let of_value = |(outcome, tenant_id, value): &(&'static str, &str, String)| {
            (*outcome, question(tenant_id, value))
        };
        let worthless = self.worthless.iter().map(of_value);
        let others = [
            ("other_tenant", question("globex", good)),
            ("other_kind", webhook),
        ];
        worthless.chain(others).collect()
    }

    /// Returns a question for each outcome.
    fn questions(&self) -> Vec<(&'static str, pb::IntrospectRequest)> {
        let good = self.acme.admin.value();
        let requiring = pb::IntrospectRequest {
            required_scopes: vec!["read".into()],
            ..question("acme", good)
        };
        let mut questions = self.inactive();
        questions.push(("allowed", question("acme", good)));
        questions.push(("lacks_scope", requiring));
        questions.push(("failed", question("", good)));
        questions
    }

    /// Returns credentials by why they are not good.
    async fn credentials(&self) -> Vec<(&'static str, Actor)> {
        let of_value =
            |(reason, _, value): &(&'static str, &str, String)| (*reason, self.t.actor(value));
        let mut credentials: Vec<_> = self.worthless.iter().map(of_value).collect();
        let webhook = pb::CreateTokenRequest {
            kind: pb::TokenKind::Webhook.into(),
            ..wanted("webhook", &[])
        };
        let webhook = self.acme.admin.create(webhook).await.value;
        credentials.push(("other_kind", self.t.actor(&webhook)));
        credentials.push(("no_credential", self.t.nobody()));
        credentials.push(("session", self.t.actor("a.b.c")));
        credentials
    }
}

/// Asserts that exactly one series of a metric moved, by one.
fn assert_one(after: &Scrape, before: &Scrape, metric: &str, labels: &str) {
    let expected = BTreeMap::from([(labels.to_owned(), 1)]);
    assert_eq!(after.moved(metric, before), expected, "{metric}");
}

async fn each_outcome_of_an_introspection_moves_its_counter_alone(backend: Backend) {
    let stage = Stage::set(backend).await;
    let mut before = stage.t.scrape().await;
    for (outcome, question) in stage.questions() {
        let answered = stage.server.try_introspect(question).await;
        let after = stage.t.scrape().await;
        let labels = format!("{{outcome=\"{outcome}\"}}");
        assert_one(&after, &before, "introspections_total", &labels);
        let code = match answered {
            Ok(_) => "OK",
            Err(status) => {
                assert!(refusal(&status).starts_with("InvalidArgument FIELD_REQUIRED"));
                "INVALID_ARGUMENT"
            }
        };
        let labels = format!("{{rpc=\"Introspect\",code=\"{code}\"}}");
        assert_one(&after, &before, "requests_total", &labels);
        let labels = "{rpc=\"Introspect\"}";
        let count = "request_duration_seconds_count";
        assert_one(&after, &before, count, labels);
        assert_eq!(after.moved("requests_in_flight", &before), BTreeMap::new());
        before = after;
    }
    // Once for each value, however often it is used.
    assert_one(
        &before,
        &Scrape::default(),
        "security_events_total",
        "{event=\"ended_value_used\"}",
    );
}

async fn each_bad_credential_is_counted_by_why(backend: Backend) {
    let stage = Stage::set(backend).await;
    let credentials = stage.credentials().await;
    let mut before = stage.t.scrape().await;
    for (reason, actor) in credentials {
        let status = who_am_i(&actor, pb::WhoAmIRequest {}).await.unwrap_err();
        assert_eq!(refusal(&status), "Unauthenticated CALLER_UNAUTHENTICATED");
        let after = stage.t.scrape().await;
        let labels = format!("{{reason=\"{reason}\"}}");
        assert_one(&after, &before, "unauthenticated_total", &labels);
        let labels = "{rpc=\"WhoAmI\",code=\"UNAUTHENTICATED\"}";
        assert_one(&after, &before, "requests_total", labels);
        before = after;
    }
}

async fn a_batch_counts_each_of_its_values(backend: Backend) {
    let stage = Stage::set(backend).await;
    let questions = stage.questions();
    let requests: Vec<_> = questions.iter().map(|(_, asked)| asked.clone()).collect();
    let size = requests.len();
    let before = stage.t.scrape().await;
    let batch = stage.server.call(pb::BatchIntrospectRequest { requests });
    let answered = stage.server.introspection().batch_introspect(batch).await;
    assert_eq!(answered.unwrap().into_inner().results.len(), size);
    let after = stage.t.scrape().await;
    let each = questions.iter().map(|(outcome, _)| {
        let labels = format!("{{outcome=\"{outcome}\"}}");
        (labels, 1)
    });
    let moved = after.moved("introspections_total", &before);
    assert_eq!(moved, each.collect::<BTreeMap<_, _>>());
    let sizes = "introspection_batch_size";
    assert_one(&after, &before, &format!("{sizes}_count"), "");
    let sum = after.of(&format!("{sizes}_sum")) - before.of(&format!("{sizes}_sum"));
    assert_eq!(sum, i64::try_from(size).unwrap());
    let labels = "{rpc=\"BatchIntrospect\",code=\"OK\"}";
    assert_one(&after, &before, "requests_total", labels);
}

async fn what_waits_for_a_hash_is_told(backend: Backend) {
    let t = TestServer::start_with(backend, |config| {
        config.hashing.cost = 12;
        config.hashing.threads = Some(1);
        config.hashing.queue = 1;
    })
    .await;
    let operator = t.operator();
    let before = t.scrape().await;
    assert_eq!(before.of("bcrypt_queue_capacity"), 1);
    assert_eq!(before.of("bcrypt_threads"), 1);
    assert_eq!(before.of("bcrypt_threads_busy"), 0);
    // Again and again, until it has been seen: one is hashed, one waits, more are refused.
    let seen = Arc::<AtomicBool>::default();
    let creating: Vec<_> = (0..6)
        .map(|creator| {
            let (operator, seen) = (operator.clone(), Arc::clone(&seen));
            tokio::spawn(async move {
                let (mut made, mut refused) = (0, 0);
                for number in 0.. {
                    if seen.load(Ordering::Relaxed) {
                        break;
                    }
                    let wanted = service("authority", &format!("n{creator}-{number}"), &[]);
                    match operator.try_create(wanted).await {
                        Ok(_) => made += 1,
                        Err(status) => {
                            assert_eq!(refusal(&status), "ResourceExhausted HASHING_BUSY");
                            refused += 1;
                        }
                    }
                }
                (made, refused)
            })
        })
        .collect();
    t.scrape_until("busy, with one waiting and one refused", |scrape| {
        scrape.of("bcrypt_threads_busy") == 1
            && scrape.of("bcrypt_queue_length") == 1
            && scrape.of("bcrypt_refused_total") > before.of("bcrypt_refused_total")
            && scrape.of("requests_in_flight{rpc=\"CreateToken\"}") >= 2
    })
    .await;
    seen.store(true, Ordering::Relaxed);
    let (mut made, mut refused) = (0, 0);
    for create in creating {
        let (more_made, more_refused) = create.await.unwrap();
        made += more_made;
        refused += more_refused;
    }
    let after = t.scrape().await;
    let moved = |series: &str| after.of(series) - before.of(series);
    assert!(refused > 0);
    assert_eq!(moved("bcrypt_refused_total"), refused);
    assert_eq!(moved("bcrypt_wait_seconds_count"), made);
    assert_eq!(moved("bcrypt_run_seconds_count"), made);
    let rpc = "rpc=\"CreateToken\"";
    let exhausted = format!("requests_total{{{rpc},code=\"RESOURCE_EXHAUSTED\"}}");
    assert_eq!(moved(&exhausted), refused);
    assert_eq!(after.of("bcrypt_threads_busy"), 0);
    assert_eq!(after.of("bcrypt_queue_length"), 0);
    assert_eq!(after.of(&format!("requests_in_flight{{{rpc}}}")), 0);
}

async fn what_waits_for_the_store_is_told(backend: Backend) {
    let mut t = TestServer::start_with(backend, |config| {
        config.database.connections = 2;
        config.database.acquire_timeout_ms = 1000;
    })
    .await;
    t.expect_alarms();
    t.tenant("acme", self_service()).await;
    let before = t.scrape().await;
    assert_eq!(before.of("store_writers_max"), 1);
    assert_eq!(before.of("store_writers"), 0);
    assert_eq!(before.of("store_wait_timeouts_total"), 0);
    let most = before.of("store_connections_max");
    assert_eq!(most, if backend == Backend::Sqlite { 3 } else { 2 });

    // Somebody else has what every writer needs.
    let mut raw = t.database.raw().await;
    for statement in match backend {
        Backend::Sqlite => vec!["BEGIN IMMEDIATE"],
        Backend::Postgres => vec!["BEGIN", "SELECT tenant_id FROM tenants FOR UPDATE"],
    } {
        raw.execute(statement).await.unwrap();
    }
    let create = |name: &'static str| {
        let operator = t.operator();
        let request = pb::CreateUserRequest {
            tenant_id: "acme".into(),
            external_id: name.into(),
            role: pb::Role::Member.into(),
            ..Default::default()
        };
        tokio::spawn(async move { operator.try_create_user(request).await })
    };
    let first = create("first");
    t.scrape_until("one that writes", |scrape| {
        scrape.of("store_writers") == 1
            && scrape.of("store_connections{use=\"in_use\"}") >= 1
            && scrape.of("requests_in_flight{rpc=\"CreateUser\"}") == 1
    })
    .await;
    let status = create("second").await.unwrap().unwrap_err();
    assert_eq!(refusal(&status), "Unavailable STORE_UNAVAILABLE");
    raw.execute("ROLLBACK").await.unwrap();
    first.await.unwrap().unwrap();

    let after = t.scrape().await;
    assert_one(&after, &before, "store_wait_timeouts_total", "");
    let labels = "{error=\"unavailable\"}";
    assert_one(&after, &before, "store_errors_total", labels);
    let write = "{access=\"write\"}";
    assert_one(
        &after,
        &before,
        "store_transaction_duration_seconds_count",
        write,
    );
    assert_eq!(after.of("store_writers"), 0);
    raw.close().await;
}
