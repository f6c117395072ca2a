//! Whose a certificate is, and when it counts.

use token_authority::authority::counters::Unauthenticated;
use token_authority::domain::identity::Refusal;
use token_authority::domain::introspection::Inactive;
use token_authority::pb;
use tonic::metadata::MetadataValue;

use super::{ADMIN, INTROSPECT, REFUSED, identify, know_by_dns, spiffe_id};
use crate::support::tokens::{question, who_am_i};
use crate::support::{Actor, Backend, TestServer, both_backends, refused, self_service};

both_backends!(
    an_identity_is_told_who_it_is,
    a_certificate_is_known_by_its_names_and_by_one_identitys_alone,
    a_bearer_decides_alone,
    what_an_identity_does_is_logged_under_its_name,
);

async fn start(backend: Backend) -> TestServer {
    let t = TestServer::start_with(backend, |config| {
        identify(config, "chat", "acme", &[INTROSPECT, ADMIN]);
        identify(config, "gate", "authority", &[INTROSPECT]);
        know_by_dns(config, "gate", "gate.example.org");
    })
    .await;
    t.tenant("acme", self_service()).await;
    t
}

/// Returns how often a caller was not known for this reason.
fn counted(t: &TestServer, reason: Unauthenticated) -> u64 {
    t.authority.counters().unauthenticated.get(reason)
}

async fn asked(actor: &Actor) -> Result<pb::WhoAmIResponse, String> {
    let told = who_am_i(actor, pb::WhoAmIRequest {}).await;
    told.map_err(|status| refused(Err::<(), _>(status)))
}

async fn an_identity_is_told_who_it_is(backend: Backend) {
    let t = start(backend).await;
    let told = asked(&t.spiffe(&spiffe_id("chat")).await).await.unwrap();
    let identity = pb::ServiceIdentity {
        name: "chat".into(),
        spiffe_id: spiffe_id("chat"),
        dns_name: String::new(),
        scopes: vec![INTROSPECT.into(), ADMIN.into()],
    };
    assert_eq!(told.identity, Some(identity));
    assert_eq!(told.tenant.unwrap().tenant_id, "acme");
    assert_eq!((told.token, told.user, told.session), (None, None, None));
    assert!(told.memberships.is_empty() && !told.revision.is_empty());
    let gate = asked(&t.dns("gate.example.org").await).await.unwrap();
    let identity = gate.identity.unwrap();
    assert_eq!(
        (&*identity.spiffe_id, &*identity.dns_name),
        ("", "gate.example.org")
    );
    let token = asked(&t.operator()).await.unwrap();
    assert!(token.identity.is_none());
}

async fn a_certificate_is_known_by_its_names_and_by_one_identitys_alone(backend: Backend) {
    let t = start(backend).await;
    let (chat, gate) = (spiffe_id("chat"), "gate.example.org");
    for (uris, dns) in [
        (&[chat.as_str()][..], &[][..]),
        (&[&chat], &["chat.example.org"]),
        (&[], &["Gate.Example.org"]),
        (&["https://gate.example.org"], &[gate]),
    ] {
        let told = asked(&t.certified(uris, dns).await).await;
        assert!(told.unwrap().identity.is_some(), "{uris:?} {dns:?}");
    }
    let other = spiffe_id("chat2");
    for (uris, dns, why) in [
        (&[][..], &[][..], Refusal::Unknown),
        (&[other.as_str()], &[], Refusal::Unknown),
        (&[], &["*.example.org"], Refusal::Unknown),
        (&[&chat], &[gate], Refusal::Ambiguous),
        (&[&chat, &other], &[], Refusal::Ambiguous),
    ] {
        let before = counted(&t, Unauthenticated::Identity(why));
        let actor = t.certified(uris, dns).await;
        assert_eq!(
            asked(&actor).await.unwrap_err(),
            REFUSED,
            "{uris:?} {dns:?}"
        );
        let after = counted(&t, Unauthenticated::Identity(why));
        assert_eq!(after, before + 1, "{uris:?} {dns:?}");
        let line = format!("identity.refusal=\"{}\"", why.as_str());
        assert!(t.logs.text().contains(&line), "{line}");
        // Its bearer is looked at all the same.
        let token = t.operator();
        let actor = t.certified_with(uris, dns, Some(token.value())).await;
        assert!(asked(&actor).await.unwrap().token.is_some());
    }
}

async fn a_bearer_decides_alone(backend: Backend) {
    let t = start(backend).await;
    let acme = t.tenant("beta", self_service()).await;
    let gate = t.dns("gate.example.org").await;
    let value = acme.admin.value();
    assert!(gate.introspect("beta", value).await.active);
    // A good one, of who may not introspect.
    let dns = &["gate.example.org"][..];
    let bearer = t.certified_with(&[], dns, Some(value)).await;
    assert!(asked(&bearer).await.unwrap().token.is_some());
    let denied = bearer.try_introspect(question("beta", value)).await;
    assert_eq!(refused(denied), "PermissionDenied PERMISSION_DENIED");
    // Bad ones.
    let unsigned = "eyJhbGciOiJub25lIn0.e30.";
    let revoked = acme.admin.issue("revoked", &[]).await;
    let token_id = revoked.token.unwrap().token_id;
    acme.admin.revoke("active", &token_id).await;
    for bad in ["nonsense", "", unsigned, &revoked.value] {
        let bearer = t.certified_with(&[], dns, Some(bad)).await;
        assert_eq!(asked(&bearer).await.unwrap_err(), REFUSED, "{bad}");
        let told = bearer.try_introspect(question("beta", value)).await;
        assert_eq!(refused(told), REFUSED, "{bad}");
    }
    // Several, and what is no text.
    let before = counted(&t, Unauthenticated::NoCredential);
    let mut several = gate.call(question("beta", value));
    for _ in 0..2 {
        let value = format!("Bearer {value}").parse().unwrap();
        several.metadata_mut().append("authorization", value);
    }
    let told = gate.introspection().introspect(several).await;
    assert_eq!(refused(told), REFUSED);
    let mut no_text = gate.call(question("beta", value));
    let bytes = MetadataValue::try_from(b"Bearer \xff".as_slice()).unwrap();
    no_text.metadata_mut().insert("authorization", bytes);
    let told = gate.introspection().introspect(no_text).await;
    assert_eq!(refused(told), REFUSED);
    assert_eq!(counted(&t, Unauthenticated::NoCredential), before + 2);
    let malformed = counted(&t, Unauthenticated::Inactive(Inactive::Malformed));
    assert!(malformed >= 4, "{malformed}");
    // Whoever brings neither is refused as ever.
    assert_eq!(asked(&t.nobody()).await.unwrap_err(), REFUSED);
    assert_eq!(counted(&t, Unauthenticated::NoCredential), before + 3);
}

async fn what_an_identity_does_is_logged_under_its_name(backend: Backend) {
    let t = start(backend).await;
    let chat = t.spiffe(&spiffe_id("chat")).await;
    chat.create_user("acme", "alice", pb::Role::Member).await;
    let text = t.logs.text();
    let line = text.lines().find(|line| {
        line.contains("the call was done") && line.contains("caller.identity=\"chat\"")
    });
    let line = line.unwrap();
    assert!(line.contains("caller.tenant.id=acme"), "{line}");
    assert!(!line.contains("caller.token.id"), "{line}");
}
