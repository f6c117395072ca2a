//! The mutations, called within the process: only there can one be dropped while it
//! waits, since a server runs what has begun to its end.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use token_authority::app::{World, open_authority};
use token_authority::authority::access::{Effect, Rpc};
use token_authority::authority::create::CreateToken;
use token_authority::authority::import::{ImportTokens, ImportedToken};
use token_authority::authority::invites::{CreateInvite, Invitee};
use token_authority::authority::requests::RequestId;
use token_authority::authority::revoke::{RevokeCurrentToken, RevokeToken};
use token_authority::authority::revoke_all::RevokeAllTokens;
use token_authority::authority::revoke_batch::BatchRevokeTokens;
use token_authority::authority::rotate::RotateToken;
use token_authority::authority::scopes::UpdateCatalog;
use token_authority::authority::tenants::{CreateTenant, PolicyChange, UpdateTenant};
use token_authority::authority::update::UpdateToken;
use token_authority::authority::users::{CreateUser, UpdateUser};
use token_authority::authority::{Authority, Call, Caller, Error, OpenCall};
use token_authority::config::Config;
use token_authority::domain::catalog::{Draft, ScopeDraft};
use token_authority::domain::policy::{Expiry, Policy};
use token_authority::domain::principal::Role;
use token_authority::domain::reason::Violations;
use token_authority::domain::text::Labels;
use token_authority::domain::token::{Kind, RevokeReason};
use token_authority::domain::trust::Sessions;
use tokio::time::Instant;

use super::relay;
use crate::support::import::hint_and_hash;
use crate::support::{Backend, Database, ManualClock, SeededEntropy};

/// An authority that nobody else reaches, over a database of its own.
pub(super) struct Installation {
    pub(super) database: Database,
    authority: Arc<Authority>,
    operator: Caller,
    subjects: AtomicUsize,
    _directory: TempDir,
}

/// What a mutation is about, fresh: two tenants, a member of both, and its token.
pub(super) struct Subject {
    tenant_id: String,
    other_id: String,
    user_id: String,
    /// Of the other tenant alone.
    stranger_id: String,
    token_id: String,
    /// The token's.
    value: String,
    member: Caller,
    /// An open one, by its id and its value; where it is needed.
    invite: (String, String),
}

/// A mutation that has not begun.
pub(super) type Mutation<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + 'a>>;

impl Installation {
    pub(super) async fn new(backend: Backend) -> Self {
        let database = Database::new(backend).await;
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.hashing.cost = 4;
        // Fewer than there are drops: one that kept its connection would be missed.
        config.database.connections = 4;
        config.database.acquire_timeout_ms = 30_000;
        config.keyring.directory = Some(directory.path().join("keyring"));
        config.keyring.create = Some(true);
        database.configure(&mut config);
        relay::through(&database, &directory, &mut config.database.url);
        let world = World {
            clock: Arc::new(ManualClock::new()),
            entropy: Arc::new(SeededEntropy::new(42)),
        };
        let authority = Arc::new(open_authority(&config, world).await.unwrap());
        let mut operator = String::new();
        let made = authority.bootstrap(|value| {
            operator = value.expose();
            Ok(())
        });
        assert!(made.await.unwrap());
        Self {
            operator: Caller::clone(&*authority.authenticate(Some(&operator)).await.unwrap()),
            database,
            authority,
            subjects: AtomicUsize::new(0),
            _directory: directory,
        }
    }

    /// Makes what a mutation is about, so that it has something to change.
    pub(super) async fn subject(&self, rpc: Rpc) -> Subject {
        let number = self.subjects.fetch_add(1, Ordering::SeqCst);
        let mut subject = self.try_subject(number).await.unwrap();
        let (a, call, tenant_id) = (&self.authority, call(&self.operator), &subject.tenant_id);
        if rpc == Rpc::ResumeTenant {
            a.suspend_tenant(call, tenant_id).await.unwrap();
        } else if rpc == Rpc::ResumeUser {
            let suspended = a.suspend_user(call, tenant_id, &subject.user_id);
            suspended.await.unwrap();
        } else if matches!(rpc, Rpc::RevokeInvite | Rpc::ClaimInvite) {
            let made = a.create_invite(call, invite(tenant_id)).await.unwrap();
            subject.invite = (made.invite.0.invite_id.to_string(), made.value.expose());
        }
        subject
    }

    async fn try_subject(&self, number: usize) -> Result<Subject, Error> {
        let (a, operator) = (&self.authority, || call(&self.operator));
        let [tenant_id, other_id] = ["a", "b"].map(|side| format!("tenant-{number}-{side}"));
        for tenant_id in [&tenant_id, &other_id] {
            a.create_tenant(operator(), tenant(tenant_id)).await?;
            a.update_catalog(operator(), catalog(tenant_id, "read"))
                .await?;
        }
        let ((member, _), _) = a.create_user(operator(), user(&tenant_id, "user")).await?;
        let ((stranger, _), _) = a.create_user(operator(), user(&other_id, "user")).await?;
        let user_id = member.user_id.to_string();
        let none = Violations::default();
        a.add_member(operator(), &other_id, &user_id, Role::Member, none)
            .await?;
        let created = a
            .create_token(operator(), token(&tenant_id, &user_id))
            .await?;
        Ok(Subject {
            member: Caller::clone(&*a.authenticate(Some(&created.value.expose())).await?),
            token_id: created.token.token.token_id.to_string(),
            value: created.value.expose(),
            stranger_id: stranger.user_id.to_string(),
            tenant_id,
            other_id,
            user_id,
            invite: Default::default(),
        })
    }

    /// Returns a mutation of a subject.
    pub(super) fn mutate<'a>(&'a self, rpc: Rpc, subject: &'a Subject) -> Mutation<'a> {
        self.find_mutation(rpc, subject)
            .unwrap_or_else(|| panic!("{} mutates: add its case to {}", rpc.path(), file!()))
    }

    /// Returns two mutations of a subject, one after the other.
    pub(super) fn mutate_in_two<'a>(&'a self, subject: &'a Subject) -> Mutation<'a> {
        Box::pin(async {
            self.mutate(Rpc::SuspendUser, subject).await?;
            self.mutate(Rpc::SuspendTenant, subject).await
        })
    }

    /// Returns the call that an RPC makes of a subject, if it changes anything.
    fn find_mutation<'a>(&'a self, rpc: Rpc, subject: &'a Subject) -> Option<Mutation<'a>> {
        let (a, by_operator) = (&self.authority, call_of(&self.operator, rpc));
        let Subject {
            tenant_id,
            other_id,
            user_id,
            stranger_id,
            token_id,
            value,
            member,
            invite: (invite_id, invite_value),
        } = subject;
        let none = Violations::default();
        /// Makes of a call what says no more than whether it succeeded. In a function of its
        /// own: the stack is not to hold the calls of all arms.
        macro_rules! mutation {
            ($call:expr) => {{
                let make = move || -> Mutation<'a> {
                    let call = $call;
                    Box::pin(async move { call.await.map(drop) })
                };
                Some(make())
            }};
        }
        // Without `_`: an RPC that is added does not compile before it has a case.
        match rpc {
            Rpc::CreateToken => mutation!(a.create_token(by_operator, token(tenant_id, user_id))),
            Rpc::UpdateToken => {
                mutation!(a.update_token(by_operator, renamed(tenant_id, token_id)))
            }
            Rpc::RevokeToken => {
                mutation!(a.revoke_token(by_operator, revoked(tenant_id, token_id)))
            }
            Rpc::RotateToken => {
                mutation!(a.rotate_token(by_operator, rotated(tenant_id, token_id)))
            }
            Rpc::RotateCurrentToken => {
                mutation!(a.rotate_current_token(call_of(member, rpc), None, none))
            }
            Rpc::BatchRevokeTokens => {
                mutation!(a.batch_revoke_tokens(by_operator, several(tenant_id, token_id)))
            }
            Rpc::ImportTokens => {
                mutation!(a.import_tokens(by_operator, imported(tenant_id, user_id)))
            }
            Rpc::RevokeAllTokens => {
                mutation!(a.revoke_all_tokens(by_operator, all(tenant_id)))
            }
            Rpc::RevokeCurrentToken => {
                mutation!(a.revoke_current_token(call_of(member, rpc), current()))
            }
            Rpc::RevokeExposedToken => mutation!(a.revoke_exposed_token(open_call(), value)),
            Rpc::CreateTenant => {
                let new = format!("{tenant_id}-new");
                mutation!(a.create_tenant(by_operator, tenant(&new)))
            }
            Rpc::UpdateTenant => mutation!(a.update_tenant(by_operator, stricter(tenant_id))),
            Rpc::SuspendTenant => mutation!(a.suspend_tenant(by_operator, tenant_id)),
            Rpc::ResumeTenant => mutation!(a.resume_tenant(by_operator, tenant_id)),
            Rpc::DeleteTenant => mutation!(a.delete_tenant(by_operator, tenant_id, None)),
            Rpc::CreateUser => mutation!(a.create_user(by_operator, user(tenant_id, "new"))),
            Rpc::UpdateUser => mutation!(a.update_user(by_operator, called(tenant_id, user_id))),
            Rpc::SuspendUser => mutation!(a.suspend_user(by_operator, tenant_id, user_id)),
            Rpc::ResumeUser => mutation!(a.resume_user(by_operator, tenant_id, user_id)),
            Rpc::DeleteUser => mutation!(a.delete_user(by_operator, tenant_id, user_id, None)),
            Rpc::SetActiveTenant => {
                mutation!(a.set_active_tenant(call_of(member, rpc), other_id))
            }
            Rpc::AddMember => {
                mutation!(a.add_member(by_operator, tenant_id, stranger_id, Role::Member, none))
            }
            Rpc::UpdateMember => {
                let role = Some(Role::Admin);
                mutation!(a.update_member(by_operator, tenant_id, user_id, role, None, none))
            }
            Rpc::RemoveMember => mutation!(a.remove_member(by_operator, tenant_id, user_id)),
            Rpc::UpdateCatalog => {
                mutation!(a.update_catalog(by_operator, catalog(tenant_id, "write")))
            }
            Rpc::CreateInvite => mutation!(a.create_invite(by_operator, invite(tenant_id))),
            Rpc::RevokeInvite => mutation!(a.revoke_invite(by_operator, tenant_id, invite_id)),
            Rpc::ClaimInvite => mutation!(a.claim_invite(open_call(), invite_value)),
            Rpc::Introspect
            | Rpc::BatchIntrospect
            | Rpc::GetToken
            | Rpc::ListTokens
            | Rpc::WhoAmI
            | Rpc::GetTenant
            | Rpc::ListTenants
            | Rpc::GetUser
            | Rpc::ListUsers
            | Rpc::ListMembers
            | Rpc::ListInvites
            | Rpc::ExplainToken
            | Rpc::ListAuditEvents
            | Rpc::VerifyAuditLog
            | Rpc::GetCatalog => None,
        }
    }
}

#[tokio::test]
async fn each_mutation_has_a_case() {
    let installation = Installation::new(Backend::Sqlite).await;
    for &rpc in Rpc::ALL {
        let subject = installation.subject(rpc).await;
        let has_case = installation.find_mutation(rpc, &subject).is_some();
        let mutates = rpc.effect() == Effect::Mutates;
        assert_eq!(has_case, mutates, "{}: see {}", rpc.path(), file!());
    }
}

fn call(caller: &Caller) -> Call {
    Call {
        caller: caller.clone(),
        rpc: Rpc::WhoAmI,
        call_id: String::new(),
        trace_id: String::new(),
        request: None,
        deadline: Instant::now() + Duration::from_secs(60),
    }
}

fn open_call() -> OpenCall {
    OpenCall {
        call_id: String::new(),
        trace_id: String::new(),
        deadline: Instant::now() + Duration::from_secs(60),
    }
}

/// Returns a call that may be asked again, under an id that no other has.
fn call_of(caller: &Caller, rpc: Rpc) -> Call {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let number = CALLS.fetch_add(1, Ordering::SeqCst);
    Call {
        rpc,
        request: RequestId::of(&number.to_string(), &[]).unwrap(),
        ..call(caller)
    }
}

fn tenant(tenant_id: &str) -> CreateTenant {
    CreateTenant {
        tenant_id: tenant_id.into(),
        display_name: String::new(),
        prefix: format!("{}_", tenant_id.replace('-', "")),
        policy: Policy {
            self_rotation: true,
            ..Policy::default()
        },
        sessions: Sessions::default(),
        violations: Violations::default(),
    }
}

fn stricter(tenant_id: &str) -> UpdateTenant {
    UpdateTenant {
        tenant_id: tenant_id.into(),
        etag: None,
        display_name: None,
        prefix: None,
        policy: Some(PolicyChange(Box::new(|policy| policy.unique_names = true))),
        oidc_trust: None,
        admitted_trusts: None,
        violations: Violations::default(),
    }
}

fn catalog(tenant_id: &str, extra: &str) -> UpdateCatalog {
    let scope = |name: &str| ScopeDraft {
        name: name.into(),
        ..Default::default()
    };
    let mut scopes = vec![scope("read")];
    if extra != "read" {
        scopes.push(scope(extra));
    }
    UpdateCatalog {
        tenant_id: tenant_id.into(),
        draft: Some(Draft {
            scopes,
            profiles: Vec::new(),
        }),
        etag: None,
        violations: Violations::default(),
    }
}

fn user(tenant_id: &str, external_id: &str) -> CreateUser {
    CreateUser {
        tenant_id: tenant_id.into(),
        external_id: external_id.into(),
        display_name: String::new(),
        role: Role::Member,
        violations: Violations::default(),
    }
}

fn called(tenant_id: &str, user_id: &str) -> UpdateUser {
    UpdateUser {
        tenant_id: tenant_id.into(),
        user_id: user_id.into(),
        etag: None,
        external_id: Some(String::from("another")),
        display_name: None,
        violations: Violations::default(),
    }
}

fn token(tenant_id: &str, user_id: &str) -> CreateToken {
    CreateToken {
        tenant_id: tenant_id.into(),
        user_id: user_id.into(),
        kind: Kind::Api,
        name: String::from("laptop"),
        scopes: vec![String::from("read")],
        profile: String::new(),
        expiry: Some(Expiry::Default),
        agent_id: String::new(),
        labels: Labels::new(),
        violations: Violations::default(),
    }
}

/// Asks for an invite of somebody new, with a first token.
fn invite(tenant_id: &str) -> CreateInvite {
    CreateInvite {
        tenant_id: tenant_id.into(),
        invitee: Some(Invitee::New {
            external_id: String::from("invited"),
            display_name: String::new(),
        }),
        role: Role::Member,
        ttl: None,
        first_token: Some(token("", "")),
        violations: Violations::default(),
    }
}

fn imported(tenant_id: &str, user_id: &str) -> ImportTokens {
    let (hint, secret_hash) = hint_and_hash(tenant_id);
    let token = ImportedToken {
        token: CreateToken {
            name: String::from("imported"),
            ..token(tenant_id, user_id)
        },
        secret_hash,
        hint,
        created_at: None,
    };
    ImportTokens {
        tenant_id: tenant_id.into(),
        hint_length: 32,
        tokens: vec![token],
    }
}

fn renamed(tenant_id: &str, token_id: &str) -> UpdateToken {
    UpdateToken {
        tenant_id: tenant_id.into(),
        token_id: token_id.into(),
        kind: None,
        etag: None,
        name: Some(String::from("renamed")),
        scopes: None,
        expiry: None,
        labels: None,
        disabled: None,
        violations: Violations::default(),
    }
}

fn rotated(tenant_id: &str, token_id: &str) -> RotateToken {
    RotateToken {
        tenant_id: tenant_id.into(),
        token_id: token_id.into(),
        kind: None,
        etag: None,
        grace: Some(Duration::from_secs(60)),
        violations: Violations::default(),
    }
}

fn several(tenant_id: &str, token_id: &str) -> BatchRevokeTokens {
    BatchRevokeTokens {
        tenant_id: tenant_id.into(),
        token_ids: vec![token_id.into()],
        kind: None,
        reason: RevokeReason::Unspecified,
        reason_text: String::new(),
        violations: Violations::default(),
    }
}

fn all(tenant_id: &str) -> RevokeAllTokens {
    RevokeAllTokens {
        tenant_id: tenant_id.into(),
        user_id: String::new(),
        kinds: Vec::new(),
        reason: RevokeReason::Unspecified,
        reason_text: String::new(),
        violations: Violations::default(),
    }
}

fn current() -> RevokeCurrentToken {
    RevokeCurrentToken {
        reason: RevokeReason::Unspecified,
        reason_text: String::new(),
        violations: Violations::default(),
    }
}

fn revoked(tenant_id: &str, token_id: &str) -> RevokeToken {
    RevokeToken {
        tenant_id: tenant_id.into(),
        token_id: token_id.into(),
        kind: None,
        reason: RevokeReason::Unspecified,
        reason_text: String::new(),
        violations: Violations::default(),
    }
}
