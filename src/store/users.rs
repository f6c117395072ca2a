//! Users.

use super::backend::{fetch_all, fetch_optional};
use super::page::{Page, Position};
use super::row::{corrupt, optional_time, tenant_id, time};
use super::{Error, Tx};
use crate::domain::change::Version;
use crate::domain::ids::{TenantId, UserId};
use crate::domain::principal::User;
use crate::domain::session::TrustName;
use crate::domain::time::Timestamp;

/// The columns of a user, in each statement that reads one.
macro_rules! user_columns {
    () => {
        "user_id, external_id, display_name, vouching_tenant_id, vouching_trust,
         active_tenant_id, version, created_at, updated_at, suspended_at"
    };
}

const INSERT_USER: &str = concat!(
    "INSERT INTO users (",
    user_columns!(),
    ")
     VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $7, NULL)
     ON CONFLICT DO NOTHING
     RETURNING ",
    user_columns!()
);

const FIND_USER: &str = concat!(
    "SELECT ",
    user_columns!(),
    " FROM users
     WHERE user_id = $1 AND deleted_at IS NULL"
);

const LOCK_USER: &str = concat!(
    "UPDATE users
        SET updated_at = updated_at
      WHERE user_id = $1 AND deleted_at IS NULL
     RETURNING ",
    user_columns!()
);

const FIND_USER_BY_EXTERNAL_ID: &str = concat!(
    "SELECT ",
    user_columns!(),
    " FROM users
     WHERE vouching_tenant_id = $1 AND vouching_trust IS NOT DISTINCT FROM $2
       AND external_id = $3 AND deleted_at IS NULL"
);

const FIND_DELETED_USER: &str = "
    SELECT user_id
      FROM users
     WHERE vouching_tenant_id = $1 AND vouching_trust IS NOT DISTINCT FROM $2
       AND external_id = $3 AND deleted_at IS NOT NULL
     LIMIT 1";

const LIST_USERS: &str = concat!(
    "SELECT ",
    user_columns!(),
    " FROM users
     WHERE deleted_at IS NULL
       AND (vouching_tenant_id = $1
            OR user_id IN (SELECT m.user_id
                             FROM memberships m
                            WHERE m.tenant_id = $1 AND m.removed_at IS NULL))
       AND (CAST($2 AS TEXT) IS NULL OR external_id = $2)
       AND (created_at, user_id) < ($3, $4)
     ORDER BY created_at DESC, user_id DESC
     LIMIT $5"
);

const MARK_USER_CHANGED: &str = concat!(
    "UPDATE users
        SET external_id = $3, display_name = $4, active_tenant_id = $5,
            version = version + 1, updated_at = $6
      WHERE user_id = $1 AND version = $2 AND deleted_at IS NULL
     RETURNING ",
    user_columns!()
);

const MARK_USER_SUSPENDED: &str = concat!(
    "UPDATE users
        SET suspended_at = $2, version = version + 1, updated_at = $2
      WHERE user_id = $1 AND suspended_at IS NULL AND deleted_at IS NULL
     RETURNING ",
    user_columns!()
);

const MARK_USER_RESUMED: &str = concat!(
    "UPDATE users
        SET suspended_at = NULL, version = version + 1, updated_at = $2
      WHERE user_id = $1 AND suspended_at IS NOT NULL AND deleted_at IS NULL
     RETURNING ",
    user_columns!()
);

const MARK_USER_DELETED: &str = concat!(
    "UPDATE users
        SET deleted_at = $3, version = version + 1, updated_at = $3
      WHERE user_id = $1 AND version = $2 AND deleted_at IS NULL
     RETURNING ",
    user_columns!()
);

pub(super) const STATEMENTS: &[(&str, &str)] = &[
    ("insert_user", INSERT_USER),
    ("find_user", FIND_USER),
    ("lock_user", LOCK_USER),
    ("find_user_by_external_id", FIND_USER_BY_EXTERNAL_ID),
    ("find_deleted_user", FIND_DELETED_USER),
    ("list_users", LIST_USERS),
    ("mark_user_changed", MARK_USER_CHANGED),
    ("mark_user_suspended", MARK_USER_SUSPENDED),
    ("mark_user_resumed", MARK_USER_RESUMED),
    ("mark_user_deleted", MARK_USER_DELETED),
];

/// What is listed of users.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// Only those whom the voucher calls this.
    pub external_id: Option<String>,
}

#[derive(sqlx::FromRow)]
struct UserRow {
    user_id: uuid::Uuid,
    external_id: String,
    display_name: String,
    vouching_tenant_id: String,
    vouching_trust: Option<String>,
    active_tenant_id: String,
    version: i64,
    created_at: i64,
    updated_at: i64,
    suspended_at: Option<i64>,
}

impl TryFrom<UserRow> for User {
    type Error = Error;

    fn try_from(row: UserRow) -> Result<Self, Error> {
        const TABLE: &str = "users";
        Ok(Self {
            user_id: row.user_id.into(),
            external_id: row.external_id,
            display_name: row.display_name,
            vouching_tenant_id: tenant_id(TABLE, "vouching_tenant_id", &row.vouching_tenant_id)?,
            vouching_trust: row
                .vouching_trust
                .map(TrustName::try_from)
                .transpose()
                .map_err(|_| corrupt(TABLE, "vouching_trust"))?,
            active_tenant_id: tenant_id(TABLE, "active_tenant_id", &row.active_tenant_id)?,
            version: Version(row.version),
            created_at: time(TABLE, "created_at", row.created_at)?,
            updated_at: time(TABLE, "updated_at", row.updated_at)?,
            suspended_at: optional_time(TABLE, "suspended_at", row.suspended_at)?,
        })
    }
}

impl Tx {
    /// Inserts a user; `None` when the voucher has one of this external id.
    pub async fn insert_user(&mut self, user: &User) -> Result<Option<User>, Error> {
        let row = fetch_optional!(
            self.inner,
            UserRow,
            INSERT_USER,
            user.user_id.uuid(),
            user.external_id.as_str(),
            user.display_name.as_str(),
            user.vouching_tenant_id.as_str(),
            user.vouching_trust.as_ref().map(TrustName::as_str),
            user.active_tenant_id.as_str(),
            user.created_at.millis(),
        )?;
        row.map(User::try_from).transpose()
    }

    /// Returns a user that is not deleted.
    pub async fn find_user(&mut self, user_id: UserId) -> Result<Option<User>, Error> {
        let row = fetch_optional!(self.inner, UserRow, FIND_USER, user_id.uuid())?;
        row.map(User::try_from).transpose()
    }

    /// Returns a user that is not deleted, locked until the transaction's end.
    pub async fn lock_user(&mut self, user_id: UserId) -> Result<Option<User>, Error> {
        let row = fetch_optional!(self.inner, UserRow, LOCK_USER, user_id.uuid())?;
        row.map(User::try_from).transpose()
    }

    /// Returns the user whom the voucher calls this: a tenant, or a trust of the reserved
    /// one.
    pub async fn find_user_by_external_id(
        &mut self,
        vouching_tenant_id: &TenantId,
        vouching_trust: Option<&TrustName>,
        external_id: &str,
    ) -> Result<Option<User>, Error> {
        let row = fetch_optional!(
            self.inner,
            UserRow,
            FIND_USER_BY_EXTERNAL_ID,
            vouching_tenant_id.as_str(),
            vouching_trust.map(TrustName::as_str),
            external_id,
        )?;
        row.map(User::try_from).transpose()
    }

    /// Returns whether the voucher called a user this who is deleted.
    pub async fn was_user_of_external_id(
        &mut self,
        vouching_tenant_id: &TenantId,
        vouching_trust: Option<&TrustName>,
        external_id: &str,
    ) -> Result<bool, Error> {
        let row = fetch_optional!(
            self.inner,
            (uuid::Uuid,),
            FIND_DELETED_USER,
            vouching_tenant_id.as_str(),
            vouching_trust.map(TrustName::as_str),
            external_id,
        )?;
        Ok(row.is_some())
    }

    /// Lists the users that are members of the tenant or whom it vouches for.
    pub async fn list_users(
        &mut self,
        tenant_id: &TenantId,
        listed: &Listed,
        after: Option<Position<UserId>>,
        size: u32,
    ) -> Result<Page<User, UserId>, Error> {
        let after = after.unwrap_or(Position {
            created_at: Timestamp::MAX,
            id: uuid::Uuid::max().into(),
        });
        let rows = fetch_all!(
            self.inner,
            UserRow,
            LIST_USERS,
            tenant_id.as_str(),
            listed.external_id.as_deref(),
            after.created_at.millis(),
            after.id.uuid(),
            i64::from(size) + 1,
        )?;
        let users = rows
            .into_iter()
            .map(User::try_from)
            .collect::<Result<_, _>>()?;
        Ok(Page::cut(users, size, |user| Position {
            created_at: user.created_at,
            id: user.user_id,
        }))
    }

    /// Writes what may be changed of a user, if its version is still `user`'s.
    pub async fn mark_user_changed(
        &mut self,
        user: &User,
        now: Timestamp,
    ) -> Result<Option<User>, Error> {
        let row = fetch_optional!(
            self.inner,
            UserRow,
            MARK_USER_CHANGED,
            user.user_id.uuid(),
            user.version.0,
            user.external_id.as_str(),
            user.display_name.as_str(),
            user.active_tenant_id.as_str(),
            now.millis(),
        )?;
        row.map(User::try_from).transpose()
    }

    /// Suspends a user; `None` when it is suspended already.
    pub async fn mark_user_suspended(
        &mut self,
        user_id: UserId,
        now: Timestamp,
    ) -> Result<Option<User>, Error> {
        let row = fetch_optional!(
            self.inner,
            UserRow,
            MARK_USER_SUSPENDED,
            user_id.uuid(),
            now.millis()
        )?;
        row.map(User::try_from).transpose()
    }

    /// Resumes a user; `None` when it is not suspended.
    pub async fn mark_user_resumed(
        &mut self,
        user_id: UserId,
        now: Timestamp,
    ) -> Result<Option<User>, Error> {
        let row = fetch_optional!(
            self.inner,
            UserRow,
            MARK_USER_RESUMED,
            user_id.uuid(),
            now.millis()
        )?;
        row.map(User::try_from).transpose()
    }

    /// Deletes a user for good; `None` when the version is another by now.
    pub async fn mark_user_deleted(
        &mut self,
        user_id: UserId,
        version: Version,
        now: Timestamp,
    ) -> Result<Option<User>, Error> {
        let row = fetch_optional!(
            self.inner,
            UserRow,
            MARK_USER_DELETED,
            user_id.uuid(),
            version.0,
            now.millis()
        )?;
        row.map(User::try_from).transpose()
    }
}
