//! What breaks: the database, the keyring, the room to hash. Never is an active
//! token called inactive, and no cause leaves the building.

use std::time::Duration;

use token_authority::domain::base62;
use token_authority::pb;
use token_authority::store::{PoolSettings, Store};
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};
use tonic_health::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_types::StatusExt as _;

use crate::support::{Actor, Backend, TestServer, both_backends, refusal, self_service};

both_backends!(
    a_broken_schema_is_a_fault_of_ours_and_never_an_inactive_token,
    a_lost_keyring_costs_one_bcrypt_a_value_and_no_token,
    a_full_queue_refuses_creation_and_not_introspection,
);

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Words of drivers and schemas, none of which a caller may read.
const DRIVER: [&str; 12] = [
    "sqlx", "sqlite", "postgres", "sql", "table", "relation", "log_head", "column", "connect",
    "pool", "database", "socket",
];

/// Asserts that a status tells its constant sentence and nothing of its cause.
fn assert_discreet(status: &Status) {
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    let mut keys: Vec<_> = info.metadata.keys().map(String::as_str).collect();
    keys.retain(|key| *key != "request_id");
    assert_eq!((keys, info.domain.as_str()), (vec![], "tokenauthority"));
    let told = format!("{status:?} {}", String::from_utf8_lossy(status.details()));
    let told = told.to_lowercase();
    for word in DRIVER {
        assert!(!told.contains(word), "{word:?} is told: {told}");
    }
}

/// Watches a service's health.
async fn watch(actor: &Actor, service: &str) -> Streaming<HealthCheckResponse> {
    let request = HealthCheckRequest {
        service: service.into(),
    };
    let mut client = HealthClient::new(actor.channel());
    client.watch(request).await.unwrap().into_inner()
}

/// Waits until health is this.
async fn until(health: &mut Streaming<HealthCheckResponse>, status: ServingStatus) {
    let status = match status {
        ServingStatus::Serving => 1,
        ServingStatus::NotServing => 2,
        ServingStatus::Unknown => 0,
    };
    let seen = async { while health.message().await.unwrap().unwrap().status != status {} };
    timeout(PATIENCE, seen).await.expect("health to change");
}

async fn a_broken_schema_is_a_fault_of_ours_and_never_an_inactive_token(backend: Backend) {
    let mut t = TestServer::start(backend).await;
    t.expect_alarms();
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let created = acme.admin.issue("laptop", &["read"]).await;
    let mut health = watch(&server, "tokenauthority.v1.IntrospectionService").await;
    until(&mut health, ServingStatus::Serving).await;

    t.database
        .execute("ALTER TABLE log_head RENAME TO lost_head")
        .await;
    let request = pb::IntrospectRequest {
        token: created.value.clone(),
        tenant_id: "acme".into(),
        ..Default::default()
    };
    for result in [
        server.try_introspect(request).await.map(drop),
        acme.admin
            .try_create(pb::CreateTokenRequest {
                tenant_id: "acme".into(),
                name: "other".into(),
                ..Default::default()
            })
            .await
            .map(drop),
        server
            .try_introspect(pb::IntrospectRequest::default())
            .await
            .map(drop),
    ] {
        let status = result.unwrap_err();
        assert_eq!(refusal(&status), "Internal INTERNAL");
        assert_discreet(&status);
        let details = status.get_error_details();
        let quoted = &details.error_info().unwrap().metadata["request_id"];
        let sent = status.metadata().get("x-request-id").unwrap();
        assert_eq!(quoted, sent.to_str().unwrap());
        assert!(t.logs.text().contains(quoted.as_str()));
    }
    until(&mut health, ServingStatus::NotServing).await;

    t.database
        .execute("ALTER TABLE lost_head RENAME TO log_head")
        .await;
    until(&mut health, ServingStatus::Serving).await;
    assert!(server.introspect("acme", &created.value).await.active);
}

#[tokio::test]
async fn a_lost_postgresql_is_unavailable_and_served_again_once_it_is_back() {
    let mut t = TestServer::start(Backend::Postgres).await;
    t.expect_alarms();
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let created = acme.admin.issue("laptop", &["read"]).await;
    let mut health = watch(&server, "").await;
    until(&mut health, ServingStatus::Serving).await;

    t.database.shut().await;
    let request = pb::IntrospectRequest {
        token: created.value.clone(),
        tenant_id: "acme".into(),
        ..Default::default()
    };
    let revoke = pb::RevokeTokenRequest {
        tenant_id: "acme".into(),
        token_id: created.token.unwrap().token_id,
        ..Default::default()
    };
    let batch = pb::BatchIntrospectRequest {
        requests: vec![request.clone()],
    };
    // More often than there are connections in the pool to be found broken.
    for _ in 0..10 {
        let call = acme.admin.call(revoke.clone());
        for result in [
            server.try_introspect(request.clone()).await.map(drop),
            server
                .introspection()
                .batch_introspect(server.call(batch.clone()))
                .await
                .map(drop),
            acme.admin.tokens().revoke_token(call).await.map(drop),
        ] {
            let status = result.unwrap_err();
            assert_eq!(refusal(&status), "Unavailable STORE_UNAVAILABLE");
            assert!(status.get_error_details().retry_info().is_some());
            assert_discreet(&status);
        }
    }
    until(&mut health, ServingStatus::NotServing).await;

    t.database.reopen().await;
    until(&mut health, ServingStatus::Serving).await;
    assert!(server.introspect("acme", &created.value).await.active);
    acme.admin.revoke("acme", &revoke.token_id).await;
    assert!(!server.introspect("acme", &created.value).await.active);
}

#[tokio::test]
async fn a_held_write_lock_of_sqlite_ends_a_change_at_its_deadline_and_no_introspection() {
    let t = TestServer::start(Backend::Sqlite).await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let created = acme.admin.issue("laptop", &["read"]).await;
    let mut raw = t.database.raw().await;
    raw.execute("BEGIN IMMEDIATE").await.unwrap();

    let token_id = created.token.unwrap().token_id;
    let mut call = acme.admin.call(pb::RevokeTokenRequest {
        tenant_id: "acme".into(),
        token_id: token_id.clone(),
        ..Default::default()
    });
    let deadline = "200m".parse().unwrap();
    call.metadata_mut().insert("grpc-timeout", deadline);
    let status = acme.admin.tokens().revoke_token(call).await.unwrap_err();
    // Whichever of the two clocks is first: the client's has no ErrorInfo.
    assert!(
        matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled),
        "{status:?}"
    );
    assert!(server.introspect("acme", &created.value).await.active);

    raw.execute("ROLLBACK").await.unwrap();
    acme.admin.revoke("acme", &token_id).await;
    assert!(!server.introspect("acme", &created.value).await.active);
}

#[tokio::test]
async fn a_second_process_on_one_sqlite_file_is_refused() {
    let t = TestServer::start(Backend::Sqlite).await;
    let settings = PoolSettings {
        connections: 1,
        acquire_timeout: PATIENCE,
        ..PoolSettings::default()
    };
    let opened = Store::open(&t.database.location(), settings).await;
    let message = opened.unwrap_err().to_string();
    assert!(
        message.contains("another process has") && message.contains("one process at a time"),
        "{message}"
    );
}

async fn a_lost_keyring_costs_one_bcrypt_a_value_and_no_token(backend: Backend) {
    let mut t = TestServer::start(backend).await;
    t.expect_alarms();
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let created = acme.admin.issue("laptop", &["read"]).await;
    let hint = created.token.unwrap().hint;
    let key = format!("SELECT fingerprint_key FROM secrets WHERE hint = '{hint}'");
    let before = t.database.texts(&key).await;
    let keyring = t.keyring();

    t.restart(async |_, _| std::fs::remove_dir_all(keyring).unwrap())
        .await;
    let server = t.actor(server.value());
    let alarms = t.logs.alarms();
    assert!(
        alarms.iter().any(|line| line.contains("lacks a key")),
        "{alarms:?}"
    );

    let wrong = with_another_secret(&created.value);
    assert!(!server.introspect("acme", &wrong).await.active);
    assert_eq!(t.database.texts(&key).await, before);
    assert!(server.introspect("acme", &created.value).await.active);
    t.authority.flush_usage().await.unwrap();
    let after = t.database.texts(&key).await;
    assert_ne!(after, before);

    // From here on the fingerprint decides: no hash is asked.
    t.database
        .execute(&format!(
            "UPDATE secrets SET secret_hash = 'none' WHERE hint = '{hint}'"
        ))
        .await;
    assert!(server.introspect("acme", &created.value).await.active);
    assert!(!server.introspect("acme", &wrong).await.active);
    // The operator's and the service's own values go the same way.
    t.resource_server().await;
}

/// Returns a well-formed value of the same lookup.
fn with_another_secret(value: &str) -> String {
    let (unchecked, _) = value.split_at(value.len() - 6);
    let (rest, last) = unchecked.split_at(unchecked.len() - 1);
    let last = if last == "7" { "8" } else { "7" };
    let unchecked = format!("{rest}{last}");
    let check = crc32fast::hash(unchecked.as_bytes()).to_be_bytes();
    unchecked + &base62::encode(&check, 6)
}

async fn a_full_queue_refuses_creation_and_not_introspection(backend: Backend) {
    let t = TestServer::start_with(backend, |config| {
        config.hashing.cost = 9;
        config.hashing.threads = Some(1);
        config.hashing.queue = 1;
    })
    .await;
    let acme = t.tenant("acme", self_service()).await;
    let server = t.resource_server().await;
    let created = acme.admin.issue("laptop", &["read"]).await;
    let mut creating = Vec::new();
    for number in 0..12 {
        let admin = acme.admin.clone();
        creating.push(tokio::spawn(async move {
            admin
                .try_create(pb::CreateTokenRequest {
                    tenant_id: "acme".into(),
                    name: format!("n{number}"),
                    ..Default::default()
                })
                .await
        }));
        assert!(server.introspect("acme", &created.value).await.active);
    }
    let (mut made, mut busy) = (0, 0);
    for create in creating {
        match create.await.unwrap() {
            Ok(_) => made += 1,
            Err(status) => {
                busy += 1;
                assert_eq!(refusal(&status), "ResourceExhausted HASHING_BUSY");
                let details = status.get_error_details();
                let delay = details.retry_info().unwrap().retry_delay;
                assert_eq!(delay, Some(Duration::from_secs(1)));
            }
        }
    }
    assert!(made > 0 && busy > 0, "{made} made, {busy} refused");
    // Once there is room again, it is given.
    acme.admin.issue("later", &[]).await;
}
