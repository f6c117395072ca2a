//! What holds for every mutation of the compiled descriptor: it is written down once,
//! naming its caller, and asked again under its request id it is not made again.

use prost_reflect::Value;
use token_authority::authority::access::{Effect, Need, Rpc};
use token_authority::pb;

use crate::authz_coverage::{Scene, method};
use crate::support::raw::call;
use crate::support::tokens::{get, own_id, update};
use crate::support::{Actor, Backend, TestServer, both_backends, message, outcome, refusal};

both_backends!(
    every_mutation_is_written_down_and_made_once,
    a_request_id_is_its_callers_alone,
    a_request_id_is_bounded,
    a_request_is_forgotten_after_a_day,
);

/// What a mutation is answered with when it is asked again.
fn again(rpc: Rpc) -> &'static str {
    if matches!(
        rpc,
        Rpc::CreateToken | Rpc::RotateToken | Rpc::RotateCurrentToken | Rpc::CreateInvite
    ) {
        "AlreadyExists REQUEST_ALREADY_DONE"
    } else if rpc == Rpc::RevokeCurrentToken {
        // The caller's token went with it.
        "Unauthenticated CALLER_UNAUTHENTICATED"
    } else {
        "OK"
    }
}

/// Returns the mutations that have a caller.
fn mutations() -> impl Iterator<Item = Rpc> {
    let mutates = |rpc: &Rpc| rpc.effect() == Effect::Mutates && rpc.need() != Need::Nothing;
    Rpc::ALL.iter().copied().filter(mutates)
}

#[test]
fn every_mutation_with_a_caller_takes_a_request_id() {
    for rpc in mutations() {
        let field = method(rpc).input().get_field_by_name("request_id");
        assert!(field.is_some(), "{} has no request_id", rpc.path());
    }
}

async fn events_of(t: &TestServer, rpc: Rpc, tenant_id: &str) -> Vec<pb::AuditEvent> {
    let request = message!(ListAuditEventsRequest {
        tenant_id: tenant_id,
        action: rpc.name(),
    });
    let listed = t.operator().list_audit_events(request).await;
    listed.unwrap().events
}

async fn every_mutation_is_written_down_and_made_once(backend: Backend) {
    let t = TestServer::start(backend).await;
    for (number, rpc) in mutations().enumerate() {
        let scene = Scene::new(&t, &format!("tenant-{number}")).await;
        let tenant_id = scene.tenant.tenant_id.clone();
        let (method, actor) = (method(rpc), scene.right(rpc).await);
        let mut fields = scene.request(rpc);
        fields.push(("request_id", Value::String("first".into())));
        scene.prepare(rpc).await;
        let caller_id = own_id(&actor).await;
        let what = rpc.path();
        // A new tenant's log is its own.
        let log = if rpc == Rpc::CreateTenant {
            format!("{tenant_id}-2")
        } else {
            tenant_id
        };
        let seen = async || match call(&actor, &method, &fields).await {
            Ok(answer) => ("OK".to_owned(), answer),
            Err(status) => (refusal(&status), Vec::new()),
        };
        let before = if rpc == Rpc::CreateTenant {
            0
        } else {
            events_of(&t, rpc, &log).await.len()
        };
        let (first, answer) = seen().await;
        assert_eq!(first, "OK", "{what}");
        let events = events_of(&t, rpc, &log).await;
        assert_eq!(events.len(), before + 1, "{what} is not in the log once");
        let caller = events[0].caller.clone().unwrap();
        assert_eq!(caller.token_id, caller_id, "{what}");
        assert!(!events[0].call_id.is_empty(), "{what}");

        // The same answer, bytes and all, though things may have moved on.
        let (second, answered) = seen().await;
        assert_eq!(second, again(rpc), "{what} asked again");
        if second == "OK" {
            assert_eq!(answered, answer, "{what} asked again");
        }
        // Another request under the same id.
        let tenant = fields.iter_mut().find(|(name, _)| *name == "tenant_id");
        if let Some((_, tenant)) = tenant {
            *tenant = Value::String("active".into());
            let reused = match call(&actor, &method, &fields).await {
                Ok(_) => "OK".to_owned(),
                Err(status) => refusal(&status),
            };
            assert_eq!(
                reused, "InvalidArgument REQUEST_ID_REUSED\n  request_id: REQUEST_ID_REUSED",
                "{what}"
            );
        }
        let after = events_of(&t, rpc, &log).await.len();
        assert_eq!(after, before + 1, "{what} was made twice");
    }
}

fn named(name: &str, request_id: &str) -> pb::CreateTokenRequest {
    message!(CreateTokenRequest {
        tenant_id: "active",
        name: name,
        request_id: request_id,
    })
}

async fn a_request_id_is_its_callers_alone(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", pb::TenantPolicy::default()).await;
    let globex = t.tenant("globex", pb::TenantPolicy::default()).await;
    let other = t
        .token_of("acme", &acme.admin_id, &["authority:tenant.admin"])
        .await;
    for actor in [&acme.admin, &globex.admin, &other] {
        actor.create(named("laptop", "same")).await;
    }
    // And its RPC's alone.
    let token_id = own_id(&acme.admin).await;
    let renamed = message!(UpdateTokenRequest {
        tenant_id: "active",
        token_id: token_id,
        name: "renamed",
        request_id: "same",
    });
    update(&acme.admin, renamed).await.unwrap();
    // What gave out a value says which token it made.
    let again = acme.admin.try_create(named("laptop", "same")).await;
    let status = again.unwrap_err();
    assert_eq!(refusal(&status), "AlreadyExists REQUEST_ALREADY_DONE");
    let details = tonic_types::StatusExt::get_error_details(&status);
    let resource = details.resource_info().unwrap();
    assert_eq!(resource.resource_type, "token");
    let made = message!(GetTokenRequest {
        tenant_id: "active",
        token_id: resource.resource_name.clone(),
    });
    let made = get(&acme.admin, made).await.unwrap();
    assert_eq!(made.token.unwrap().name, "laptop");
    // A caller that may not do it any more is not told what it did.
    t.operator().revoke("acme", &own_id(&other).await).await;
    assert_eq!(
        outcome(other.try_create(named("laptop", "same")).await).as_deref(),
        Some("Unauthenticated CALLER_UNAUTHENTICATED")
    );
}

async fn a_request_id_is_bounded(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", pb::TenantPolicy::default()).await;
    let told = async |id: &str| outcome(acme.admin.try_create(named("x", id)).await);
    assert_eq!(told(&"ä".repeat(128)).await, None);
    for (id, reason) in [
        ("x".repeat(129).as_str(), "FIELD_TOO_LONG"),
        ("a\nb", "INVALID_TEXT"),
        (acme.admin.value(), "TOKEN_VALUE_IN_TEXT"),
    ] {
        assert_eq!(
            told(id).await,
            Some(format!("InvalidArgument {reason}\n  request_id: {reason}"))
        );
    }
    // A call that failed may be made under its id.
    let bad = message!(CreateTokenRequest {
        tenant_id: "active",
        request_id: "later",
    });
    assert!(acme.admin.try_create(bad).await.is_err());
    assert_eq!(told("later").await, None);
}

async fn a_request_is_forgotten_after_a_day(backend: Backend) {
    let t = TestServer::start(backend).await;
    let acme = t.tenant("acme", pb::TenantPolicy::default()).await;
    let told = async |actor: &Actor| outcome(actor.try_create(named("x", "daily")).await);
    assert_eq!(told(&acme.admin).await, None);
    t.advance(std::time::Duration::from_millis(24 * 60 * 60 * 1000 - 1));
    assert_eq!(
        told(&acme.admin).await.as_deref(),
        Some("AlreadyExists REQUEST_ALREADY_DONE")
    );
    t.advance(std::time::Duration::from_millis(1));
    assert_eq!(told(&acme.admin).await, None);
    assert_eq!(
        told(&acme.admin).await.as_deref(),
        Some("AlreadyExists REQUEST_ALREADY_DONE")
    );
}
