//! Trusts: what a tenant may say, which one is meant, and that a change of one is a change.

use token_authority::pb;
use tonic::Status;

use super::{REFUSED, get_tenant, installed, own, refusals, who_am_i};
use crate::support::{
    Actor, Backend, Provider, SigningKey, both_backends, events, mask, message, refused,
    self_service,
};

both_backends! {
    a_tenants_trust_is_kept_and_told,
    what_is_wrong_with_a_trust_is_said_at_once,
    a_change_of_a_trust_is_true_at_once,
    a_tenants_trust_vouches_in_that_tenant_alone,
    of_two_trusts_none_is_meant,
    the_named_tenants_own_trust_comes_first,
    no_tenant_puts_the_sessions_of_the_installation_in_doubt,
}

async fn update(
    actor: &Actor,
    tenant_id: &str,
    policy: pb::TenantPolicy,
    paths: &[&str],
) -> Result<pb::Tenant, Status> {
    let mut request = message!(UpdateTenantRequest {
        tenant_id: tenant_id,
    });
    request.update_mask = Some(mask(paths));
    request.policy = Some(policy);
    Ok(actor.update_tenant(request).await?.tenant.unwrap())
}

fn trusting(trust: pb::OidcTrust) -> pb::TenantPolicy {
    pb::TenantPolicy {
        oidc_trust: Some(trust),
        ..Default::default()
    }
}

const TRUST: &[&str] = &["policy.oidc_trust"];

async fn a_tenants_trust_is_kept_and_told(backend: Backend) {
    let (t, provider, acme) = installed(backend).await;
    let trust = pb::OidcTrust {
        audience: "ours".into(),
        jwks: String::new(),
        jwks_url: "https://id.example/keys".into(),
        user_claim: "email".into(),
        admin_claim: "groups".into(),
        admin_values: vec!["a".into(), "b".into()],
        provision_members: true,
        provision_role: pb::Role::Admin.into(),
        ..provider.oidc_trust()
    };
    let updated = update(&acme.admin, "acme", trusting(trust.clone()), TRUST).await;
    let policy = updated.unwrap().policy.unwrap();
    assert_eq!(policy.oidc_trust, Some(trust.clone()));
    assert_eq!(policy.token_management(), pb::TokenManagement::SelfService);
    let read = get_tenant(&acme.admin, "acme")
        .await
        .unwrap()
        .tenant
        .unwrap();
    assert_eq!(read.policy.unwrap().oidc_trust, Some(trust));
    let admits = pb::TenantPolicy {
        admitted_trusts: vec!["main".into()],
        ..Default::default()
    };
    let paths = &["policy.admitted_trusts"];
    let updated = update(&acme.admin, "acme", admits, paths).await.unwrap();
    let policy = updated.policy.unwrap();
    assert_eq!(policy.admitted_trusts, ["main"]);
    assert!(policy.oidc_trust.is_some());
    // An inline document is told to who reads the tenant, and has no room in lists.
    let inline = provider.oidc_trust();
    let inline = pb::OidcTrust {
        audience: "ours".into(),
        user_claim: "sub".into(),
        ..inline
    };
    let updated = update(&acme.admin, "acme", trusting(inline.clone()), TRUST).await;
    assert_eq!(updated.unwrap().policy.unwrap().oidc_trust, Some(inline));
    let listed = t
        .operator()
        .list_tenants(pb::ListTenantsRequest::default())
        .await;
    let tenants = listed.unwrap().tenants;
    let listed = tenants.iter().find(|tenant| tenant.tenant_id == "acme");
    let listed = listed.unwrap().policy.clone().unwrap().oidc_trust.unwrap();
    assert_eq!((&*listed.audience, &*listed.jwks), ("ours", ""));
    let none = update(&acme.admin, "acme", pb::TenantPolicy::default(), TRUST).await;
    assert_eq!(none.unwrap().policy.unwrap().oidc_trust, None);
    let logged = events(&t.database, "acme", "UpdateTenant").await;
    let last = logged.last().unwrap();
    let fields: Vec<_> = last.changes.iter().map(|change| &*change.field).collect();
    assert_eq!(fields, ["policy.oidc_trust", "policy.oidc_trust.keys"]);
}

async fn what_is_wrong_with_a_trust_is_said_at_once(backend: Backend) {
    let (_t, provider, acme) = installed(backend).await;
    let said = async |trust: pb::OidcTrust| {
        let updated = update(&acme.admin, "acme", trusting(trust), TRUST).await;
        let said = refused(updated);
        let (_, fields) = said.split_once('\n').unwrap();
        fields.replace("  policy.oidc_trust.", "")
    };
    let good = || pb::OidcTrust {
        audience: "ours".into(),
        ..provider.oidc_trust()
    };
    let private = serde_json::json!({"keys": [
        provider.key.public(),
        {"kty": "EC", "kid": "p", "crv": "P-256", "x": "AA", "y": "AA", "d": "AA"},
    ]});
    let with = |change: fn(&mut pb::OidcTrust)| {
        let mut trust = good();
        change(&mut trust);
        trust
    };
    for (trust, expected) in [
        (with(|trust| trust.issuer.clear()), "issuer: FIELD_REQUIRED"),
        (
            with(|trust| trust.audience.clear()),
            "audience: FIELD_REQUIRED",
        ),
        (with(|trust| trust.jwks.clear()), "jwks_url: FIELD_REQUIRED"),
        (with(|trust| trust.jwks = "{}".into()), "jwks: INVALID_JWKS"),
        (
            with(|trust| trust.jwks = "x".repeat(20_000)),
            "jwks: FIELD_TOO_LONG",
        ),
        (
            with(|trust| trust.jwks_url = "https://a/".into()),
            "jwks_url: ONE_OF_FIELDS",
        ),
        (
            with(|trust| trust.user_claim = "/".into()),
            "user_claim: INVALID_CLAIM",
        ),
        (
            with(|trust| trust.admin_claim = "groups".into()),
            "admin_values: FIELD_REQUIRED",
        ),
        (
            with(|trust| trust.provision_role = 9),
            "provision_role: UNKNOWN_ENUM_VALUE",
        ),
        // The operator's alone.
        (
            with(|trust| {
                trust.jwks.clear();
                trust.jwks_url = "http://id.example/keys".into();
            }),
            "jwks_url: INVALID_URL",
        ),
        (
            with(|trust| {
                trust.jwks.clear();
                trust.jwks_url = "file:///etc/passwd".into();
            }),
            "jwks_url: INVALID_URL",
        ),
        // Nor is what the installation trusts a tenant's to claim.
        (
            with(|trust| trust.audience = "account".into()),
            "issuer: TRUST_TAKEN",
        ),
    ] {
        assert_eq!(said(trust).await, expected);
    }
    let exposed = pb::OidcTrust {
        jwks: private.to_string(),
        ..good()
    };
    assert_eq!(said(exposed).await, "jwks: INVALID_JWKS");
    let admits = pb::TenantPolicy {
        admitted_trusts: vec!["main".into(), "nobody".into(), "NOBODY".into()],
        ..Default::default()
    };
    let updated = update(&acme.admin, "acme", admits, &["policy.admitted_trusts"]).await;
    assert_eq!(
        refused(updated),
        "InvalidArgument UNKNOWN_TRUST\n  policy.admitted_trusts[2]: UNKNOWN_TRUST\n  \
         policy.admitted_trusts[1]: UNKNOWN_TRUST"
    );
}

async fn a_change_of_a_trust_is_true_at_once(backend: Backend) {
    let (t, provider, acme, _) = own(backend).await;
    let session = t.actor(&provider.session(&t, "alice"));
    let before = get_tenant(&session, "acme").await.unwrap();
    let other = SigningKey::new("key-1");
    for trust in [
        pb::OidcTrust {
            jwks: serde_json::json!({"keys": [other.public()]}).to_string(),
            ..provider.oidc_trust()
        },
        pb::OidcTrust {
            audience: "elsewhere".into(),
            ..provider.oidc_trust()
        },
        pb::OidcTrust {
            required_claims: [("typ".into(), "Other".into())].into(),
            ..provider.oidc_trust()
        },
    ] {
        update(&acme.admin, "acme", trusting(trust), TRUST)
            .await
            .unwrap();
        assert_eq!(refused(get_tenant(&session, "acme").await), REFUSED);
        let back = trusting(provider.oidc_trust());
        update(&acme.admin, "acme", back, TRUST).await.unwrap();
        assert!(get_tenant(&session, "acme").await.is_ok());
    }
    let none = pb::TenantPolicy::default();
    update(&acme.admin, "acme", none, TRUST).await.unwrap();
    assert_eq!(refused(get_tenant(&session, "acme").await), REFUSED);
    assert!(before.tenant.is_some());
    assert_eq!(
        refusals(&t),
        [("no_trust", 2), ("signature", 1), ("required_claim", 1)]
    );
}

async fn a_tenants_trust_vouches_in_that_tenant_alone(backend: Backend) {
    let (t, provider, _acme, alice) = own(backend).await;
    let theirs = t.tenant("theirs", self_service()).await;
    // Her token may be of another tenant, where an operator made her a member; her
    // session, which acme vouches for, is not.
    crate::support::share(&t, &alice, "theirs").await;
    let session = t.actor(&provider.session(&t, "alice"));
    assert!(get_tenant(&session, "acme").await.is_ok());
    for elsewhere in ["theirs", "nowhere", "authority"] {
        assert_eq!(refused(get_tenant(&session, elsewhere).await), REFUSED);
    }
    let set = message!(SetActiveTenantRequest {
        tenant_id: "theirs"
    });
    assert_eq!(refused(session.set_active_tenant(set).await), REFUSED);
    assert_eq!(refusals(&t), [("other_tenant", 4)]);
    // Nor may their administrator, who claims the same issuer by a key of its own, be her
    // in acme.
    let impostor = Provider::start(&provider.issuer).await;
    let claimed = trusting(impostor.oidc_trust());
    update(&theirs.admin, "theirs", claimed, TRUST)
        .await
        .unwrap();
    t.operator()
        .create_user("theirs", "alice", pb::Role::Admin)
        .await;
    let forged = t.actor(&impostor.session(&t, "alice"));
    assert!(get_tenant(&forged, "theirs").await.is_ok());
    assert_eq!(refused(get_tenant(&forged, "acme").await), REFUSED);
    let told = who_am_i(&forged).await.unwrap();
    assert_ne!(told.user.unwrap().user_id, alice);
    assert_eq!(
        who_am_i(&session).await.unwrap().user.unwrap().user_id,
        alice
    );
}

async fn of_two_trusts_none_is_meant(backend: Backend) {
    let (t, provider, _acme, alice) = own(backend).await;
    let theirs = t.tenant("theirs", self_service()).await;
    let session = t.actor(&provider.session(&t, "alice"));
    assert!(who_am_i(&session).await.is_ok());
    let same = trusting(provider.oidc_trust());
    update(&theirs.admin, "theirs", same, TRUST).await.unwrap();
    assert_eq!(refused(who_am_i(&session).await), REFUSED);
    assert_eq!(refused(get_tenant(&session, "active").await), REFUSED);
    assert_eq!(refusals(&t), [("ambiguous", 2)]);
    // Where the tenant is named, it is clear.
    assert!(get_tenant(&session, "acme").await.is_ok());
    assert_eq!(refused(get_tenant(&session, "theirs").await), REFUSED);
    let mine = session
        .try_create(super::create("acme", "mine", &["read"]))
        .await;
    assert_eq!(mine.unwrap().token.unwrap().user_id, alice);
}

async fn the_named_tenants_own_trust_comes_first(backend: Backend) {
    let (t, provider, acme) = installed(backend).await;
    let second = t.tenant("second", self_service()).await;
    for tenant_id in ["acme", "second"] {
        super::admit(&t, tenant_id, &["main"]).await;
    }
    let ours = pb::OidcTrust {
        audience: "other".into(),
        provision_members: true,
        ..provider.oidc_trust()
    };
    update(&acme.admin, "acme", trusting(ours), TRUST)
        .await
        .unwrap();
    // A session for both audiences.
    let session = t.actor(&provider.session(&t, "alice"));
    let made = async |tenant_id: &str| {
        let created = session.create(super::create(tenant_id, "mine", &["read"]));
        created.await.token.unwrap().user_id
    };
    let (of_acme, of_second) = (made("acme").await, made("second").await);
    assert_ne!(of_acme, of_second);
    let get = |user_id: &str| {
        message!(GetUserRequest {
            tenant_id: "active",
            user_id: user_id
        })
    };
    let user = acme
        .admin
        .get_user(get(&of_acme))
        .await
        .unwrap()
        .user
        .unwrap();
    assert_eq!(user.vouching_tenant_id, "acme");
    let user = second
        .admin
        .get_user(get(&of_second))
        .await
        .unwrap()
        .user
        .unwrap();
    assert_eq!(user.vouching_trust, "main");
}

async fn no_tenant_puts_the_sessions_of_the_installation_in_doubt(backend: Backend) {
    let (t, provider, _acme) = installed(backend).await;
    super::admit(&t, "acme", &["main"]).await;
    let session = t.actor(&provider.session(&t, "alice"));
    assert!(get_tenant(&session, "acme").await.is_ok());
    let theirs = t.tenant("theirs", self_service()).await;
    let inline = pb::OidcTrust {
        audience: "other".into(),
        ..provider.oidc_trust()
    };
    let away = pb::OidcTrust {
        jwks: String::new(),
        jwks_url: "https://keys.invalid/keys".into(),
        ..inline.clone()
    };
    // The same session, which is for both audiences.
    for trust in [inline, away] {
        update(&theirs.admin, "theirs", trusting(trust), TRUST)
            .await
            .unwrap();
        let told = who_am_i(&session).await.unwrap();
        assert_eq!(told.session.unwrap().trust, "installation/main");
        assert!(get_tenant(&session, "active").await.is_ok());
        assert!(get_tenant(&session, "acme").await.is_ok());
    }
    // Nor does anybody wait for keys of theirs but who names them.
    let said = "the keys of a tenant's issuer can't be had";
    assert!(!t.logs.text().contains(said));
    assert_eq!(
        refused(get_tenant(&session, "theirs").await),
        "NotFound TENANT_NOT_FOUND"
    );
    assert!(t.logs.text().contains(said));
}
