//! Catalogs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use token_authority::domain::catalog::{Catalog, Profile, Scope};
use token_authority::domain::change::Version;
use token_authority::domain::scope::ScopeName;
use token_authority::domain::token::{Kind, RevokeReason, Token};
use token_authority::store::{Epoch, Error};

use super::{World, scopes};
use crate::support::{Backend, both_backends};

both_backends! {
    a_new_catalog_is_empty_and_inserted_once,
    a_catalog_comes_back_with_every_field,
    a_stale_replacement_does_nothing,
    a_tenant_without_a_catalog_is_corrupt,
    scopes_of_tokens_that_may_live_again_are_granted,
}

fn names(names: &[&str]) -> BTreeSet<ScopeName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn full_catalog() -> Catalog {
    let write = Scope {
        description: String::from("Writes \"everything\"\nand 会社"),
        implies: names(&["read", "authority:tokens.read"]),
        admins_only: true,
        forbidden_kinds: Kind::ALL.iter().copied().collect(),
    };
    let read = Scope {
        description: String::new(),
        implies: BTreeSet::new(),
        admins_only: false,
        forbidden_kinds: BTreeSet::from([Kind::Webhook]),
    };
    let editor = Profile {
        description: String::from("Edits"),
        scopes: names(&["read", "write"]),
    };
    Catalog {
        scopes: BTreeMap::from([
            ("write".parse().unwrap(), write),
            ("read".parse().unwrap(), read),
        ]),
        profiles: BTreeMap::from([("editor".parse().unwrap(), editor)]),
    }
}

async fn a_new_catalog_is_empty_and_inserted_once(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let mut tx = world.begin().await;
    let stored = tx.get_catalog(&acme).await.unwrap();
    assert_eq!(stored.catalog, Catalog::default());
    assert_eq!(stored.version, Version(1));
    assert_eq!(stored.updated_at, world.now());
    let error = tx.insert_catalog(&acme, world.now()).await;
    assert!(matches!(error, Err(Error::Conflict(_))), "{error:?}");
}

async fn a_catalog_comes_back_with_every_field(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let other = world.tenant("other").await.tenant_id;
    let now = world.later();
    let mut tx = world.begin().await;
    let replaced = tx
        .mark_catalog_replaced(&acme, Version(1), &full_catalog(), now)
        .await;
    let replaced = replaced.unwrap().unwrap();
    world.commit(tx).await;
    let mut tx = world.snapshot().await;
    for stored in [replaced, tx.get_catalog(&acme).await.unwrap()] {
        assert_eq!(stored.catalog, full_catalog());
        assert_eq!(stored.version, Version(2));
        assert_eq!(stored.updated_at, now);
    }
    let untouched = tx.get_catalog(&other).await.unwrap();
    assert_eq!(untouched.catalog, Catalog::default());
}

async fn a_stale_replacement_does_nothing(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let mut tx = world.begin().await;
    for version in [Version(0), Version(2)] {
        let stale = tx
            .mark_catalog_replaced(&acme, version, &full_catalog(), world.now())
            .await;
        assert!(stale.unwrap().is_none());
    }
    let stored = tx.get_catalog(&acme).await.unwrap();
    assert_eq!(stored.catalog, Catalog::default());
    world.commit(tx).await;
}

async fn a_tenant_without_a_catalog_is_corrupt(backend: Backend) {
    let world = World::new(backend).await;
    let nobody = "nobody".parse().unwrap();
    let stored = world.snapshot().await.get_catalog(&nobody).await;
    let error = stored.unwrap_err();
    assert_eq!(error.to_string(), "corrupt value in catalogs.tenant_id");
}

async fn scopes_of_tokens_that_may_live_again_are_granted(backend: Backend) {
    let world = World::new(backend).await;
    let acme = world.tenant("acme").await.tenant_id;
    let other = world.tenant("other").await.tenant_id;
    let alice = world.user(&acme, "alice").await.user_id;
    let end = world.now().saturating_add(Duration::from_secs(60));
    // Covered by an epoch below; the others come after it.
    let (mut covered, secret) = world.draft(&acme, Some(alice), "covered");
    covered.scopes = scopes(&["covered"]);
    world.insert(&covered, &secret).await;
    world
        .revoke_all(&[Epoch {
            tenant_id: None,
            user_id: Some(alice),
            kind: None,
            reason: RevokeReason::OwnerGone,
            text: String::new(),
        }])
        .await;
    for (tenant_id, name, granted) in [
        (&acme, "plain", ["read", "plain"]),
        (&acme, "twin", ["read", "plain"]),
        (&acme, "ending", ["read", "ending"]),
        (&acme, "revoked", ["read", "revoked"]),
        (&acme, "disabled", ["read", "disabled"]),
        (&other, "foreign", ["read", "foreign"]),
    ] {
        let user_id = (tenant_id == &acme).then_some(alice);
        let (mut token, secret) = world.draft(tenant_id, user_id, name);
        token.scopes = scopes(&granted);
        token.expires_at = (name == "ending").then_some(end);
        world.insert(&token, &secret).await;
        let token = world.find(tenant_id, token.token_id).await;
        if name == "revoked" {
            world.revoke(&token).await;
        }
        if name == "disabled" {
            let disabled = Token {
                disabled_at: Some(world.now()),
                ..token
            };
            let mut tx = world.begin().await;
            assert!(tx.mark_token_changed(&disabled, world.now()).await.unwrap());
            world.commit(tx).await;
        }
    }
    let mut tx = world.snapshot().await;
    let now = world.now();
    let granted = tx.list_granted_scopes(&acme, now).await.unwrap();
    assert_eq!(granted, scopes(&["disabled", "ending", "plain", "read"]));
    // At the very instant of its end a token is expired.
    let granted = tx.list_granted_scopes(&acme, end).await.unwrap();
    assert_eq!(granted, scopes(&["disabled", "plain", "read"]));
    let nobody = "nobody".parse().unwrap();
    assert!(
        tx.list_granted_scopes(&nobody, now)
            .await
            .unwrap()
            .is_empty()
    );
}
