//! Invites and what verifies their values.

use super::backend::{execute, fetch_all, fetch_optional};
use super::page::{Page, Position};
use super::row::{CountRow, corrupt, optional_time, role, role_text, tenant_id, time};
use super::{Error, Tx};
use crate::domain::fingerprint::{Fingerprint, KeyId, SecretHash};
use crate::domain::ids::{InviteId, TenantId, TokenId, UserId};
use crate::domain::invite::{Invite, NewUser, State, Verifier};
use crate::domain::principal::User;
use crate::domain::time::Timestamp;
use crate::domain::value::Lookup;

/// The columns of an invite, in each statement that reads one.
macro_rules! invite_columns {
    () => {
        "invite_id, tenant_id, user_id, external_id, display_name, role, first_token, hint,
         created_by, creator_id, created_at, expires_at, claimed_at, token_id, revoked_at"
    };
}

const INSERT_INVITE: &str = "
    INSERT INTO invites (invite_id, tenant_id, user_id, external_id, display_name, role,
                         first_token, lookup, hint, secret_hash, fingerprint, fingerprint_key,
                         created_by, creator_id, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
    ON CONFLICT (lookup) DO NOTHING
    RETURNING invite_id";

const FIND_INVITE: &str = concat!(
    "SELECT ",
    invite_columns!(),
    " FROM invites
     WHERE tenant_id = $1 AND invite_id = $2"
);

const FIND_INVITE_BY_LOOKUP: &str = concat!(
    "SELECT ",
    invite_columns!(),
    ", secret_hash, fingerprint, fingerprint_key
      FROM invites
     WHERE lookup = $1"
);

const LIST_INVITES: &str = concat!(
    "SELECT ",
    invite_columns!(),
    " FROM invites
     WHERE tenant_id = $1
       AND (CAST($2 AS TEXT) IS NULL
            OR $2 = CASE WHEN claimed_at IS NOT NULL THEN 'claimed'
                         WHEN revoked_at IS NOT NULL THEN 'revoked'
                         WHEN expires_at <= $3 THEN 'expired'
                         ELSE 'open' END)
       AND (created_at, invite_id) < ($4, $5)
     ORDER BY created_at DESC, invite_id DESC
     LIMIT $6"
);

const COUNT_OPEN_INVITES: &str = "
    SELECT COUNT(*) AS count
      FROM invites
     WHERE tenant_id = $1 AND claimed_at IS NULL AND revoked_at IS NULL AND expires_at > $2";

const MARK_INVITE_CLAIMED: &str = concat!(
    "UPDATE invites
        SET claimed_at = $2, token_id = $3
      WHERE invite_id = $1 AND claimed_at IS NULL AND revoked_at IS NULL AND expires_at > $2
     RETURNING ",
    invite_columns!()
);

const MARK_INVITE_REVOKED: &str = concat!(
    "UPDATE invites
        SET revoked_at = $2
      WHERE invite_id = $1 AND claimed_at IS NULL AND revoked_at IS NULL
     RETURNING ",
    invite_columns!()
);

/// By a user's id, in one tenant or in each, and by what the tenant that vouches for it
/// calls it: an invite of a new user could make it anew.
const MARK_INVITES_OF_USER_REVOKED: &str = "
    UPDATE invites
       SET revoked_at = $5
     WHERE invite_id IN (SELECT i.invite_id
                           FROM invites i
                          WHERE i.user_id = $1
                            AND (CAST($2 AS TEXT) IS NULL OR i.tenant_id = $2)
                         UNION
                         SELECT i.invite_id
                           FROM invites i
                          WHERE i.tenant_id = $3 AND i.external_id = $4
                            AND (CAST($2 AS TEXT) IS NULL OR i.tenant_id = $2))
       AND claimed_at IS NULL AND revoked_at IS NULL";

const MARK_INVITES_OF_SESSIONS_REVOKED: &str = "
    UPDATE invites
       SET revoked_at = $2
     WHERE tenant_id = $1 AND created_by IS NULL
       AND claimed_at IS NULL AND revoked_at IS NULL";

pub(super) const STATEMENTS: &[(&str, &str)] = &[
    ("insert_invite", INSERT_INVITE),
    ("find_invite", FIND_INVITE),
    ("find_invite_by_lookup", FIND_INVITE_BY_LOOKUP),
    ("list_invites", LIST_INVITES),
    ("count_open_invites", COUNT_OPEN_INVITES),
    ("mark_invite_claimed", MARK_INVITE_CLAIMED),
    ("mark_invite_revoked", MARK_INVITE_REVOKED),
    ("mark_invites_of_user_revoked", MARK_INVITES_OF_USER_REVOKED),
    (
        "mark_invites_of_sessions_revoked",
        MARK_INVITES_OF_SESSIONS_REVOKED,
    ),
];

const TABLE: &str = "invites";

#[derive(sqlx::FromRow)]
struct InviteRow {
    invite_id: uuid::Uuid,
    tenant_id: String,
    user_id: uuid::Uuid,
    external_id: Option<String>,
    display_name: Option<String>,
    role: String,
    first_token: Option<String>,
    hint: String,
    created_by: Option<uuid::Uuid>,
    creator_id: Option<uuid::Uuid>,
    created_at: i64,
    expires_at: i64,
    claimed_at: Option<i64>,
    token_id: Option<uuid::Uuid>,
    revoked_at: Option<i64>,
}

impl TryFrom<InviteRow> for Invite {
    type Error = Error;

    fn try_from(row: InviteRow) -> Result<Self, Error> {
        let first_token = row.first_token.as_deref().map(serde_json::from_str);
        Ok(Self {
            invite_id: row.invite_id.into(),
            tenant_id: tenant_id(TABLE, "tenant_id", &row.tenant_id)?,
            hint: row.hint,
            role: role(TABLE, "role", &row.role)?,
            user_id: row.user_id.into(),
            new_user: row.external_id.map(|external_id| NewUser {
                external_id,
                display_name: row.display_name.unwrap_or_default(),
            }),
            first_token: first_token
                .transpose()
                .map_err(|_| corrupt(TABLE, "first_token"))?,
            created_by: row.created_by.map(TokenId::from),
            creator_id: row.creator_id.map(UserId::from),
            created_at: time(TABLE, "created_at", row.created_at)?,
            expires_at: time(TABLE, "expires_at", row.expires_at)?,
            claimed_at: optional_time(TABLE, "claimed_at", row.claimed_at)?,
            token_id: row.token_id.map(TokenId::from),
            revoked_at: optional_time(TABLE, "revoked_at", row.revoked_at)?,
        })
    }
}

#[derive(sqlx::FromRow)]
struct FoundRow {
    #[sqlx(flatten)]
    invite: InviteRow,
    secret_hash: String,
    fingerprint: Vec<u8>,
    fingerprint_key: String,
}

impl TryFrom<FoundRow> for (Invite, Verifier) {
    type Error = Error;

    fn try_from(row: FoundRow) -> Result<Self, Error> {
        let fingerprint: [u8; 32] = row
            .fingerprint
            .try_into()
            .map_err(|_| corrupt(TABLE, "fingerprint"))?;
        let verifier = Verifier {
            secret_hash: SecretHash::new(row.secret_hash),
            fingerprint: (KeyId(row.fingerprint_key), Fingerprint::from(fingerprint)),
        };
        Ok((row.invite.try_into()?, verifier))
    }
}

impl Tx {
    /// Returns the invite of a lookup, in whatever state, and what verifies its value.
    pub async fn find_invite_by_lookup(
        &mut self,
        lookup: &Lookup,
    ) -> Result<Option<(Invite, Verifier)>, Error> {
        let row = fetch_optional!(self.inner, FoundRow, FIND_INVITE_BY_LOOKUP, lookup.as_str())?;
        row.map(TryInto::try_into).transpose()
    }

    /// Inserts an invite and what verifies its value.
    pub async fn insert_invite(
        &mut self,
        invite: &Invite,
        lookup: &Lookup,
        verifier: &Verifier,
    ) -> Result<(), Error> {
        let new_user = invite.new_user.as_ref();
        let first_token = invite.first_token.as_ref().map(serde_json::to_string);
        let first_token = first_token
            .transpose()
            .map_err(|_| corrupt(TABLE, "first_token"))?;
        let (key, fingerprint) = &verifier.fingerprint;
        let inserted = execute!(
            self.inner,
            INSERT_INVITE,
            invite.invite_id.uuid(),
            invite.tenant_id.as_str(),
            invite.user_id.uuid(),
            new_user.map(|user| user.external_id.as_str()),
            new_user.map(|user| user.display_name.as_str()),
            role_text(invite.role),
            first_token.as_deref(),
            lookup.as_str(),
            invite.hint.as_str(),
            verifier.secret_hash.expose(),
            fingerprint.as_bytes().as_slice(),
            key.0.as_str(),
            invite.created_by.map(TokenId::uuid),
            invite.creator_id.map(UserId::uuid),
            invite.created_at.millis(),
            invite.expires_at.millis(),
        )?;
        // As for tokens: 71 random bits.
        if inserted == 1 {
            Ok(())
        } else {
            Err(Error::Conflict(None))
        }
    }

    /// Returns an invite of the tenant, in whatever state.
    pub async fn find_invite(
        &mut self,
        tenant_id: &TenantId,
        invite_id: InviteId,
    ) -> Result<Option<Invite>, Error> {
        let row = fetch_optional!(
            self.inner,
            InviteRow,
            FIND_INVITE,
            tenant_id.as_str(),
            invite_id.uuid()
        )?;
        row.map(Invite::try_from).transpose()
    }

    /// Lists a tenant's invites.
    pub async fn list_invites(
        &mut self,
        tenant_id: &TenantId,
        state: Option<State>,
        after: Option<Position<InviteId>>,
        size: u32,
        now: Timestamp,
    ) -> Result<Page<Invite, InviteId>, Error> {
        let after = after.unwrap_or(Position {
            created_at: Timestamp::MAX,
            id: uuid::Uuid::max().into(),
        });
        let rows = fetch_all!(
            self.inner,
            InviteRow,
            LIST_INVITES,
            tenant_id.as_str(),
            state.map(State::as_str),
            now.millis(),
            after.created_at.millis(),
            after.id.uuid(),
            i64::from(size) + 1,
        )?;
        let invites = rows
            .into_iter()
            .map(Invite::try_from)
            .collect::<Result<_, _>>()?;
        Ok(Page::cut(invites, size, |invite| Position {
            created_at: invite.created_at,
            id: invite.invite_id,
        }))
    }

    /// Counts a tenant's open invites.
    pub async fn count_open_invites(
        &mut self,
        tenant_id: &TenantId,
        now: Timestamp,
    ) -> Result<i64, Error> {
        let row = fetch_optional!(
            self.inner,
            CountRow,
            COUNT_OPEN_INVITES,
            tenant_id.as_str(),
            now.millis()
        )?;
        Ok(row.map_or(0, |row| row.count))
    }

    /// Marks an invite as claimed; `None` when it is not open.
    pub async fn mark_invite_claimed(
        &mut self,
        invite_id: InviteId,
        token_id: Option<TokenId>,
        now: Timestamp,
    ) -> Result<Option<Invite>, Error> {
        let row = fetch_optional!(
            self.inner,
            InviteRow,
            MARK_INVITE_CLAIMED,
            invite_id.uuid(),
            now.millis(),
            token_id.map(TokenId::uuid),
        )?;
        row.map(Invite::try_from).transpose()
    }

    /// Revokes an invite; `None` when it was claimed or revoked already.
    pub async fn mark_invite_revoked(
        &mut self,
        invite_id: InviteId,
        now: Timestamp,
    ) -> Result<Option<Invite>, Error> {
        let row = fetch_optional!(
            self.inner,
            InviteRow,
            MARK_INVITE_REVOKED,
            invite_id.uuid(),
            now.millis()
        )?;
        row.map(Invite::try_from).transpose()
    }

    /// Revokes what invites of a tenant were made in sessions; returns how many.
    pub async fn mark_invites_of_sessions_revoked(
        &mut self,
        tenant_id: &TenantId,
        now: Timestamp,
    ) -> Result<u64, Error> {
        Ok(execute!(
            self.inner,
            MARK_INVITES_OF_SESSIONS_REVOKED,
            tenant_id.as_str(),
            now.millis(),
        )?)
    }

    /// Revokes what invites of a user there are, to one tenant or to each; returns how
    /// many.
    pub async fn mark_invites_of_user_revoked(
        &mut self,
        user: &User,
        tenant_id: Option<&TenantId>,
        now: Timestamp,
    ) -> Result<u64, Error> {
        Ok(execute!(
            self.inner,
            MARK_INVITES_OF_USER_REVOKED,
            user.user_id.uuid(),
            tenant_id.map(TenantId::as_str),
            user.vouching_tenant_id.as_str(),
            user.external_id.as_str(),
            now.millis(),
        )?)
    }
}
