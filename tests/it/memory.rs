//! Answers from memory: the same as from the database, after each change, and nothing
//! asked of the database for what nobody was given.

mod others;

use token_authority::authority::Authority;
use token_authority::coherence::{Eviction, Recall, Size};
use token_authority::config::Config;
use token_authority::pb;
use token_authority::store::Access;

use crate::support::import::{foreign, imported_by};
use crate::support::tokens::{
    altered, batch, change, checked, id, mask, question, service, strings, ttl, update, who_am_i,
};
use crate::support::{Backend, Tenant, TestServer, both_backends, self_service};

both_backends! {
    memory_answers_as_the_database_does,
    a_flood_of_bad_values_costs_neither_sql_nor_bcrypt,
    what_was_imported_is_answered_from_memory_too,
    memory_that_is_full_forgets_and_answers_right,
    what_is_in_doubt_is_read_anew,
    memory_is_told_in_numbers,
}

/// Has memory used on either database.
pub(crate) fn remembering(config: &mut Config) {
    config.coherence.single_process = config.database.url.is_some();
    config.coherence.memory_mib = 64;
    config.coherence.memory_records = None;
}

/// Returns a server that answers from memory, once it knows which values there are.
async fn start(backend: Backend) -> TestServer {
    let t = TestServer::start_with(backend, remembering).await;
    complete(&t).await;
    t
}

async fn complete(t: &TestServer) {
    while !size(t).complete {
        tokio::task::yield_now().await;
    }
}

fn size(t: &TestServer) -> Size {
    t.authority.coherence().size().unwrap()
}

fn recalls(authority: &Authority, from: Recall) -> u64 {
    let recalls = &authority.coherence().counters().recalls;
    recalls.sum(|each| each.get(from))
}

fn kept(t: &TestServer) -> u64 {
    recalls(&t.authority, Recall::Kept)
}

/// Returns how many values were looked up in the database, how much was written there, and
/// how often bcrypt ran.
fn cost(t: &TestServer) -> (u64, u64, u64) {
    let waits = &t.authority.store_counters().waits;
    let bcrypt = t.authority.counters().bcrypt_verifications.get();
    let read = recalls(&t.authority, Recall::Read);
    (read, waits.read(Access::Write).count(), bcrypt)
}

/// Makes tokens of all sorts; returns questions about their values.
async fn questions(t: &TestServer, acme: &Tenant) -> Vec<pb::IntrospectRequest> {
    let operator = t.operator();
    let alice = t
        .member(
            acme,
            "älice@example.org",
            &["write", "authority:tokens.write"],
        )
        .await;
    let plain = alice.actor.issue("laptop", &["read"]).await.value;
    let labelled = operator.create(pb::CreateTokenRequest {
        tenant_id: "acme".into(),
        user_id: alice.user_id.clone(),
        name: "with everything: ü".into(),
        kind: pb::TokenKind::Agent.into(),
        scopes: strings(&["write"]),
        agent_id: "agent-7".into(),
        labels: [("team", "search"), ("empty", ""), ("z", "ä b")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into_iter()
            .collect(),
        expiry: ttl(3600),
        ..Default::default()
    });
    let labelled = labelled.await.value;
    let workload = operator
        .create(service("acme", "workload", &[]))
        .await
        .value;
    let revoked = alice.actor.issue("gone", &["read"]).await;
    alice.actor.revoke("acme", &id(&revoked)).await;
    let requiring = pb::IntrospectRequest {
        required_scopes: strings(&["write", "admin", "read", "admin"]),
        ..question("acme", &labelled)
    };
    let of_another_kind = pb::IntrospectRequest {
        expected_kind: pb::TokenKind::Webhook.into(),
        ..question("acme", &plain)
    };
    let mut questions = vec![requiring, of_another_kind, question("other", &plain)];
    let values = [plain, labelled, workload, revoked.value];
    questions.extend(values.iter().map(|value| question("acme", value)));
    questions.push(question("acme", &unknown("acme_", 1)));
    questions.push(question("acme", "no value at all"));
    questions
}

/// Returns a value that nobody was given.
fn unknown(prefix: &str, number: usize) -> String {
    checked(&format!("{prefix}{number:0>12}{number:x>43}"))
}

/// Returns an answer without what moves on.
fn still(answer: pb::IntrospectResponse) -> pb::IntrospectResponse {
    pb::IntrospectResponse {
        revision: String::new(),
        evaluate_time: None,
        ..answer
    }
}

async fn memory_answers_as_the_database_does(backend: Backend) {
    let t = start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    t.tenant("other", self_service()).await;
    let server = t.resource_server().await;
    let questions = questions(&t, &acme).await;
    // All that was known is forgotten: each is read.
    t.authority.coherence().doubt();
    let mut read = Vec::new();
    for question in &questions {
        read.push(server.try_introspect(question.clone()).await.unwrap());
    }
    while !size(&t).complete {
        tokio::task::yield_now().await;
    }
    for question in &questions {
        server.try_introspect(question.clone()).await.unwrap();
    }
    let (before, cost_before) = (kept(&t), cost(&t));
    for (question, read) in questions.iter().zip(&read) {
        let answer = server.try_introspect(question.clone()).await.unwrap();
        assert_eq!(answer.revision, read.revision);
        assert!(answer.evaluate_time.is_some());
        assert_eq!(still(answer), still(read.clone()));
    }
    assert!(kept(&t) > before + questions.len() as u64);
    let asked = pb::BatchIntrospectRequest {
        requests: questions.clone(),
    };
    let answers = batch(&server, asked).await.unwrap();
    assert_eq!(answers.results.len(), read.len());
    for (answer, read) in answers.results.into_iter().zip(read) {
        let Some(pb::batch_introspect_result::Result::Response(answer)) = answer.result else {
            panic!("no answer");
        };
        assert_eq!(still(answer), still(read));
    }
    assert_eq!(cost(&t), cost_before, "the database was asked");
}

async fn a_flood_of_bad_values_costs_neither_sql_nor_bcrypt(backend: Backend) {
    let t = start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let used = foreign("acme", 7);
    imported_by(&acme, &used, &[]).await;
    let good = t.member(&acme, "alice", &["read"]).await.actor;
    for value in [good.value(), &used] {
        // First by bcrypt, then by the fingerprint that is written.
        assert!(server.introspect("acme", value).await.active);
        t.authority.flush_usage().await.unwrap();
        assert!(server.introspect("acme", value).await.active);
    }
    let wrong = checked(&altered(good.value(), "acme_", 20));
    let other_secret = format!("{}X", &used[..used.len() - 1]);
    let before = cost(&t);
    for number in 0..200 {
        let bad = [
            unknown("acme_", number),
            unknown("nobodys_", number),
            foreign("acme", 1000 + number),
            format!("acme_{number:0>30}"),
            format!("other-{number:0>40}"),
            wrong.clone(),
            other_secret.clone(),
            String::from("no value"),
        ];
        for value in bad {
            assert!(!server.introspect("acme", &value).await.active, "{value}");
        }
        let asked = t.actor(&unknown("ta_", number));
        let refused = who_am_i(&asked, pb::WhoAmIRequest {}).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    }
    assert_eq!(cost(&t), before);
    assert!(server.introspect("acme", good.value()).await.active);
}

async fn what_was_imported_is_answered_from_memory_too(backend: Backend) {
    let t = start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let values: Vec<_> = (0..3).map(|number| foreign("acme", number)).collect();
    for value in &values {
        imported_by(&acme, value, &[]).await;
        assert!(server.introspect("acme", value).await.active);
    }
    t.authority.flush_usage().await.unwrap();
    for value in &values {
        assert!(server.introspect("acme", value).await.active);
    }
    let (before, kept_before) = (cost(&t), kept(&t));
    for value in &values {
        assert!(server.introspect("acme", value).await.active);
    }
    assert_eq!(cost(&t), before);
    // The caller's, too.
    assert_eq!(kept(&t), kept_before + 2 * values.len() as u64);
    let token_id = server.introspect("acme", &values[1]).await.token_id;
    acme.admin.revoke("acme", &token_id).await;
    assert!(!server.introspect("acme", &values[1]).await.active);
    assert!(server.introspect("acme", &values[2]).await.active);
}

async fn memory_that_is_full_forgets_and_answers_right(backend: Backend) {
    let t = TestServer::start_with(backend, |config| {
        remembering(config);
        config.coherence.memory_records = Some(10);
    })
    .await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let mut values = Vec::new();
    for number in 0..30 {
        let created = acme
            .admin
            .issue(&format!("token {number}"), &["read"])
            .await;
        values.push((id(&created), created.value));
    }
    for round in 0..3 {
        for (token_id, value) in &values {
            let answer = server.introspect("acme", value).await;
            assert_eq!(&answer.token_id, token_id, "round {round}");
        }
    }
    assert!(size(&t).records <= 11, "{:?}", size(&t));
    let evictions = &t.authority.coherence().counters().evictions;
    assert!(evictions.get(Eviction::Room) >= 60);
    let (token_id, value) = &values[29];
    let disable = pb::UpdateTokenRequest {
        disabled: true,
        update_mask: mask(&["disabled"]),
        ..change(token_id)
    };
    update(&acme.admin, disable).await.unwrap();
    assert!(!server.introspect("acme", value).await.active);
}

async fn what_is_in_doubt_is_read_anew(backend: Backend) {
    let t = start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let alice = t.member(&acme, "alice", &["read"]).await;
    let value = alice.actor.value();
    assert!(server.introspect("acme", value).await.active);
    // What was committed and never told.
    let sql = "UPDATE users SET suspended_at = 1 WHERE external_id = 'alice'";
    t.database.execute(sql).await;
    assert!(
        server.introspect("acme", value).await.active,
        "nobody knows"
    );
    t.authority.coherence().doubt();
    assert!(!server.introspect("acme", value).await.active);
    // Memory comes back by itself.
    complete(&t).await;
    server.introspect("acme", value).await;
    let before = cost(&t);
    assert!(!server.introspect("acme", value).await.active);
    assert_eq!(cost(&t), before);
}

async fn memory_is_told_in_numbers(backend: Backend) {
    let t = start(backend).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let created = acme.admin.issue("laptop", &["read"]).await;
    for _ in 0..2 {
        assert!(server.introspect("acme", &created.value).await.active);
    }
    server.introspect("acme", &unknown("acme_", 1)).await;
    acme.admin.revoke("acme", &id(&created)).await;
    t.authority.coherence().doubt();
    complete(&t).await;
    server.introspect("acme", acme.admin.value()).await;
    let told = t.scrape().await;
    for series in [
        "memory_recalls_total{from=\"kept\"}",
        "memory_recalls_total{from=\"unknown\"}",
        "memory_recalls_total{from=\"read\"}",
        "memory_records",
        "memory_bytes",
        "memory_max_bytes",
        "memory_known_values",
        "memory_complete",
        "memory_evictions_total{cause=\"change\"}",
        "memory_reads_total",
        "memory_drops_total",
        "changes_applied_total",
    ] {
        assert!(told.of(series) > 0, "{series}\n{}", told.text);
    }
}
