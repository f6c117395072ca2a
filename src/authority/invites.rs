//! Invites: making, listing and revoking them. Claiming one is another matter.

use std::time::Duration;

use super::access::Rpc;
use super::create::CreateToken;
use super::scene::{Deed, Scene};
use super::users::parse_user_id;
use super::{Authority, Call, Error, named_tenant};
use crate::domain::bounds;
use crate::domain::change::Revision;
use crate::domain::ids::{InviteId, TokenId, UserId};
use crate::domain::invite::{FirstToken, Invite, NewUser, State, Verifier};
use crate::domain::policy::Expiry;
use crate::domain::principal::Role;
use crate::domain::reason::{Field, Missing, Obstacle, Taken, Violations};
use crate::domain::text;
use crate::domain::time::Timestamp;
use crate::domain::value::{Prefix, TokenValue};
use crate::store::{NewToken, Page, Position};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct CreateInvite {
    /// The tenant, or `active`.
    pub tenant_id: String,
    /// Who is to join.
    pub invitee: Option<Invitee>,
    /// What the user is to be in the tenant.
    pub role: Role,
    /// How long it can be claimed.
    pub ttl: Option<Duration>,
    /// The token that the claim is to create; it names neither a tenant nor a user.
    pub first_token: Option<CreateToken>,
    /// What was wrong already on the wire.
    pub violations: Violations,
}

/// Who is to join.
#[derive(Clone, Debug)]
pub enum Invitee {
    /// A user, by its id.
    User(String),
    /// One who does not exist yet.
    New {
        /// What the tenant calls it.
        external_id: String,
        /// What people call it.
        display_name: String,
    },
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct ListInvites {
    /// The tenant, or `active`.
    pub tenant_id: String,
    /// How many at most.
    pub page_size: u32,
    /// Where to go on.
    pub after: Option<Position<InviteId>>,
    /// Only those in this state.
    pub state: Option<State>,
    /// What was wrong already on the wire.
    pub violations: Violations,
}

/// An invite, and when it was as it is shown.
pub type ShownInvite = (Invite, Timestamp);

/// An invite that was made.
#[derive(Debug)]
pub struct Created {
    /// The record.
    pub invite: ShownInvite,
    /// Its value, for who is invited.
    pub value: TokenValue,
}

/// The ids that an invite is made with.
#[derive(Clone, Copy, Debug)]
struct Ids {
    invite: InviteId,
    /// A new user's.
    new_user: UserId,
    /// Of a first token, to judge it by; the claim mints another.
    first_token: TokenId,
}

impl Authority {
    /// Makes an invite. As in the creation of a token all is judged twice: in a snapshot,
    /// so that a refusal costs no bcrypt, and under locks.
    pub async fn create_invite(&self, call: Call, command: CreateInvite) -> Result<Created, Error> {
        let tenant_id = named_tenant(&call.caller, &command.tenant_id)?;
        let mut look = self.look(&call, Rpc::CreateInvite, &tenant_id).await?;
        let entropy = &*self.entropy;
        let ids = Ids {
            invite: InviteId::mint(look.now, entropy)?,
            new_user: UserId::mint(look.now, entropy)?,
            first_token: TokenId::mint(look.now, entropy)?,
        };
        look.plan_invite(&command, ids).await?;
        drop(look);
        let value = TokenValue::mint(Prefix::invite(), entropy)?;
        let hashing = self.hasher.hash(&tenant_id, value.secret().expose());
        let secret_hash = tokio::time::timeout_at(call.deadline, hashing)
            .await
            .map_err(|_| Error::DeadlineExceeded)??;

        let named = match &command.invitee {
            Some(Invitee::User(text)) => parse_user_id(text).ok(),
            Some(Invitee::New { .. }) | None => None,
        };
        let mut scene = self
            .begin(&call, Rpc::CreateInvite, &tenant_id, named.as_slice())
            .await?;
        // It may have changed meanwhile; from here on it can't.
        let invite = Invite {
            hint: value.hint(),
            ..scene.plan_invite(&command, ids).await?
        };
        let verifier = Verifier {
            secret_hash,
            fingerprint: self.fingerprint(&value),
        };
        let lookup = value.lookup();
        scene.tx.insert_invite(&invite, lookup, &verifier).await?;
        let act = scene.act().user(invite.user_id);
        let deed = Deed::of(act.changed(None, Some(&invite)));
        let now = scene.now;
        self.close_inviting(scene, deed, ids.invite).await?;
        Ok(Created {
            invite: (invite, now),
            value,
        })
    }

    /// Lists a tenant's invites, and says as of when.
    pub async fn list_invites(
        &self,
        call: Call,
        command: ListInvites,
    ) -> Result<(Page<Invite, InviteId>, Timestamp), Error> {
        let tenant_id = named_tenant(&call.caller, &command.tenant_id)?;
        let mut scene = self.look(&call, Rpc::ListInvites, &tenant_id).await?;
        if !command.violations.is_empty() {
            return Err(command.violations.into());
        }
        let ListInvites {
            state,
            after,
            page_size,
            ..
        } = command;
        let now = scene.now;
        let invites = scene
            .tx
            .list_invites(&tenant_id, state, after, page_size, now);
        Ok((invites.await?, now))
    }

    /// Revokes an invite. One that is revoked stays as it is, which is no error.
    pub async fn revoke_invite(
        &self,
        call: Call,
        tenant_id: &str,
        invite_id: &str,
    ) -> Result<(ShownInvite, Revision), Error> {
        let tenant_id = named_tenant(&call.caller, tenant_id)?;
        let invite_id = parse_invite_id(invite_id);
        let invite_id = invite_id.map_err(|reason| Error::field("invite_id", reason))?;
        let mut scene = self
            .begin(&call, Rpc::RevokeInvite, &tenant_id, &[])
            .await?;
        let invite = scene.tx.find_invite(&tenant_id, invite_id).await?;
        let invite = invite.ok_or(Error::NotFound(Missing::Invite))?;
        if invite.claimed_at.is_some() {
            return Err(Error::FailedPrecondition(Obstacle::InviteClaimed));
        }
        let now = scene.now;
        let marked = scene.tx.mark_invite_revoked(invite_id, now).await?;
        let deed = marked.as_ref().map_or_else(Deed::default, |marked| {
            let act = scene.act().user(invite.user_id);
            let act = act.with("invite.invite_id", invite_id.to_string());
            Deed::of(act.changed(Some(&invite), Some(marked)))
        });
        let shown = (marked.unwrap_or(invite), now);
        let revision = self.close_scene(scene, deed, &shown).await?;
        Ok((shown, revision))
    }
}

impl Scene {
    /// Judges what is asked for, and returns the invite to be, without its value's hint.
    async fn plan_invite(&mut self, command: &CreateInvite, ids: Ids) -> Result<Invite, Error> {
        self.forbid_reserved()?;
        // The claim is judged by what the maker may do then.
        if self.caller.identity().is_some() {
            return Err(Error::FailedPrecondition(Obstacle::NoInviter));
        }
        let mut violations = command.violations.clone();
        let (user_id, new_user) = invitee(command.invitee.as_ref(), ids, &mut violations);
        let ttl = command.ttl.unwrap_or(bounds::INVITE_TTL_DEFAULT);
        if !(bounds::TTL_MIN..=bounds::INVITE_TTL_MAX).contains(&ttl) {
            violations.add("ttl", Field::OutOfRange);
        }
        let first_token = match &command.first_token {
            None => None,
            Some(asked) => {
                let whom = (user_id, command.role);
                match self.plan_first(asked, whom, ids.first_token).await {
                    Ok(planned) => Some(first_token(planned, asked)),
                    Err(Error::InvalidArgument(inner)) => {
                        violations.add_within("first_token", inner);
                        None
                    }
                    Err(error) if violations.is_empty() => return Err(error),
                    Err(_) => None,
                }
            }
        };
        if !violations.is_empty() {
            return Err(violations.into());
        }
        self.check_invitee(user_id, new_user.as_ref()).await?;
        let tenant_id = &self.tenant.tenant_id;
        let open = self.tx.count_open_invites(tenant_id, self.now).await?;
        let most = bounds::OPEN_INVITES;
        if open >= i64::from(most) {
            return Err(Error::InviteLimit { most });
        }
        Ok(Invite {
            invite_id: ids.invite,
            tenant_id: tenant_id.clone(),
            hint: String::new(),
            role: command.role,
            user_id,
            new_user,
            first_token,
            created_by: self.caller.token_id(),
            creator_id: self.caller.user_id,
            created_at: self.now,
            expires_at: self.now.saturating_add(ttl),
            claimed_at: None,
            token_id: None,
            revoked_at: None,
        })
    }

    /// Refuses an invite of somebody who could not join now.
    pub(super) async fn check_invitee(
        &mut self,
        user_id: UserId,
        new_user: Option<&NewUser>,
    ) -> Result<(), Error> {
        if self.tenant.suspended_at.is_some() {
            return Err(Error::FailedPrecondition(Obstacle::TenantSuspended));
        }
        let tenant_id = self.tenant.tenant_id.clone();
        if let Some(NewUser { external_id, .. }) = new_user {
            let taken = self
                .tx
                .find_user_by_external_id(&tenant_id, None, external_id);
            return match taken.await? {
                Some(_) => Err(Error::AlreadyExists(Taken::ExternalId)),
                None => Ok(()),
            };
        }
        let user = self.joinable(user_id).await?;
        if user.suspended_at.is_some() {
            return Err(Error::FailedPrecondition(Obstacle::UserSuspended));
        }
        match self.tx.find_membership(&tenant_id, user_id).await? {
            Some(_) => Err(Error::AlreadyExists(Taken::Member)),
            None => Ok(()),
        }
    }
}

/// Returns who is to join, as far as nothing is wrong with it.
fn invitee(
    asked: Option<&Invitee>,
    ids: Ids,
    violations: &mut Violations,
) -> (UserId, Option<NewUser>) {
    match asked {
        None => {
            violations.add("invitee", Field::Required);
            (ids.new_user, None)
        }
        Some(Invitee::User(text)) => {
            let user_id = violations.check("user_id", parse_user_id(text));
            (user_id.unwrap_or(ids.new_user), None)
        }
        Some(Invitee::New {
            external_id,
            display_name,
        }) => {
            let external_id = text::required_line(external_id, bounds::EXTERNAL_ID_CHARS);
            let external_id = violations.check("new_user.external_id", external_id);
            let display_name = text::line(display_name, bounds::NAME_CHARS);
            let display_name = violations.check("new_user.display_name", display_name);
            let new_user = NewUser {
                external_id: external_id.unwrap_or_default(),
                display_name: display_name.unwrap_or_default(),
            };
            (ids.new_user, Some(new_user))
        }
    }
}

/// Returns what an invite keeps of the token that its claim creates.
fn first_token(planned: NewToken, asked: &CreateToken) -> FirstToken {
    FirstToken {
        kind: planned.kind,
        name: planned.name,
        scopes: planned.scopes,
        profile: planned.profile,
        ttl: match asked.expiry {
            Some(Expiry::After(ttl)) => Some(ttl),
            Some(Expiry::Default | Expiry::Never | Expiry::At(_)) | None => None,
        },
        agent_id: planned.agent_id,
        labels: planned.labels,
    }
}

/// Parses an invite's id.
fn parse_invite_id(text: &str) -> Result<InviteId, Field> {
    if text.is_empty() {
        return Err(Field::Required);
    }
    text.parse().map_err(|_| Field::InvalidInviteId)
}
