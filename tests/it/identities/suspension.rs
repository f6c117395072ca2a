//! An identity ends with its tenant, as tokens do: at once.

use token_authority::authority::counters::Unauthenticated;
use token_authority::config::Config;
use token_authority::domain::identity::Refusal;
use token_authority::domain::peer::Peer;
use token_authority::domain::time::Timestamp;
use token_authority::pb;

use super::{ADMIN, INTROSPECT, REFUSED, identify, spiffe_id};
use crate::memory::remembering;
use crate::support::tokens::{delete_tenant, question, suspend_tenant};
use crate::support::{
    Actor, Backend, TestServer, both_backends, message, refused, self_service, shared,
    without_memory,
};

both_backends!(
    a_suspended_tenants_identity_is_refused_at_once,
    without_memory_it_is_refused_at_once_too,
    an_identity_without_a_tenant_is_refused,
    that_an_identitys_tenant_stands_is_known_without_a_read,
);

fn identities(config: &mut Config) {
    identify(config, "chat", "acme", &[INTROSPECT, ADMIN]);
    identify(config, "gate", "authority", &[INTROSPECT]);
}

async fn resume(t: &TestServer) {
    let request = message!(ResumeTenantRequest { tenant_id: "acme" });
    t.operator().resume_tenant(request).await.unwrap();
}

fn refusals(t: &TestServer, why: Refusal) -> u64 {
    let unauthenticated = &t.authority.counters().unauthenticated;
    unauthenticated.get(Unauthenticated::Identity(why))
}

async fn told(actor: &Actor, value: &str) -> Result<bool, String> {
    let told = actor.try_introspect(question("acme", value)).await;
    let told = told.map(|answer| answer.active);
    told.map_err(|status| refused(Err::<(), _>(status)))
}

/// Suspends and resumes a tenant again and again; asks after each as its identity.
async fn it_ends_and_begins_with_its_tenant(t: TestServer) {
    let acme = t.tenant("acme", self_service()).await;
    let (chat, gate) = (
        t.spiffe(&spiffe_id("chat")).await,
        t.spiffe(&spiffe_id("gate")).await,
    );
    let value = acme.admin.value();
    let rounds = 20;
    for _ in 0..rounds {
        assert_eq!(told(&chat, value).await, Ok(true));
        assert_eq!(told(&chat, value).await, Ok(true));
        suspend_tenant(&t.operator(), "acme").await;
        assert_eq!(told(&chat, value).await, Err(REFUSED.into()));
        let made = chat.try_create_user(message!(CreateUserRequest {
            tenant_id: "acme",
            external_id: "alice",
        }));
        assert_eq!(refused(made.await), REFUSED);
        // Whose tenant stands goes on.
        assert_eq!(told(&gate, value).await, Ok(false));
        resume(&t).await;
    }
    assert_eq!(refusals(&t, Refusal::TenantSuspended), 2 * rounds);
    // Another connection of the same is judged alike.
    suspend_tenant(&t.operator(), "acme").await;
    let again = t.spiffe(&spiffe_id("chat")).await;
    assert_eq!(told(&again, value).await, Err(REFUSED.into()));
    resume(&t).await;
    assert_eq!(told(&again, value).await, Ok(true));
}

async fn a_suspended_tenants_identity_is_refused_at_once(backend: Backend) {
    let t = TestServer::start_with(backend, |config| {
        remembering(config);
        identities(config);
    })
    .await;
    it_ends_and_begins_with_its_tenant(t).await;
}

async fn without_memory_it_is_refused_at_once_too(backend: Backend) {
    let t = TestServer::start_with(backend, |config| {
        shared(config);
        without_memory(config);
        identities(config);
    })
    .await;
    it_ends_and_begins_with_its_tenant(t).await;
}

async fn an_identity_without_a_tenant_is_refused(backend: Backend) {
    let t = TestServer::start_with(backend, identities).await;
    let chat = t.spiffe(&spiffe_id("chat")).await;
    assert_eq!(told(&chat, "x").await, Err(REFUSED.into()));
    assert_eq!(refusals(&t, Refusal::NoTenant), 1);
    // Once there is one it acts there, on the same connection.
    let acme = t.tenant("acme", self_service()).await;
    let value = acme.admin.value();
    assert_eq!(told(&chat, value).await, Ok(true));
    delete_tenant(&t.operator(), "acme").await;
    assert_eq!(told(&chat, value).await, Err(REFUSED.into()));
    assert_eq!(refusals(&t, Refusal::NoTenant), 2);
}

async fn that_an_identitys_tenant_stands_is_known_without_a_read(backend: Backend) {
    let t = TestServer::start_with(backend, |config| {
        remembering(config);
        identities(config);
    })
    .await;
    let acme = t.tenant("acme", self_service()).await;
    let value = acme.admin.value();
    let chat = t.spiffe(&spiffe_id("chat")).await;
    let certified = t.authority.certify(&Peer {
        uris: vec![spiffe_id("chat")],
        dns: Vec::new(),
        expires_at: Timestamp::MAX,
    });
    let known = || t.authority.identify_at_once(&certified).is_some();
    assert!(!known(), "nobody has asked yet");
    assert_eq!(told(&chat, value).await, Ok(true));
    assert!(known());
    // What is no change of a tenant alters nothing of that.
    t.operator()
        .create_user("acme", "alice", pb::Role::Member)
        .await;
    acme.admin.issue("laptop", &[]).await;
    assert!(known());
    suspend_tenant(&t.operator(), "acme").await;
    assert!(!known());
    assert_eq!(told(&chat, value).await, Err(REFUSED.into()));
    assert!(!known());
    resume(&t).await;
    assert!(!known());
    assert_eq!(told(&chat, value).await, Ok(true));
    assert!(known());
}
