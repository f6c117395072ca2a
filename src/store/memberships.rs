//! Memberships: which user is what in which tenant.

use super::backend::{execute, fetch_all, fetch_optional};
use super::page::{Page, Position};
use super::row::{role, role_text, tenant_id, time};
use super::{Error, Tx};
use crate::domain::change::Version;
use crate::domain::ids::{TenantId, UserId};
use crate::domain::principal::{Membership, Role};
use crate::domain::time::Timestamp;

/// The columns of a membership, in each statement that reads one.
macro_rules! membership_columns {
    () => {
        "tenant_id, user_id, role, version, created_at, updated_at"
    };
}

/// A removed member's row is taken up again; a present member's is left alone.
const INSERT_MEMBERSHIP: &str = concat!(
    "INSERT INTO memberships (tenant_id, user_id, role, version, created_at, updated_at)
     VALUES ($1, $2, $3, 1, $4, $4)
     ON CONFLICT (tenant_id, user_id) DO UPDATE
        SET role = excluded.role, version = memberships.version + 1,
            created_at = excluded.created_at, updated_at = excluded.updated_at,
            removed_at = NULL
      WHERE memberships.removed_at IS NOT NULL
     RETURNING ",
    membership_columns!()
);

const FIND_MEMBERSHIP: &str = concat!(
    "SELECT ",
    membership_columns!(),
    " FROM memberships
     WHERE tenant_id = $1 AND user_id = $2 AND removed_at IS NULL"
);

const FIND_REMOVED_MEMBERSHIP: &str = "
    SELECT user_id
      FROM memberships
     WHERE tenant_id = $1 AND user_id = $2 AND removed_at IS NOT NULL";

const LIST_MEMBERS: &str = "
    SELECT m.tenant_id, m.user_id, m.role, m.version, m.created_at, m.updated_at
      FROM memberships m
      JOIN users u ON u.user_id = m.user_id
     WHERE m.tenant_id = $1 AND m.removed_at IS NULL AND u.deleted_at IS NULL
       AND (m.created_at, m.user_id) < ($2, $3)
     ORDER BY m.created_at DESC, m.user_id DESC
     LIMIT $4";

const LIST_MEMBERSHIPS_BY_USER: &str = "
    SELECT m.tenant_id, m.user_id, m.role, m.version, m.created_at, m.updated_at
      FROM memberships m
      JOIN tenants n ON n.tenant_id = m.tenant_id
     WHERE m.user_id = $1 AND m.removed_at IS NULL AND n.deleted_at IS NULL
     ORDER BY m.created_at DESC, m.tenant_id
     LIMIT $2";

const MARK_MEMBERSHIP_CHANGED: &str = concat!(
    "UPDATE memberships
        SET role = $4, version = version + 1, updated_at = $5
      WHERE tenant_id = $1 AND user_id = $2 AND version = $3 AND removed_at IS NULL
     RETURNING ",
    membership_columns!()
);

const MARK_MEMBERSHIP_REMOVED: &str = "
    UPDATE memberships
       SET removed_at = $3, version = version + 1, updated_at = $3
     WHERE tenant_id = $1 AND user_id = $2 AND removed_at IS NULL
    RETURNING tenant_id";

pub(super) const STATEMENTS: &[(&str, &str)] = &[
    ("insert_membership", INSERT_MEMBERSHIP),
    ("find_membership", FIND_MEMBERSHIP),
    ("find_removed_membership", FIND_REMOVED_MEMBERSHIP),
    ("list_members", LIST_MEMBERS),
    ("list_memberships_by_user", LIST_MEMBERSHIPS_BY_USER),
    ("mark_membership_changed", MARK_MEMBERSHIP_CHANGED),
    ("mark_membership_removed", MARK_MEMBERSHIP_REMOVED),
];

#[derive(sqlx::FromRow)]
struct MembershipRow {
    tenant_id: String,
    user_id: uuid::Uuid,
    role: String,
    version: i64,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<MembershipRow> for Membership {
    type Error = Error;

    fn try_from(row: MembershipRow) -> Result<Self, Error> {
        const TABLE: &str = "memberships";
        Ok(Self {
            tenant_id: tenant_id(TABLE, "tenant_id", &row.tenant_id)?,
            user_id: row.user_id.into(),
            role: role(TABLE, "role", &row.role)?,
            version: Version(row.version),
            created_at: time(TABLE, "created_at", row.created_at)?,
            updated_at: time(TABLE, "updated_at", row.updated_at)?,
        })
    }
}

impl Tx {
    /// Makes a user a member; `None` when it is one.
    pub async fn insert_membership(
        &mut self,
        tenant_id: &TenantId,
        user_id: UserId,
        role: Role,
        now: Timestamp,
    ) -> Result<Option<Membership>, Error> {
        let row = fetch_optional!(
            self.inner,
            MembershipRow,
            INSERT_MEMBERSHIP,
            tenant_id.as_str(),
            user_id.uuid(),
            role_text(role),
            now.millis(),
        )?;
        row.map(Membership::try_from).transpose()
    }

    /// Returns a user's present membership of a tenant.
    pub async fn find_membership(
        &mut self,
        tenant_id: &TenantId,
        user_id: UserId,
    ) -> Result<Option<Membership>, Error> {
        let row = fetch_optional!(
            self.inner,
            MembershipRow,
            FIND_MEMBERSHIP,
            tenant_id.as_str(),
            user_id.uuid()
        )?;
        row.map(Membership::try_from).transpose()
    }

    /// Returns whether a user was removed from a tenant.
    pub async fn was_member(
        &mut self,
        tenant_id: &TenantId,
        user_id: UserId,
    ) -> Result<bool, Error> {
        let row = fetch_optional!(
            self.inner,
            (uuid::Uuid,),
            FIND_REMOVED_MEMBERSHIP,
            tenant_id.as_str(),
            user_id.uuid()
        )?;
        Ok(row.is_some())
    }

    /// Lists a tenant's members.
    pub async fn list_members(
        &mut self,
        tenant_id: &TenantId,
        after: Option<Position<UserId>>,
        size: u32,
    ) -> Result<Page<Membership, UserId>, Error> {
        let after = after.unwrap_or(Position {
            created_at: Timestamp::MAX,
            id: uuid::Uuid::max().into(),
        });
        let rows = fetch_all!(
            self.inner,
            MembershipRow,
            LIST_MEMBERS,
            tenant_id.as_str(),
            after.created_at.millis(),
            after.id.uuid(),
            i64::from(size) + 1,
        )?;
        let members = rows
            .into_iter()
            .map(Membership::try_from)
            .collect::<Result<_, _>>()?;
        Ok(Page::cut(members, size, |member| Position {
            created_at: member.created_at,
            id: member.user_id,
        }))
    }

    /// Lists a user's memberships of tenants that are not deleted.
    pub async fn list_memberships_by_user(
        &mut self,
        user_id: UserId,
        most: u32,
    ) -> Result<Vec<Membership>, Error> {
        let rows = fetch_all!(
            self.inner,
            MembershipRow,
            LIST_MEMBERSHIPS_BY_USER,
            user_id.uuid(),
            i64::from(most),
        )?;
        rows.into_iter().map(Membership::try_from).collect()
    }

    /// Changes a member's role, if its version is still this.
    pub async fn mark_membership_changed(
        &mut self,
        membership: &Membership,
        role: Role,
        now: Timestamp,
    ) -> Result<Option<Membership>, Error> {
        let row = fetch_optional!(
            self.inner,
            MembershipRow,
            MARK_MEMBERSHIP_CHANGED,
            membership.tenant_id.as_str(),
            membership.user_id.uuid(),
            membership.version.0,
            role_text(role),
            now.millis(),
        )?;
        row.map(Membership::try_from).transpose()
    }

    /// Ends a membership; false when there is none.
    pub async fn mark_membership_removed(
        &mut self,
        tenant_id: &TenantId,
        user_id: UserId,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let done = execute!(
            self.inner,
            MARK_MEMBERSHIP_REMOVED,
            tenant_id.as_str(),
            user_id.uuid(),
            now.millis(),
        )?;
        Ok(done == 1)
    }
}
