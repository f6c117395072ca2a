//! B, a platform with personal tokens: each acts as its own user.

mod sessions;

use std::time::Duration;

use prost_reflect::Value;
use token_authority::pb;
use token_authority::pb::create_token_request::Expiry;

use self::sessions::{
    active_is_what_a_session_chose, b2_the_first_token_takes_a_session_of_the_provider,
};
use super::stage::DAY;
use super::{Stage, kept, walks};
use crate::support::invites::guest;
use crate::support::raw::{call, methods};
use crate::support::tokens::{
    at, batch, change, disabled, explain, expose, id, list, mask, number, own_id, presenting,
    question, rotate, rotation, ttl, update, wanted, who_am_i,
};
use crate::support::{Actor, Backend, Member, message, outcome, refused};

walks!(
    b1_any_member_makes_a_token_that_acts_as_itself,
    b2_the_first_token_takes_a_session_of_the_provider,
    b3_every_call_names_a_tenant_and_active_is_the_callers,
    b4_a_name_and_an_end_are_required,
    b5_the_answer_to_a_creation_has_the_value_and_no_other_has,
    b6_a_token_is_good_until_its_end,
    b7_revoking_removes_for_good_and_stops_every_client,
    b8_a_value_is_understood_with_its_scheme,
);

const UNAUTHENTICATED: &str = "Unauthenticated CALLER_UNAUTHENTICATED";

/// What a member's own token is given to make others with.
const OWN: [&str; 2] = ["authority:tokens.read", "authority:tokens.write"];

/// Asks for a personal token that ends after so many seconds.
fn personal(name: &str, seconds: i64) -> pb::CreateTokenRequest {
    pb::CreateTokenRequest {
        expiry: ttl(seconds),
        ..wanted(name, &[])
    }
}

/// Sets the stage, with a member of the platform.
async fn set(backend: Backend) -> (Stage, Member) {
    let stage = Stage::set(backend).await;
    let alice = stage.member(&stage.sk, "alice", &OWN).await;
    (stage, alice)
}

async fn b1_any_member_makes_a_token_that_acts_as_itself(backend: Backend) {
    let (stage, alice) = set(backend).await;
    let bob = stage.member(&stage.sk, "bob", &OWN).await;
    for member in [&alice, &bob] {
        let created = member.actor.create(personal("laptop", DAY)).await;
        assert!(created.value.starts_with("sk-"));
        let answer = stage.ask(&stage.sk, &created.value, &[]).await;
        assert!(answer.allowed);
        assert_eq!(answer.user_id, member.user_id);
        assert_eq!(answer.user_role(), pb::Role::Member);
        let holder = stage.t.actor(&created.value);
        let me = who_am_i(&holder, pb::WhoAmIRequest {}).await.unwrap();
        assert_eq!(me.user.unwrap().user_id, member.user_id);
    }
    // For itself, and for nobody else.
    let for_bob = pb::CreateTokenRequest {
        user_id: bob.user_id.clone(),
        ..personal("hers", DAY)
    };
    assert_eq!(
        refused(alice.actor.try_create(for_bob).await),
        "PermissionDenied PERMISSION_DENIED"
    );
    let request = pb::CreateTokenRequest {
        tenant_id: "sk-platform".into(),
        ..personal("nobody's", DAY)
    };
    let nobody = stage.t.nobody();
    assert_eq!(refused(nobody.try_create(request).await), UNAUTHENTICATED);
}

async fn b3_every_call_names_a_tenant_and_active_is_the_callers(backend: Backend) {
    let (stage, alice) = set(backend).await;
    let operator = stage.t.operator();
    // Whatever names a tenant is refused where it names none.
    let mut named = 0;
    for method in methods() {
        if method.input().get_field_by_name("tenant_id").is_none() {
            continue;
        }
        named += 1;
        let fields = [("tenant_id", Value::String(String::new()))];
        let answer = refused(call(&operator, &method, &fields).await);
        assert!(
            answer.starts_with("InvalidArgument ") && answer.contains("tenant_id: "),
            "{}: {answer}",
            method.full_name()
        );
    }
    assert!(named > 20, "{named}");

    // One user, known on two products, has a token of each: each is active in its own.
    let joined = message!(AddMemberRequest {
        tenant_id: "openindex",
        user_id: alice.user_id.as_str(),
    });
    operator.add_member(joined).await.unwrap();
    let there = operator.token_of("openindex", &alice.user_id, &OWN).await;
    for (actor, product) in [(&alice.actor, &stage.sk), (&there, &stage.openindex)] {
        for tenant_id in ["active", product.id] {
            let request = message!(GetTenantRequest {
                tenant_id: tenant_id
            });
            let tenant = actor.get_tenant(request).await.unwrap().tenant.unwrap();
            assert_eq!(tenant.tenant_id, product.id);
            let name = format!("made as {tenant_id}");
            let request = pb::CreateTokenRequest {
                tenant_id: tenant_id.into(),
                ..personal(&name, DAY)
            };
            let created = actor.create(request).await;
            assert_eq!(created.token.unwrap().tenant_id, product.id);
            assert!(stage.active(product, &created.value).await);
            let request = message!(ListTokensRequest {
                tenant_id: tenant_id
            });
            let listed = list(actor, request).await.unwrap().tokens;
            assert!(listed.iter().all(|token| token.tenant_id == product.id));
        }
    }
    // Another's is named in vain.
    let request = pb::CreateTokenRequest {
        tenant_id: "openindex".into(),
        ..personal("elsewhere", DAY)
    };
    assert_eq!(
        refused(alice.actor.try_create(request).await),
        "NotFound TENANT_NOT_FOUND"
    );
    Box::pin(active_is_what_a_session_chose(backend)).await;
}

async fn b4_a_name_and_an_end_are_required(backend: Backend) {
    let (stage, alice) = set(backend).await;
    stage.t.advance(Duration::from_secs(100));
    let end = |seconds| Some(Expiry::ExpireTime(at(seconds)));
    let good = || end(200);
    let long = |count| "ä".repeat(count);
    let cases = [
        ("a".to_owned(), good(), None),
        (long(100), end(101), None),
        (
            String::new(),
            good(),
            Some("INVALID_NAME\n  name: INVALID_NAME"),
        ),
        (
            "  ".into(),
            good(),
            Some("INVALID_NAME\n  name: INVALID_NAME"),
        ),
        (
            long(101),
            good(),
            Some("FIELD_TOO_LONG\n  name: FIELD_TOO_LONG"),
        ),
        (
            "a".into(),
            None,
            Some("EXPIRY_REQUIRED\n  expire_time: EXPIRY_REQUIRED"),
        ),
        (
            "a".into(),
            end(100),
            Some("EXPIRY_IN_PAST\n  expire_time: EXPIRY_IN_PAST"),
        ),
        (
            "a".into(),
            end(-1),
            Some("EXPIRY_IN_PAST\n  expire_time: EXPIRY_IN_PAST"),
        ),
        (
            long(101),
            None,
            Some("FIELD_TOO_LONG\n  name: FIELD_TOO_LONG\n  expire_time: EXPIRY_REQUIRED"),
        ),
    ];
    for (name, expiry, expected) in cases {
        let request = pb::CreateTokenRequest {
            expiry,
            ..wanted(&name, &[])
        };
        let refusal = outcome(alice.actor.try_create(request).await);
        let expected = expected.map(|expected| format!("InvalidArgument {expected}"));
        assert_eq!(refusal, expected, "{name} {expiry:?}");
    }
    // Nor does one lose its name or its end later.
    let created = alice.actor.create(personal("laptop", DAY)).await;
    let endless = pb::UpdateTokenRequest {
        update_mask: mask(&["name", "expire_time"]),
        ..change(&id(&created))
    };
    assert_eq!(
        refused(update(&alice.actor, endless).await),
        "InvalidArgument INVALID_NAME\n  name: INVALID_NAME\n  expire_time: EXPIRY_REQUIRED"
    );
}

async fn b5_the_answer_to_a_creation_has_the_value_and_no_other_has(backend: Backend) {
    let (stage, alice) = set(backend).await;
    let created = alice.actor.create(personal("laptop", 60)).await;
    let token = created.token.clone().unwrap();
    assert!(token.token_id.starts_with("tok_"));
    assert_eq!(token.name, "laptop");
    assert_eq!(token.expire_time, Some(at(60)));
    assert!(stage.active(&stage.sk, &created.value).await);
    kept(&stage, &stage.sk, &alice.actor, &created).await;
    kept(&stage, &stage.sk, &stage.sk.admin, &created).await;
}

async fn b6_a_token_is_good_until_its_end(backend: Backend) {
    let (stage, alice) = set(backend).await;
    let created = alice.actor.create(personal("laptop", 60)).await;
    let holder = stage.t.actor(&created.value);
    stage.t.advance(Duration::from_millis(59_999));
    let before = stage.ask(&stage.sk, &created.value, &[]).await;
    assert!(before.allowed);
    assert_eq!(before.expire_time, Some(at(60)));
    own_id(&holder).await;
    stage.t.advance(Duration::from_millis(1));
    let after = stage.ask(&stage.sk, &created.value, &[]).await;
    assert!(!after.active && !after.allowed);
    // Nothing was called for it: the log of changes stands where it stood.
    assert_eq!(number(&after.revision), number(&before.revision));
    assert_eq!(
        refused(who_am_i(&holder, pb::WhoAmIRequest {}).await),
        UNAUTHENTICATED
    );
    let longer = pb::UpdateTokenRequest {
        update_mask: mask(&["expire_time"]),
        expire_time: Some(at(120)),
        ..change(&id(&created))
    };
    assert_eq!(
        refused(update(&alice.actor, longer).await),
        "FailedPrecondition TOKEN_EXPIRED"
    );
}

async fn b7_revoking_removes_for_good_and_stops_every_client(backend: Backend) {
    let (stage, alice) = set(backend).await;
    // Lists run newest first.
    stage.t.advance(Duration::from_secs(1));
    let created = alice.actor.create(personal("laptop", 60)).await;
    let token_id = id(&created);
    let listed = async |actor: &Actor| {
        let request = message!(ListTokensRequest {
            tenant_id: "sk-platform"
        });
        let tokens = list(actor, request).await.unwrap().tokens;
        let lines = tokens.iter().map(|token| {
            let end = token.expire_time.unwrap();
            format!(
                "{} {} {}",
                token.token_id,
                token.name,
                end.seconds - at(0).seconds
            )
        });
        (lines.collect::<Vec<_>>(), format!("{tokens:?}"))
    };
    let (lines, all) = listed(&alice.actor).await;
    let own = format!("{} alice's first {}", own_id(&alice.actor).await, 365 * DAY);
    assert_eq!(lines, [format!("{token_id} laptop 61"), own.clone()]);
    assert!(!all.contains(&created.value[12..]), "{all}");

    // Two services that ask, and one that holds it; elsewhere, too, where there can be.
    let mut clients = vec![stage.server.clone(), stage.t.resource_server().await];
    let mut holders = vec![stage.t.actor(&created.value)];
    let replica = match backend {
        Backend::Sqlite => None,
        Backend::Postgres => Some(stage.t.replica().await),
    };
    if let Some(replica) = &replica {
        clients.push(replica.actor(stage.server.value()));
        holders.push(replica.actor(&created.value));
    }
    for client in &clients {
        assert!(
            client
                .introspect("sk-platform", &created.value)
                .await
                .allowed
        );
    }
    for holder in &holders {
        assert_eq!(own_id(holder).await, token_id);
    }
    alice.actor.revoke("active", &token_id).await;
    for client in &clients {
        assert!(
            !client
                .introspect("sk-platform", &created.value)
                .await
                .active
        );
    }
    for holder in &holders {
        let me = who_am_i(holder, pb::WhoAmIRequest {}).await;
        assert_eq!(refused(me), UNAUTHENTICATED);
    }
    // It is gone from the list, and nothing brings it back.
    assert_eq!(listed(&alice.actor).await.0, [own]);
    let over = "FailedPrecondition TOKEN_REVOKED";
    for by in [&alice.actor, &stage.sk.admin] {
        assert_eq!(refused(update(by, disabled(&token_id, false)).await), over);
        assert_eq!(refused(rotate(by, rotation(&token_id, 0)).await), over);
    }
    assert!(!stage.active(&stage.sk, &created.value).await);
}

async fn b8_a_value_is_understood_with_its_scheme(backend: Backend) {
    let (stage, alice) = set(backend).await;
    let nobody = stage.t.nobody();
    let ways = ["", "Bearer ", "bearer ", "BEARER  ", " Bearer ", "Bearer\t"];
    for way in ways {
        let created = alice.actor.create(personal(&format!("{way:?}"), DAY)).await;
        let pasted = format!("{way}{} ", created.value);
        // In a field that is asked about,
        assert!(stage.ask(&stage.sk, &pasted, &[]).await.allowed, "{way:?}");
        let request = pb::BatchIntrospectRequest {
            requests: vec![question("sk-platform", &pasted)],
        };
        let answer = batch(&stage.server, request).await.unwrap();
        let result = answer.results.into_iter().next().unwrap().result;
        let Some(pb::batch_introspect_result::Result::Response(answer)) = result else {
            panic!("{result:?} {way:?}")
        };
        assert!(answer.allowed, "{way:?}");
        let request = message!(ListTokensRequest {
            tenant_id: "active",
            hint: pasted.as_str()
        });
        let listed = list(&alice.actor, request).await.unwrap().tokens;
        let listed: Vec<_> = listed.into_iter().map(|token| token.token_id).collect();
        assert_eq!(listed, [id(&created)], "{way:?}");
        let request = pb::ExplainTokenRequest {
            tenant_id: "active".into(),
            subject: Some(pb::explain_token_request::Subject::Value(pasted.clone())),
            ..Default::default()
        };
        assert!(
            explain(&alice.actor, request).await.unwrap().active,
            "{way:?}"
        );
        // as a credential,
        let me = presenting(pb::WhoAmIRequest {}, pasted.trim_end());
        let me = nobody.me().who_am_i(me).await.unwrap().into_inner();
        assert_eq!(me.token.unwrap().token_id, id(&created), "{way:?}");
        // and where it is given up.
        let request = message!(RevokeExposedTokenRequest {
            value: pasted.as_str()
        });
        expose(&nobody, request).await.unwrap();
        assert!(!stage.active(&stage.sk, &created.value).await, "{way:?}");
        // An invite's, too.
        let made = stage
            .sk
            .admin
            .invite(guest(&format!("guest {way:?}")))
            .await;
        let claimed = nobody.try_claim(&format!("{way}{} ", made.value)).await;
        let user_id = claimed.unwrap().user.unwrap().user_id;
        assert_eq!(user_id, made.invite.unwrap().user_id, "{way:?}");
    }
    // What only looks like it is no scheme.
    let created = alice.actor.create(personal("last", DAY)).await;
    for way in ["Bearer", "Bearer:", "Basic ", "Bearer Bearer "] {
        let asked = question("sk-platform", &format!("{way}{}", created.value));
        let answer = stage.server.try_introspect(asked).await.unwrap();
        assert!(!answer.active, "{way:?}");
    }
}
