//! Each RPC, called by somebody who may do everything in another tenant, with the ids,
//! names, values, page tokens, etags and request ids of the first: nothing of that is
//! seen, and nothing of it is changed. What is not there is what is not visible.

mod attempts;
mod delphi;

use attempts::{Attempt, Heard};
use delphi::Delphi;
use token_authority::authority::access::{Need, Rpc};
use token_authority::pb;

use crate::authz_coverage::names_tenant;
use crate::support::tokens::{expose, list, service, strings, wanted, who_am_i};
use crate::support::{
    Actor, Backend, Provider, Tenant, TestServer, both_backends, mask, message, refused,
    self_service,
};

both_backends!(
    nothing_of_another_tenant_is_seen_or_changed_by_a_token,
    nothing_of_another_tenant_is_seen_or_changed_by_a_session,
    a_session_of_one_tenant_is_nobodys_in_another,
    who_trusts_the_firsts_provider_for_the_first_makes_nobody_of_it,
);

/// By what somebody calls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Token,
    Session,
}

const TENANT: &str = "NotFound TENANT_NOT_FOUND";
const DENIED: &str = "PermissionDenied PERMISSION_DENIED";
const UNAUTHENTICATED: &str = "Unauthenticated CALLER_UNAUTHENTICATED";

/// Whom the provider knows, in either tenant.
const SUBJECT: &str = "boss";

/// Returns a tenant's trust in the provider that both trust.
fn trust(provider: &Provider, tenant_id: &str) -> pb::OidcTrust {
    pb::OidcTrust {
        audience: tenant_id.into(),
        ..provider.oidc_trust()
    }
}

/// Makes an administrator of a tenant; returns its session there.
async fn session(t: &TestServer, provider: &Provider, tenant_id: &str, subject: &str) -> String {
    let operator = t.operator();
    let made = operator.create_user(tenant_id, subject, pb::Role::Admin);
    made.await;
    let mut claims = provider.claims(t, subject);
    claims["aud"] = tenant_id.into();
    provider.sign(&claims)
}

/// Who may do everything in the tenant `thebes`.
struct Thebes {
    tenant: Tenant,
    /// Its administrator, who holds all that there is to hold there.
    admin: Actor,
    by: By,
    /// Its service, which asks about values.
    server: Actor,
}

impl Thebes {
    async fn found(t: &TestServer, provider: &Provider, by: By) -> Self {
        let policy = pb::TenantPolicy {
            self_rotation: true,
            oidc_trust: Some(trust(provider, "thebes")),
            ..self_service()
        };
        let tenant = t.tenant("thebes", policy).await;
        let all = [
            "admin",
            "authority:tenant.admin",
            "authority:tokens.read",
            "authority:tokens.write",
            "read",
            "write",
        ];
        let everything = tenant.admin.issue("everything", &all).await;
        let admin = match by {
            By::Token => everything.value,
            // The first's provider knows an administrator of the same name.
            By::Session => session(t, provider, "thebes", SUBJECT).await,
        };
        let server = service("thebes", "server", &["authority:introspect"]);
        let server = t.operator().create(server).await;
        Self {
            tenant,
            admin: t.actor(&admin),
            by,
            server: t.actor(&server.value),
        }
    }

    /// Returns who calls an RPC: whose own token goes with the call has another.
    async fn caller(&self, t: &TestServer, rpc: Rpc, number: usize) -> Actor {
        if self.by == By::Session {
            return self.admin.clone();
        }
        if matches!(rpc, Rpc::Introspect | Rpc::BatchIntrospect) {
            return self.server.clone();
        }
        if !matches!(rpc, Rpc::RevokeCurrentToken | Rpc::RotateCurrentToken) {
            return self.admin.clone();
        }
        let created = self.tenant.admin.create(pb::CreateTokenRequest {
            tenant_id: "active".into(),
            name: format!("for one call: {number}"),
            scopes: strings(&["authority:tenant.admin"]),
            ..Default::default()
        });
        t.actor(&created.await.value)
    }
}

/// What an RPC says of the first tenant, and of the first's in one's own tenant.
fn expected(rpc: Rpc, by: By) -> [&'static str; 2] {
    let [first, own] = to_token(rpc);
    if by == By::Token {
        [first, own]
    } else if matches!(rpc, Rpc::Introspect | Rpc::BatchIntrospect) {
        [DENIED; 2]
    } else if matches!(rpc, Rpc::RotateCurrentToken | Rpc::RevokeCurrentToken) {
        ["FailedPrecondition CALLER_HAS_NO_TOKEN"; 2]
    } else if first == TENANT {
        // Nobody vouches for it there.
        [UNAUTHENTICATED, own]
    } else {
        [first, own]
    }
}

/// What a token's bearer is told; OK where that is a call about one's own, or says nothing.
fn to_token(rpc: Rpc) -> [&'static str; 2] {
    let tenant = TENANT;
    let denied = DENIED;
    let token = "NotFound TOKEN_NOT_FOUND";
    let user = "NotFound USER_NOT_FOUND";
    let invite = "NotFound INVITE_NOT_FOUND";
    // Without `_`: an RPC that is added does not compile before it has a case.
    match rpc {
        // They tell that a value is inactive, or are of the caller alone.
        Rpc::Introspect
        | Rpc::BatchIntrospect
        | Rpc::WhoAmI
        | Rpc::RotateCurrentToken
        | Rpc::RevokeCurrentToken
        | Rpc::RevokeExposedToken => ["OK", "OK"],
        // As what is no invite.
        Rpc::ClaimInvite => [invite, invite],
        Rpc::RevokeInvite => [tenant, invite],
        Rpc::ListTenants | Rpc::CreateTenant => [denied, denied],
        Rpc::SuspendTenant | Rpc::ResumeTenant | Rpc::DeleteTenant => [tenant, denied],
        Rpc::GetTenant
        | Rpc::UpdateTenant
        | Rpc::SetActiveTenant
        | Rpc::GetCatalog
        | Rpc::ListAuditEvents
        | Rpc::VerifyAuditLog
        | Rpc::ListUsers
        | Rpc::ListMembers
        | Rpc::ListTokens
        | Rpc::CreateUser
        | Rpc::CreateInvite
        | Rpc::ListInvites
        // It tells which of the ids that it was given are not there.
        | Rpc::BatchRevokeTokens => [tenant, "OK"],
        Rpc::ImportTokens => [tenant, "InvalidArgument UNKNOWN_USER"],
        // Its own tokens have what an empty catalog lacks.
        Rpc::UpdateCatalog => [tenant, "InvalidArgument SCOPE_IN_USE"],
        Rpc::CreateToken
        | Rpc::GetUser
        | Rpc::UpdateUser
        | Rpc::SuspendUser
        | Rpc::ResumeUser
        | Rpc::DeleteUser
        | Rpc::AddMember
        | Rpc::UpdateMember
        | Rpc::RemoveMember
        | Rpc::RevokeAllTokens => [tenant, user],
        Rpc::GetToken
        | Rpc::ExplainToken
        | Rpc::UpdateToken
        | Rpc::RotateToken
        | Rpc::RevokeToken => [tenant, token],
    }
}

async fn nothing_of_another_tenant_is_seen_or_changed_by_a_token(backend: Backend) {
    Box::pin(nothing_is_seen_or_changed(backend, By::Token)).await;
}

async fn nothing_of_another_tenant_is_seen_or_changed_by_a_session(backend: Backend) {
    Box::pin(nothing_is_seen_or_changed(backend, By::Session)).await;
}

async fn nothing_is_seen_or_changed(backend: Backend, by: By) {
    let provider = Provider::start("https://id.example").await;
    let t = TestServer::start(backend).await;
    let delphi = Delphi::found(&t, &provider).await;
    let before = t.database.rows().await;
    let thebes = Thebes::found(&t, &provider, by).await;
    let after = t.database.rows().await;
    let hashed = || t.authority.counters().bcrypt_verifications.get();
    let mut hashed_for_others = 0;
    let needles = delphi.needles();
    let mut wrong = Vec::new();
    let mut rpcs = Rpc::ALL.to_vec();
    // They make a user of the first's name, who is seen from then on.
    rpcs.sort_by_key(|rpc| matches!(rpc, Rpc::CreateUser | Rpc::CreateInvite));
    for (number, rpc) in rpcs.into_iter().enumerate() {
        let ran = hashed();
        for attempt in Attempt::of(rpc, &delphi) {
            let actor = thebes.caller(&t, rpc, number).await;
            let heard = attempt.make(&actor).await;
            let what = format!("{} {}", rpc.name(), attempt.what);
            let expected = attempt.expected(expected(rpc, by));
            if expected.is_some_and(|expected| heard.reason() != expected) {
                wrong.push(format!("{what}: {} and not {expected:?}", heard.outcome));
            }
            wrong.extend(seen(&heard, &attempt, &needles, &what));
            // What is not there at all is answered alike.
            let Some(absent) = attempt.absent(&delphi) else {
                continue;
            };
            let told = absent.make(&actor).await;
            if attempt.in_the_same_words(&heard) != attempt.in_the_same_words(&told) {
                wrong.push(format!(
                    "{what}: told from what is not there: {heard:?} {told:?}"
                ));
            }
        }
        // To whom a value is shown that was found, it is anybody's.
        if rpc != Rpc::RevokeExposedToken {
            hashed_for_others += hashed() - ran;
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // Nobody else's question has what is the first's hashed, and so written anew.
    assert_eq!(hashed_for_others, 0);
    t.authority.flush_usage().await.unwrap();
    // All that was there before the others came is there, and nothing new is about it.
    let end = t.database.rows().await;
    let settled: Vec<_> = before.texts().intersection(after.texts()).collect();
    let is_delphis = |row: &&&String| row.contains(delphi::TENANT);
    assert!(
        settled.iter().filter(is_delphis).count() > 5,
        "{settled:#?}"
    );
    let gone: Vec<_> = settled
        .into_iter()
        .filter(|row| !end.texts().contains(*row))
        .collect();
    assert!(gone.is_empty(), "changed: {gone:#?}");
    let come: Vec<_> = end
        .texts()
        .difference(after.texts())
        .filter(|row| row.contains(delphi::TENANT))
        .collect();
    assert!(come.is_empty(), "new: {come:#?}");
    delphi.assert_whole(&t).await;
}

async fn a_session_of_one_tenant_is_nobodys_in_another(backend: Backend) {
    let provider = Provider::start("https://id.example").await;
    let t = TestServer::start(backend).await;
    let delphi = Delphi::found(&t, &provider).await;
    let thebes = Thebes::found(&t, &provider, By::Token).await;
    let before = t.database.rows().await;
    let scene = &delphi.scene;
    let theirs = t.actor(&delphi.session);
    let me = who_am_i(&theirs, pb::WhoAmIRequest {}).await.unwrap();
    assert_eq!(me.tenant.unwrap().tenant_id, delphi::TENANT);
    for &rpc in Rpc::ALL {
        if !names_tenant(rpc) || rpc.need() == Need::Introspect {
            continue;
        }
        for tenant_id in ["thebes", "nobody"] {
            let attempt = Attempt::naming(rpc, scene, tenant_id);
            let heard = attempt.make(&theirs).await;
            assert_eq!(heard.outcome, UNAUTHENTICATED, "{} {tenant_id}", rpc.name());
        }
    }
    // Nor is it a value that anybody could be asked about.
    for tenant_id in ["thebes", delphi::TENANT] {
        let answer = thebes.server.introspect(tenant_id, &delphi.session).await;
        assert!(!answer.active && answer.user_id.is_empty());
    }
    let value = message!(RevokeExposedTokenRequest {
        value: delphi.session.as_str()
    });
    expose(&thebes.admin, value).await.unwrap();
    who_am_i(&theirs, pb::WhoAmIRequest {}).await.unwrap();
    assert_eq!(t.database.rows().await, before);
}

async fn who_trusts_the_firsts_provider_for_the_first_makes_nobody_of_it(backend: Backend) {
    let provider = Provider::start("https://id.example").await;
    let t = TestServer::start(backend).await;
    let delphi = Delphi::found(&t, &provider).await;
    let thebes = Thebes::found(&t, &provider, By::Token).await;
    // The first's very issuer and audience.
    let mut trusting = message!(UpdateTenantRequest {
        tenant_id: "thebes"
    });
    trusting.update_mask = Some(mask(&["policy.oidc_trust"]));
    trusting.policy = Some(pb::TenantPolicy {
        oidc_trust: Some(trust(&provider, delphi::TENANT)),
        ..Default::default()
    });
    thebes.admin.update_tenant(trusting).await.unwrap();
    // It knows somebody whom the first's provider calls what it calls its administrator.
    let operator = t.operator();
    let impostor = operator.create_user("thebes", SUBJECT, pb::Role::Admin);
    let impostor = impostor.await;
    let session = t.actor(&delphi.session);
    let tokens_of = async |tenant_id: &str| {
        let request = message!(ListTokensRequest {
            tenant_id: tenant_id
        });
        list(&session, request).await
    };
    // Where a tenant is named, each is its own tenant's user, and nobody's of the other.
    let listed = tokens_of(delphi::TENANT).await.unwrap().tokens;
    assert!(listed.iter().all(|token| token.tenant_id == delphi::TENANT));
    for (tenant_id, name) in [(delphi::TENANT, "here"), ("thebes", "there")] {
        let request = pb::CreateTokenRequest {
            tenant_id: tenant_id.into(),
            ..wanted(name, &[])
        };
        let token = session.create(request).await.token.unwrap();
        assert_eq!(token.tenant_id, tenant_id);
        assert_eq!(token.user_id == impostor, tenant_id == "thebes");
    }
    let listed = tokens_of("thebes").await.unwrap().tokens;
    assert!(listed.iter().all(|token| token.tenant_id == "thebes"));
    // Where none is, it is nobody's rather than either's.
    assert_eq!(refused(tokens_of("active").await), UNAUTHENTICATED);
    let me = who_am_i(&session, pb::WhoAmIRequest {}).await;
    assert_eq!(refused(me), UNAUTHENTICATED);
    delphi.assert_whole(&t).await;
}

/// Returns what an answer shows of the first tenant that the call itself did not name.
fn seen(heard: &Heard, attempt: &Attempt, needles: &[String], what: &str) -> Vec<String> {
    let asked = attempt.texts();
    let shown = needles.iter().filter(|needle| {
        let named = asked.iter().any(|text| text.contains(needle.as_str()));
        !named && heard.text.contains(needle.as_str())
    });
    shown
        .map(|needle| format!("{what}: shows {needle}"))
        .collect()
}
