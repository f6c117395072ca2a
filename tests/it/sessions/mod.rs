//! Sessions: access tokens of OIDC providers, as credentials of calls.

mod coverage;
mod forged;
mod keys;
mod provisioning;
mod refusals;
mod rights;
mod trusts;

use token_authority::domain::session::Refusal;
use token_authority::pb;

use crate::support::{Actor, Backend, Provider, Tenant, TestServer, message, self_service};

/// The refusal of every session that is not good, whatever is wrong with it.
const REFUSED: &str = "Unauthenticated CALLER_UNAUTHENTICATED";

/// A server that trusts a provider by the name `main`, the provider, and the tenant `acme`.
async fn installed(backend: Backend) -> (TestServer, Provider, Tenant) {
    let provider = Provider::start("https://id.example").await;
    let trust = provider.trust();
    let t = TestServer::start_with(backend, |config| {
        config.trusts.insert("main".into(), trust);
    })
    .await;
    let acme = t.tenant("acme", self_service()).await;
    (t, provider, acme)
}

/// A server, a provider, and the tenant `acme` that trusts it, whose user `alice` is.
async fn own(backend: Backend) -> (TestServer, Provider, Tenant, String) {
    let provider = Provider::start("https://id.example").await;
    let t = TestServer::start(backend).await;
    let policy = pb::TenantPolicy {
        oidc_trust: Some(provider.oidc_trust()),
        ..self_service()
    };
    let acme = t.tenant("acme", policy).await;
    let operator = t.operator();
    let alice = operator.create_user("acme", "alice", pb::Role::Member);
    let alice = alice.await;
    (t, provider, acme, alice)
}

/// Sets whose users a tenant admits at first sight.
async fn admit(t: &TestServer, tenant_id: &str, trusts: &[&str]) {
    let mut request = message!(UpdateTenantRequest {
        tenant_id: tenant_id,
    });
    request.update_mask = Some(crate::support::mask(&["policy.admitted_trusts"]));
    request.policy = Some(pb::TenantPolicy {
        admitted_trusts: trusts.iter().map(|&name| name.into()).collect(),
        ..Default::default()
    });
    t.operator().update_tenant(request).await.unwrap();
}

/// Says who calls.
async fn who_am_i(actor: &Actor) -> Result<pb::WhoAmIResponse, tonic::Status> {
    let asked = actor.call(pb::WhoAmIRequest {});
    Ok(actor.me().who_am_i(asked).await?.into_inner())
}

/// Reads a tenant, which everybody in it may.
async fn get_tenant(
    actor: &Actor,
    tenant_id: &str,
) -> Result<pb::GetTenantResponse, tonic::Status> {
    actor
        .get_tenant(message!(GetTenantRequest {
            tenant_id: tenant_id,
        }))
        .await
}

/// Returns how often sessions were refused, by why.
fn refusals(t: &TestServer) -> Vec<(&'static str, u64)> {
    let refused = &t.authority.counters().sessions_refused;
    let counted = Refusal::ALL
        .iter()
        .map(|why| (why.as_str(), refused.get(*why)));
    counted.filter(|(_, count)| *count > 0).collect()
}

/// Returns the calls' refusals since this many bytes of the log.
fn logged_since(t: &TestServer, from: usize) -> Vec<String> {
    let text = t.logs.text();
    let lines = text[from..].lines();
    let failed = lines.filter(|line| line.contains("the call failed"));
    failed.map(str::to_owned).collect()
}

/// Creates a token for the caller itself.
fn create(tenant_id: &str, name: &str, scopes: &[&str]) -> pb::CreateTokenRequest {
    pb::CreateTokenRequest {
        tenant_id: tenant_id.into(),
        name: name.into(),
        scopes: scopes.iter().map(|&scope| scope.into()).collect(),
        ..Default::default()
    }
}
