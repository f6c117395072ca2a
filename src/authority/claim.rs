//! Claiming an invite: who holds its value joins its tenant, once. Whatever keeps it from
//! being claimed, nobody learns which it is.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::access::{self, Rpc};
use super::counters::Claim;
use super::create::CreateToken;
use super::scene::Scene;
use super::together::Together;
use super::{Authority, Caller, Error, OpenCall, Shown};
use crate::domain::audit::{Act, Origin};
use crate::domain::change::{Change, Revision, Version};
use crate::domain::fingerprint::SecretHash;
use crate::domain::ids::{TokenId, UserId};
use crate::domain::introspection::Record;
use crate::domain::invite::{FirstToken, Invite, NewUser, Unclaimable};
use crate::domain::policy::Expiry;
use crate::domain::principal::{Membership, Tenant, User};
use crate::domain::reason::{Missing, Obstacle, Taken, Violations};
use crate::domain::time::Timestamp;
use crate::domain::token::Kind;
use crate::domain::value::{TokenValue, presented};
use crate::store::{self, NewToken, Tx};
use crate::tally::Closed as _;

/// The calls that are served at once, at most: anybody may make them, and each asks the
/// store.
const AT_ONCE: usize = 16;
/// When to ask again past that.
const RETRY: Duration = Duration::from_secs(1);

/// The places of these calls.
#[derive(Debug)]
pub(super) struct Claims(Semaphore);

impl Default for Claims {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

/// What a claim came to.
#[derive(Debug)]
pub struct Claimed {
    /// Who joined.
    pub user: User,
    /// As what.
    pub member: Membership,
    /// Its first token and that one's value, for its owner alone.
    pub first: Option<(Shown, TokenValue)>,
    /// The revision that includes it.
    pub revision: Revision,
}

/// Why a claim failed.
enum Failure {
    /// The invite can't be claimed: for all reasons there is one answer.
    Unclaimable(Unclaimable),
    /// Something else, which says nothing of the invite.
    Error(Error),
}

impl From<Unclaimable> for Failure {
    fn from(reason: Unclaimable) -> Self {
        Self::Unclaimable(reason)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        // Only a known value comes so far: it is told as the bound of all.
        if let Error::HashingBusy { retry_after } = error {
            return Self::Error(Error::RateLimited { retry_after });
        }
        Self::Error(error)
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Error::from(error).into()
    }
}

/// An invite that can be claimed, as of a transaction in which whoever made it stands
/// behind it.
struct Standing {
    scene: Scene,
    invite: Invite,
    /// The user, where it exists.
    user: Option<User>,
    /// The first token, to be.
    token: Option<NewToken>,
}

/// A first token's value, and the hash of it.
struct First {
    token_id: TokenId,
    value: TokenValue,
    secret_hash: SecretHash,
}

impl Authority {
    /// Claims the invite of a value. What is good for nothing is answered alike, whatever
    /// is the matter with it.
    pub async fn claim_invite(&self, call: OpenCall, value: &str) -> Result<Claimed, Error> {
        match self.try_claim(call, value).await {
            Ok(claimed) => {
                self.counters.claims.tick(Claim::Joined);
                Ok(claimed)
            }
            Err(Failure::Unclaimable(reason)) => {
                self.counters.claims.tick(Claim::Refused(reason));
                tracing::debug!(invite.flaw = reason.name(), "no invite was claimed");
                Err(Error::NotFound(Missing::Invite))
            }
            Err(Failure::Error(error)) => Err(error),
        }
    }

    async fn try_claim(&self, call: OpenCall, value: &str) -> Result<Claimed, Failure> {
        // Garbage, and tokens' values, neither reach the store nor take a place from
        // anybody.
        let value = presented(value).parse::<TokenValue>().ok();
        let value = value.filter(|value| value.prefix().is_invite());
        let value = value.ok_or(Unclaimable::Malformed)?;
        // Before anything is known of the value, so that this tells nothing of it.
        let Ok(_place) = self.claims.0.try_acquire() else {
            return Err(Error::RateLimited { retry_after: RETRY }.into());
        };
        let deadline = call.deadline;
        let invite = within(deadline, self.prove(&value)).await?;
        let claimed = self.claim(call, &invite).await;
        if let Err(Failure::Unclaimable(reason)) = &claimed {
            tracing::info!(
                invite.id = %invite.invite_id,
                tenant.id = %invite.tenant_id,
                invite.flaw = reason.name(),
                "an invite was presented that can't be claimed"
            );
        }
        claimed
    }

    /// Returns the invite whose value this is, in whatever state.
    async fn prove(&self, value: &TokenValue) -> Result<Invite, Failure> {
        let mut look = self.store.snapshot().await?;
        let found = look.find_invite_by_lookup(value.lookup()).await?;
        drop(look);
        let (invite, verifier) = found.ok_or(Unclaimable::Unknown)?;
        if self
            .verify_once(value, &verifier, &invite.tenant_id)
            .await?
        {
            Ok(invite)
        } else {
            Err(Unclaimable::WrongSecret.into())
        }
    }

    /// Claims an invite whose value was presented. All is judged twice: in a snapshot, so
    /// that a refusal costs neither a lock nor bcrypt, and under locks.
    async fn claim(&self, call: OpenCall, invite: &Invite) -> Result<Claimed, Failure> {
        let token_id = TokenId::mint(self.clock.now(), &*self.entropy).map_err(Error::from)?;
        let first = within(call.deadline, self.look_at(invite, token_id)).await?;
        let locked = within(call.deadline, self.lock_invite(invite)).await?;
        let standing = self.stand_behind(locked, invite, token_id).await?;
        self.join(standing, first, call).await
    }

    /// Judges an invite in a snapshot, and makes its first token's value.
    async fn look_at(&self, invite: &Invite, token_id: TokenId) -> Result<Option<First>, Failure> {
        let mut tx = self.store.snapshot().await?;
        let tenant = tx.find_tenant(&invite.tenant_id).await?;
        let look = self.stand_behind((tx, tenant), invite, token_id).await?;
        let Standing { scene, token, .. } = look;
        if token.is_none() {
            return Ok(None);
        }
        let prefix = scene.tenant.prefix.clone();
        drop(scene);
        let value = TokenValue::mint(prefix, &*self.entropy).map_err(Error::from)?;
        let hashing = self.hasher.hash(&invite.tenant_id, value.secret().expose());
        Ok(Some(First {
            token_id,
            secret_hash: hashing.await?,
            value,
        }))
    }

    /// Begins a claim, with all that decides over it locked, in the order in which
    /// everybody locks.
    async fn lock_invite(&self, invite: &Invite) -> Result<(Tx, Option<Tenant>), Failure> {
        let mut tx = self.store.begin().await?;
        let tenant = tx.lock_tenant(&invite.tenant_id).await?;
        let users = [Some(invite.user_id), invite.creator_id];
        let users: BTreeSet<UserId> = users.into_iter().flatten().collect();
        for user_id in users {
            tx.lock_user(user_id).await?;
        }
        if let Some(token_id) = invite.created_by {
            tx.lock_token(token_id).await?;
        }
        Ok((tx, tenant))
    }

    /// Judges an invite as if whoever made it asked for all of it now.
    async fn stand_behind(
        &self,
        (mut tx, tenant): (Tx, Option<Tenant>),
        invite: &Invite,
        token_id: TokenId,
    ) -> Result<Standing, Failure> {
        let now = self.clock.now();
        let tenant = tenant.ok_or(Unclaimable::TenantDeleted)?;
        let invite = tx.find_invite(&tenant.tenant_id, invite.invite_id).await?;
        let invite = invite.ok_or(Unclaimable::Unknown)?;
        if let Ok(reason) = Unclaimable::try_from(invite.state(now)) {
            return Err(reason.into());
        }
        // Before who made it is judged, whose own token a suspension ends for now.
        if tenant.suspended_at.is_some() {
            return Err(Unclaimable::TenantSuspended.into());
        }
        let lost = Unclaimable::CreatorLostRight;
        let caller = creator(&mut tx, &invite, now).await?.ok_or(lost)?;
        let reach = access::may(Rpc::CreateInvite, &caller, Some(&tenant.tenant_id));
        let mut scene = Scene {
            tx,
            tenant,
            caller,
            reach: reach.map_err(|_| lost)?,
            now,
            call: None,
            together: Together::default(),
        };
        let new_user = invite.new_user.as_ref();
        let fit = scene.check_invitee(invite.user_id, new_user).await;
        fit.map_err(|error| unfit(error, Unclaimable::UserGone))?;
        let user = match new_user {
            Some(_) => None,
            None => scene.tx.find_user(invite.user_id).await?,
        };
        let token = match &invite.first_token {
            None => None,
            Some(first) => {
                let whom = (invite.user_id, invite.role);
                let planned = scene.plan_first(&asked(first), whom, token_id).await;
                let refused = Unclaimable::FirstTokenRefused;
                Some(NewToken {
                    profile: first.profile.clone(),
                    ..planned.map_err(|error| unfit(error, refused))?
                })
            }
        };
        Ok(Standing {
            scene,
            invite,
            user,
            token,
        })
    }

    /// Makes the user a member, gives it its first token, and writes down all of it.
    async fn join(
        &self,
        standing: Standing,
        first: Option<First>,
        call: OpenCall,
    ) -> Result<Claimed, Failure> {
        let Standing {
            mut scene,
            invite,
            user,
            token,
        } = standing;
        let now = scene.now;
        let tenant_id = invite.tenant_id.clone();
        let mut act = Act::new(Rpc::ClaimInvite.name(), tenant_id.clone()).user(invite.user_id);
        let user = match (user, &invite.new_user) {
            (Some(user), _) => user,
            (None, Some(new_user)) => {
                let user = scene
                    .tx
                    .insert_user(&born(&invite, new_user, &scene))
                    .await?;
                let user = user.ok_or(Unclaimable::ExternalIdTaken)?;
                act = act.changed(None, Some(&user));
                user
            }
            (None, None) => return Err(Unclaimable::UserGone.into()),
        };
        let member = scene
            .tx
            .insert_membership(&tenant_id, user.user_id, invite.role, now);
        let member = member.await?.ok_or(Unclaimable::Member)?;
        act = act.changed(None, Some(&member));
        let mut changes = vec![Change::MemberChanged(tenant_id.clone(), user.user_id)];
        let mut given = None;
        if let (Some(token), Some(first)) = (&token, first) {
            let token_id = first.token_id;
            let value = first.value.under(scene.tenant.prefix.clone());
            let secret = self.new_secret(&value, first.secret_hash, now)?;
            scene.tx.insert_token(token, &secret).await?;
            let mut shown = scene.show(token_id).await?;
            // As in a creation: its number is stamped by the close.
            shown.token.revocation = None;
            act = act.token(token_id).changed(None, Some(&shown.token));
            changes.push(Change::TokenCreated(tenant_id, token_id));
            given = Some((shown, value));
        }
        let token_id = given.as_ref().map(|(shown, _)| shown.token.token_id);
        let marked = scene
            .tx
            .mark_invite_claimed(invite.invite_id, token_id, now);
        let marked = marked.await?.ok_or(Unclaimable::Claimed)?;
        act = act
            .changed(Some(&invite), Some(&marked))
            .with("invite.invite_id", invite.invite_id.to_string())
            .with("invite.created_by", scene.caller.by().token_id)
            .with("invite.creator_user_id", scene.caller.by().user_id);
        let origin = Origin {
            by: None,
            trace_id: call.trace_id,
            call_id: call.call_id,
        };
        scene.tx.append_act(&act, &origin, now).await?;
        let revision = scene.tx.close(&changes, &[], now).await;
        let revision = self.settled(revision).await?;
        Ok(Claimed {
            user,
            member,
            first: given,
            revision,
        })
    }
}

/// Returns whoever made an invite, as what it is now: its token, or for who had a session
/// its user's role. `None` for who is nobody any more.
async fn creator(
    tx: &mut Tx,
    invite: &Invite,
    now: Timestamp,
) -> Result<Option<Caller>, store::Error> {
    if let Some(token_id) = invite.created_by {
        let record = tx.find_record_by_token(token_id).await?;
        let alive =
            |record: &Record| record.dead(now).is_none() && record.token.kind != Kind::Webhook;
        let record = record.filter(alive);
        return Ok(record.as_ref().map(Caller::standing_by_token));
    }
    let Some(user_id) = invite.creator_id else {
        return Ok(None);
    };
    let user = tx.find_user(user_id).await?;
    if user.is_none_or(|user| user.suspended_at.is_some()) {
        return Ok(None);
    }
    let membership = tx.find_membership(&invite.tenant_id, user_id).await?;
    let standing = |membership: Membership| {
        Caller::standing_by_role(user_id, membership.tenant_id, membership.role)
    };
    Ok(membership.map(standing))
}

/// Waits no longer than the caller does: nothing is written yet.
async fn within<T>(
    deadline: Instant,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    // Apart: each statement is there for both databases, and that for several steps.
    let done = timeout_at(deadline, Box::pin(work)).await;
    done.map_err(|_| Failure::from(Error::DeadlineExceeded))?
}

/// Returns why an invite can't be claimed that could not be made now: for the reason that
/// the failure has, or `otherwise`. What says nothing of the invite stays a failure.
fn unfit(error: Error, otherwise: Unclaimable) -> Failure {
    let reason = match error {
        Error::Unavailable(_)
        | Error::Internal(_)
        | Error::DeadlineExceeded
        | Error::HashingBusy { .. }
        | Error::RateLimited { .. } => return error.into(),
        Error::FailedPrecondition(Obstacle::TenantSuspended) => Unclaimable::TenantSuspended,
        Error::FailedPrecondition(Obstacle::UserSuspended) => Unclaimable::UserSuspended,
        Error::AlreadyExists(Taken::Member) => Unclaimable::Member,
        Error::AlreadyExists(Taken::ExternalId) => Unclaimable::ExternalIdTaken,
        Error::InvalidArgument(_)
        | Error::Unauthenticated
        | Error::SessionRefused(_)
        | Error::IdentityRefused(_)
        | Error::PermissionDenied(_)
        | Error::NotFound(_)
        | Error::AlreadyExists(_)
        | Error::RequestDone(_)
        | Error::FailedPrecondition(_)
        | Error::EtagMismatch
        | Error::TokenLimit { .. }
        | Error::InviteLimit { .. } => otherwise,
    };
    reason.into()
}

/// Returns the user whom a claim creates.
fn born(invite: &Invite, new_user: &NewUser, scene: &Scene) -> User {
    User {
        user_id: invite.user_id,
        external_id: new_user.external_id.clone(),
        display_name: new_user.display_name.clone(),
        vouching_tenant_id: invite.tenant_id.clone(),
        vouching_trust: None,
        active_tenant_id: invite.tenant_id.clone(),
        version: Version(1),
        created_at: scene.now,
        updated_at: scene.now,
        suspended_at: None,
    }
}

/// Returns what whoever made the invite asks for. The profile's scopes of then are among
/// the scopes; what the profile has now is not asked for.
fn asked(first: &FirstToken) -> CreateToken {
    CreateToken {
        tenant_id: String::new(),
        user_id: String::new(),
        kind: first.kind,
        name: first.name.clone(),
        scopes: first.scopes.to_strings(),
        profile: String::new(),
        expiry: Some(first.ttl.map_or(Expiry::Default, Expiry::After)),
        agent_id: first.agent_id.clone(),
        labels: first.labels.clone(),
        violations: Violations::default(),
    }
}
