//! No value, secret, hash, fingerprint or key is where it must not be: in a log, in
//! a refusal, in an answer other than the one that gives a value out, in the database.

mod audit;
mod flow;
mod invites;
mod needles;
mod redaction;
mod revocations;
mod traces;

use std::time::Duration;

use prost::Message as _;
use token_authority::domain::base62;
use token_authority::pb;

use self::flow::Flow;
use self::needles::{HASHES, Needles, words};
use crate::support::traces::{Collector, Traces};
use crate::support::{Actor, Backend, TestServer, both_backends, self_service};

both_backends!(no_secret_leaves_its_place);

async fn no_secret_leaves_its_place(backend: Backend) {
    let collector = Collector::start();
    let exported = Traces::to(&collector.url(), |_| {});
    let mut t = TestServer::start(backend).await;
    t.expect_alarms();
    let mut flow = Flow::new(&t);
    let people = tenants_and_users(&t, &mut flow).await;
    let token_id = tokens(&t, &mut flow, &people).await;
    invites::make(&t, &mut flow, &people).await;
    presented(&t, &mut flow, &people).await;
    members(&t, &mut flow, &people).await;
    end(&t, &mut flow, &people, &token_id).await;
    flow.assert_complete();
    broken(&t, &mut flow, &people).await;

    let needles = Needles::of(&t).await;
    let logs = t.logs.text();
    needles.assert_absent("the logs", &logs, &words(&logs));
    traces::assert_discreet(&exported, &collector, &needles).await;
    for (what, bytes) in &flow.heard {
        let text = String::from_utf8_lossy(bytes);
        needles.assert_absent(what, &text, &text);
    }
    let dump = t.database.dump();
    let dump = String::from_utf8_lossy(&dump);
    assert!(dump.contains("$2b$04$"), "the dump is empty");
    for value in &needles.values {
        assert!(!dump.contains(value), "the database holds {value}");
    }
    let hashes = t.database.texts(HASHES).await;
    assert!(hashes.iter().all(|hash| hash.starts_with("$2b$")));
}

/// Who acts.
struct People {
    operator: Actor,
    admin: Actor,
    alice: Actor,
    server: Actor,
    alice_id: String,
}

const TENANT: &str = "acme";

async fn tenants_and_users(t: &TestServer, flow: &mut Flow) -> People {
    let operator = t.operator();
    for (tenant_id, token_prefix) in [(TENANT, "a_"), ("other", "other-")] {
        let request = pb::CreateTenantRequest {
            tenant_id: tenant_id.into(),
            display_name: "A tenant".into(),
            token_prefix: token_prefix.into(),
            policy: Some(self_service()),
            ..Default::default()
        };
        flow.good(&operator, "TenantService/CreateTenant", &request)
            .await;
    }
    let request = pb::UpdateTenantRequest {
        tenant_id: TENANT.into(),
        display_name: "Acme".into(),
        ..Default::default()
    };
    flow.good(&operator, "TenantService/UpdateTenant", &request)
        .await;
    let request = pb::UpdateCatalogRequest {
        tenant_id: TENANT.into(),
        catalog: Some(crate::support::catalog()),
        ..Default::default()
    };
    flow.good(&operator, "ScopeService/UpdateCatalog", &request)
        .await;
    let admin_id = operator.create_user(TENANT, "admin", pb::Role::Admin).await;
    let admin = t
        .token_of(TENANT, &admin_id, &["authority:tenant.admin"])
        .await;
    flow.paste(admin.value());
    let request = pb::CreateUserRequest {
        tenant_id: TENANT.into(),
        external_id: "alice".into(),
        display_name: "Alice".into(),
        ..Default::default()
    };
    let user = flow.good(&admin, "UserService/CreateUser", &request).await;
    let user = pb::CreateUserResponse::decode(user.as_slice()).unwrap();
    let alice_id = user.user.unwrap().user_id;
    let request = pb::UpdateUserRequest {
        tenant_id: TENANT.into(),
        user_id: alice_id.clone(),
        display_name: "Alice A.".into(),
        ..Default::default()
    };
    flow.good(&admin, "UserService/UpdateUser", &request).await;
    let scopes = ["write", "authority:tokens.write", "authority:tokens.read"];
    let alice = t.token_of(TENANT, &alice_id, &scopes).await;
    People {
        operator,
        admin,
        alice,
        server: t.resource_server().await,
        alice_id,
    }
}

/// Creates a token of each kind, changes and reads them; returns the id of one.
async fn tokens(t: &TestServer, flow: &mut Flow, people: &People) -> String {
    let mut token_id = String::new();
    for kind in [
        pb::TokenKind::Webhook,
        pb::TokenKind::Agent,
        pb::TokenKind::Service,
        pb::TokenKind::Api,
    ] {
        let service = kind == pb::TokenKind::Service;
        let request = pb::CreateTokenRequest {
            tenant_id: TENANT.into(),
            user_id: if service { "" } else { &*people.alice_id }.into(),
            kind: kind.into(),
            name: "laptop".into(),
            scopes: vec!["read".into()],
            profile: "editor".into(),
            agent_id: if kind == pb::TokenKind::Agent {
                "a"
            } else {
                ""
            }
            .into(),
            labels: [("team".into(), "blue".into())].into(),
            expiry: None,
            ..Default::default()
        };
        let created = flow
            .good(&people.admin, "TokenService/CreateToken", &request)
            .await;
        let created = pb::CreateTokenResponse::decode(created.as_slice()).unwrap();
        token_id = created.token.unwrap().token_id;
    }
    let request = pb::UpdateTokenRequest {
        tenant_id: TENANT.into(),
        token_id: token_id.clone(),
        name: "desktop".into(),
        labels: [("team".into(), "red".into())].into(),
        ..Default::default()
    };
    flow.good(&people.alice, "TokenService/UpdateToken", &request)
        .await;
    for seconds in [60, 0] {
        let request = pb::RotateTokenRequest {
            tenant_id: TENANT.into(),
            token_id: token_id.clone(),
            grace_period: Some(prost_types::Duration { seconds, nanos: 0 }),
            ..Default::default()
        };
        flow.good(&people.admin, "TokenService/RotateToken", &request)
            .await;
    }
    let request = pb::RotateCurrentTokenRequest::default();
    let rolling = t.resource_server().await;
    flow.good(&rolling, "SelfService/RotateCurrentToken", &request)
        .await;
    let request = pb::GetTokenRequest {
        tenant_id: TENANT.into(),
        token_id: token_id.clone(),
        ..Default::default()
    };
    flow.good(&people.alice, "TokenService/GetToken", &request)
        .await;
    for value in t.issued() {
        let request = pb::ListTokensRequest {
            tenant_id: TENANT.into(),
            hint: value,
            page_size: 1,
            ..Default::default()
        };
        flow.good(&people.admin, "TokenService/ListTokens", &request)
            .await;
    }
    let request = pb::ListTokensRequest {
        tenant_id: TENANT.into(),
        page_size: 1,
        ..Default::default()
    };
    let page = flow
        .good(&people.admin, "TokenService/ListTokens", &request)
        .await;
    let page = pb::ListTokensResponse::decode(page.as_slice()).unwrap();
    let request = pb::ListTokensRequest {
        page_token: page.next_page_token,
        ..request
    };
    flow.good(&people.admin, "TokenService/ListTokens", &request)
        .await;
    token_id
}

/// Presents every value as it is, with a wrong secret, with a typo, cut, and decorated:
/// in the field and as the credential.
async fn presented(t: &TestServer, flow: &mut Flow, people: &People) {
    let mut requests = Vec::new();
    for value in t.issued() {
        let (rest, check) = value.split_at(value.len() - 6);
        let mut typo = value.clone();
        typo.replace_range(rest.len() - 1..rest.len(), "-");
        let wrong = with_another_secret(&value);
        for presented in [
            value.clone(),
            wrong,
            typo,
            rest.to_owned(),
            format!("{rest}{}", check.chars().rev().collect::<String>()),
            format!("  bearer {value} "),
            format!("{value}{value}"),
            format!("{value}{}", "x".repeat(300)),
        ] {
            let impostor = t.actor(&presented);
            flow.any(&impostor, "SelfService/WhoAmI", &pb::WhoAmIRequest {})
                .await;
            requests.push(pb::IntrospectRequest {
                token: presented,
                tenant_id: TENANT.into(),
                required_scopes: vec!["read".into(), "admin".into()],
                ..Default::default()
            });
        }
    }
    for request in &requests {
        flow.any(&people.server, "IntrospectionService/Introspect", request)
            .await;
    }
    let request = requests[0].clone();
    flow.good(&people.server, "IntrospectionService/Introspect", &request)
        .await;
    requests.push(pb::IntrospectRequest {
        required_scopes: t.issued(),
        ..request
    });
    let batch = pb::BatchIntrospectRequest { requests };
    let path = "IntrospectionService/BatchIntrospect";
    flow.any(&people.server, path, &batch).await;
    let batch = pb::BatchIntrospectRequest {
        requests: batch.requests[..1].to_vec(),
    };
    flow.good(&people.server, path, &batch).await;
    let request = pb::WhoAmIRequest {};
    flow.good(&people.admin, "SelfService/WhoAmI", &request)
        .await;
    flow.elsewhere(&people.alice).await;
}

async fn members(t: &TestServer, flow: &mut Flow, people: &People) {
    let (tenant_id, user_id) = (String::from(TENANT), people.alice_id.clone());
    let request = pb::GetUserRequest {
        tenant_id: tenant_id.clone(),
        user_id: user_id.clone(),
    };
    flow.good(&people.admin, "UserService/GetUser", &request)
        .await;
    let request = pb::SuspendUserRequest {
        tenant_id: tenant_id.clone(),
        user_id: user_id.clone(),
        ..Default::default()
    };
    flow.good(&people.admin, "UserService/SuspendUser", &request)
        .await;
    let request = pb::ResumeUserRequest {
        tenant_id: tenant_id.clone(),
        user_id: user_id.clone(),
        ..Default::default()
    };
    flow.good(&people.admin, "UserService/ResumeUser", &request)
        .await;
    let request = pb::SetActiveTenantRequest {
        tenant_id: tenant_id.clone(),
        ..Default::default()
    };
    flow.good(&people.alice, "UserService/SetActiveTenant", &request)
        .await;
    let request = pb::UpdateMemberRequest {
        tenant_id: tenant_id.clone(),
        user_id: user_id.clone(),
        role: pb::Role::Admin.into(),
        ..Default::default()
    };
    flow.good(&people.admin, "UserService/UpdateMember", &request)
        .await;
    let request = pb::ListUsersRequest {
        tenant_id: tenant_id.clone(),
        external_id: "alice".into(),
        ..Default::default()
    };
    flow.good(&people.admin, "UserService/ListUsers", &request)
        .await;
    let request = pb::ListMembersRequest {
        tenant_id: tenant_id.clone(),
        ..Default::default()
    };
    flow.good(&people.admin, "UserService/ListMembers", &request)
        .await;
    let request = pb::RemoveMemberRequest {
        tenant_id: tenant_id.clone(),
        user_id: user_id.clone(),
        ..Default::default()
    };
    flow.good(&people.admin, "UserService/RemoveMember", &request)
        .await;
    let request = pb::AddMemberRequest {
        tenant_id,
        user_id: user_id.clone(),
        ..Default::default()
    };
    flow.good(&people.admin, "UserService/AddMember", &request)
        .await;
    t.advance(Duration::from_secs(1));
}

async fn end(t: &TestServer, flow: &mut Flow, people: &People, token_id: &str) {
    let tenant_id = String::from(TENANT);
    let request = pb::GetCatalogRequest {
        tenant_id: tenant_id.clone(),
    };
    flow.good(&people.admin, "ScopeService/GetCatalog", &request)
        .await;
    let request = pb::GetTenantRequest {
        tenant_id: tenant_id.clone(),
    };
    flow.good(&people.admin, "TenantService/GetTenant", &request)
        .await;
    let request = pb::ListTenantsRequest::default();
    flow.good(&people.operator, "TenantService/ListTenants", &request)
        .await;
    let request = pb::RevokeTokenRequest {
        tenant_id: tenant_id.clone(),
        token_id: token_id.into(),
        reason_text: "lost".into(),
        ..Default::default()
    };
    flow.good(&people.admin, "TokenService/RevokeToken", &request)
        .await;
    revocations::make(t, flow, people).await;
    audit::read(flow, people).await;
    let request = pb::SuspendTenantRequest {
        tenant_id: tenant_id.clone(),
        ..Default::default()
    };
    flow.good(&people.operator, "TenantService/SuspendTenant", &request)
        .await;
    let request = pb::ResumeTenantRequest {
        tenant_id: tenant_id.clone(),
        ..Default::default()
    };
    flow.good(&people.operator, "TenantService/ResumeTenant", &request)
        .await;
    let request = pb::DeleteUserRequest {
        tenant_id: tenant_id.clone(),
        user_id: people.alice_id.clone(),
        ..Default::default()
    };
    flow.good(&people.admin, "UserService/DeleteUser", &request)
        .await;
    let request = pb::DeleteTenantRequest {
        tenant_id: "other".into(),
        ..Default::default()
    };
    flow.good(&people.operator, "TenantService/DeleteTenant", &request)
        .await;
    // The dead ones are presented, too.
    presented(t, flow, people).await;
}

/// Calls while the database is broken: what drivers say goes to the log.
async fn broken(t: &TestServer, flow: &mut Flow, people: &People) {
    for (table, other) in [("secrets", "lost_secrets"), ("tokens", "lost_tokens")] {
        t.database
            .execute(&format!("ALTER TABLE {table} RENAME TO {other}"))
            .await;
        let request = pb::IntrospectRequest {
            token: people.admin.value().into(),
            tenant_id: TENANT.into(),
            ..Default::default()
        };
        flow.any(&people.server, "IntrospectionService/Introspect", &request)
            .await;
        flow.any(&people.admin, "SelfService/WhoAmI", &pb::WhoAmIRequest {})
            .await;
        t.database
            .execute(&format!("ALTER TABLE {other} RENAME TO {table}"))
            .await;
    }
    let internal = flow.refused.iter().any(|reason| reason == "INTERNAL");
    assert!(internal, "{:?}", flow.refused);
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
