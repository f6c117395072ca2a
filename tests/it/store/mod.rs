//! The store's conformance: every method of it, on both databases.

mod alone;
mod changes;
mod epochs;
mod faults;
mod fingerprints;
mod follow;
mod introspection;
mod kept;
mod known;
mod measured;
mod memberships;
mod replicas;
mod rotation;
mod scopes;
mod tenants;
mod token_lists;
mod tokens;
mod users;
mod uses;

use std::time::Duration;

use token_authority::domain::change::{Change, ChangeNumber, Revision, Version};
use token_authority::domain::fingerprint::{Key, KeyId, SecretHash};
use token_authority::domain::ids::{SecretId, TenantId, TokenId, UserId};
use token_authority::domain::policy::Policy;
use token_authority::domain::principal::{Role, Tenant, User};
use token_authority::domain::scope::ScopeSet;
use token_authority::domain::text::Labels;
use token_authority::domain::time::{Clock as _, Timestamp};
use token_authority::domain::token::{Kind, RevokeReason, Token};
use token_authority::domain::trust::Sessions;
use token_authority::domain::value::TokenValue;
use token_authority::store::{Epoch, NewSecret, NewToken, Page, Position, Store, Tx};

use crate::support::{Backend, Database, ManualClock, Raw, SeededEntropy};

/// What the store is told to be called: 22 base62 characters.
const INCARNATION: &str = "0123456789ABCDEFGHIJKL";

/// A store with nothing in it but its head, and what a test puts there.
struct World {
    store: Store,
    database: Database,
    clock: ManualClock,
    entropy: SeededEntropy,
}

impl World {
    async fn new(backend: Backend) -> Self {
        Self::with_connections(backend, 4).await
    }

    async fn with_connections(backend: Backend, connections: u32) -> Self {
        let database = Database::new(backend).await;
        let store = database.open(connections).await;
        store.insert_head(INCARNATION).await.unwrap();
        Self {
            store,
            database,
            clock: ManualClock::new(),
            entropy: SeededEntropy::new(42),
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets a second pass.
    fn later(&self) -> Timestamp {
        self.clock.advance(Duration::from_secs(1))
    }

    async fn begin(&self) -> Tx {
        self.store.begin().await.unwrap()
    }

    async fn snapshot(&self) -> Tx {
        self.store.snapshot().await.unwrap()
    }

    /// Commits what alters no answer.
    async fn commit(&self, tx: Tx) -> Revision {
        tx.close(&[], &[], self.now()).await.unwrap()
    }

    /// Returns whether another would wait for a row of the table. `SQLite` has one
    /// lock for all.
    async fn is_locked(&self, table: &str) -> bool {
        let mut raw = self.database.raw().await;
        let sql = match raw {
            Raw::Sqlite(_) => "BEGIN IMMEDIATE".to_owned(),
            Raw::Postgres(_) => format!("SELECT 1 FROM {table} FOR UPDATE NOWAIT"),
        };
        let answer = raw.execute(&sql).await;
        raw.close().await;
        let Err(error) = answer else {
            return false;
        };
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        assert!(matches!(code.as_deref(), Some("5" | "55P03")), "{error}");
        true
    }

    /// A tenant as it is before it is inserted.
    fn draft_tenant(&self, tenant_id: &str) -> Tenant {
        Tenant {
            tenant_id: tenant_id.parse().unwrap(),
            display_name: format!("The {tenant_id} company"),
            prefix: format!("{tenant_id}_").parse().unwrap(),
            policy: Policy::default(),
            sessions: Sessions::default(),
            version: Version(1),
            created_at: self.now(),
            updated_at: self.now(),
            suspended_at: None,
            deleted_at: None,
        }
    }

    /// A tenant with an empty catalog.
    async fn tenant(&self, tenant_id: &str) -> Tenant {
        let tenant = self.draft_tenant(tenant_id);
        let mut tx = self.begin().await;
        assert!(tx.insert_tenant(&tenant).await.unwrap());
        tx.insert_catalog(&tenant.tenant_id, self.now())
            .await
            .unwrap();
        self.commit(tx).await;
        tenant
    }

    /// A user as it is before it is inserted.
    fn draft_user(&self, tenant_id: &TenantId, external_id: &str) -> User {
        User {
            user_id: UserId::mint(self.now(), &self.entropy).unwrap(),
            external_id: external_id.to_owned(),
            display_name: format!("Dr. {external_id}"),
            vouching_trust: None,
            vouching_tenant_id: tenant_id.clone(),
            active_tenant_id: tenant_id.clone(),
            version: Version(1),
            created_at: self.now(),
            updated_at: self.now(),
            suspended_at: None,
        }
    }

    /// A user and member of the tenant that vouches for it.
    async fn user(&self, tenant_id: &TenantId, external_id: &str) -> User {
        let user = self.draft_user(tenant_id, external_id);
        let mut tx = self.begin().await;
        let inserted = tx.insert_user(&user).await.unwrap();
        assert_eq!(inserted.as_ref(), Some(&user));
        let member = tx
            .insert_membership(tenant_id, user.user_id, Role::Member, self.now())
            .await;
        assert!(member.unwrap().is_some());
        self.commit(tx).await;
        user
    }

    /// A token before it is inserted: API for a user, SERVICE for none.
    fn draft(
        &self,
        tenant_id: &TenantId,
        user_id: Option<UserId>,
        name: &str,
    ) -> (NewToken, NewSecret) {
        let value = TokenValue::mint("test_".parse().unwrap(), &self.entropy).unwrap();
        let key = Key::new(KeyId(String::from("0001")), &[7; 32]);
        let token = NewToken {
            token_id: TokenId::mint(self.now(), &self.entropy).unwrap(),
            tenant_id: tenant_id.clone(),
            user_id,
            kind: user_id.map_or(Kind::Service, |_| Kind::Api),
            name: name.to_owned(),
            scopes: scopes(&["read"]),
            profile: String::new(),
            agent_id: String::new(),
            labels: Labels::new(),
            created_by: None,
            created_at: self.now(),
            expires_at: None,
        };
        let secret = NewSecret {
            secret_id: SecretId::mint(self.now(), &self.entropy).unwrap(),
            lookup: value.lookup().clone(),
            hint: value.hint(),
            secret_hash: SecretHash::new(format!("$2b$04${}", value.secret().expose())),
            fingerprint: (key.id().clone(), key.fingerprint(value.secret())),
        };
        (token, secret)
    }

    /// Inserts a token in a change of its own.
    async fn insert(&self, token: &NewToken, secret: &NewSecret) -> ChangeNumber {
        let mut tx = self.begin().await;
        tx.insert_token(token, secret).await.unwrap();
        let created = Change::TokenCreated(token.tenant_id.clone(), token.token_id);
        let revision = tx.close(&[created], &[], self.now()).await.unwrap();
        revision.number
    }

    /// A token: API for a user, SERVICE for none.
    async fn token(&self, tenant_id: &TenantId, user_id: Option<UserId>, name: &str) -> Token {
        let (token, secret) = self.draft(tenant_id, user_id, name);
        self.insert(&token, &secret).await;
        self.find(&token.tenant_id, token.token_id).await
    }

    /// The token as it is now.
    async fn find(&self, tenant_id: &TenantId, token_id: TokenId) -> Token {
        let mut tx = self.snapshot().await;
        tx.find_token(tenant_id, token_id).await.unwrap().unwrap()
    }

    /// Revokes a token by itself.
    async fn revoke(&self, token: &Token) {
        let mut tx = self.begin().await;
        let reason = RevokeReason::Compromised;
        let revoked = tx.mark_token_revoked(token, reason, "", self.now()).await;
        assert!(revoked.unwrap());
        let changed = Change::TokenChanged(token.tenant_id.clone(), token.token_id);
        tx.close(&[changed], &[], self.now()).await.unwrap();
    }

    /// Revokes whatever the epochs cover, in one change.
    async fn revoke_all(&self, epochs: &[Epoch]) -> ChangeNumber {
        let tx = self.begin().await;
        let tenant_id = "any".parse().unwrap();
        let changes = [Change::TenantChanged(tenant_id)];
        let revision = tx.close(&changes, epochs, self.now()).await.unwrap();
        revision.number
    }
}

fn scopes(names: &[&str]) -> ScopeSet {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// Fetches a whole list, page by page, and checks that each page but the last is
/// full and says where the next one begins.
async fn pages<T, I, F>(size: u32, mut fetch: impl FnMut(Option<Position<I>>) -> F) -> Vec<T>
where
    F: Future<Output = Page<T, I>>,
{
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = fetch(after).await;
        let full = page.items.len() == usize::try_from(size).unwrap();
        all.extend(page.items);
        match page.next {
            Some(next) => {
                assert!(full, "a page that is not the last is not full");
                after = Some(next);
            }
            None => return all,
        }
    }
}
