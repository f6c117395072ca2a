//! Tenants and their policies.

use super::backend::{execute, fetch_all, fetch_optional};
use super::page::{Page, Position};
use super::row::{corrupt, millis, optional_duration, optional_time, tenant_id, time};
use super::{Error, Tx};
use crate::domain::change::Version;
use crate::domain::ids::TenantId;
use crate::domain::policy::{Management, Policy};
use crate::domain::principal::Tenant;
use crate::domain::time::Timestamp;
use crate::domain::trust::Sessions;
use crate::domain::value::Prefix;

/// The columns of a tenant, in each statement that reads one.
macro_rules! tenant_columns {
    () => {
        "tenant_id, display_name, prefix, management, expiry_required, default_ttl_ms,
         max_ttl_ms, max_tokens_per_user, unique_names, tokens_may_not_mint,
         admins_act_for_admins, max_grace_ms, self_rotation, retention_ms, sessions, version,
         created_at, updated_at, suspended_at, deleted_at"
    };
}

const INSERT_TENANT: &str = concat!(
    "INSERT INTO tenants (",
    tenant_columns!(),
    ", session_issuer)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 1, $16, $16,
             NULL, NULL, $17)
     ON CONFLICT DO NOTHING
     RETURNING tenant_id"
);

const FIND_TENANT: &str = concat!(
    "SELECT ",
    tenant_columns!(),
    " FROM tenants
     WHERE tenant_id = $1 AND deleted_at IS NULL"
);

/// Deleted ones, too.
const FIND_TENANT_ID: &str = "
    SELECT tenant_id
      FROM tenants
     WHERE tenant_id = $1";

/// Takes the row's lock and leaves the row as it is.
const LOCK_TENANT: &str = concat!(
    "UPDATE tenants
        SET updated_at = updated_at
      WHERE tenant_id = $1 AND deleted_at IS NULL
     RETURNING ",
    tenant_columns!()
);

const FIND_TENANT_BY_OVERLAPPING_PREFIX: &str = "
    SELECT tenant_id
      FROM tenants
     WHERE tenant_id <> $2
       AND (substr(prefix, 1, length($1)) = $1 OR substr($1, 1, length(prefix)) = prefix)
     LIMIT 1";

const LIST_TENANTS: &str = concat!(
    "SELECT ",
    tenant_columns!(),
    " FROM tenants
     WHERE deleted_at IS NULL AND (created_at, tenant_id) < ($1, $2)
     ORDER BY created_at DESC, tenant_id DESC
     LIMIT $3"
);

const LIST_TENANTS_BY_ISSUER: &str = concat!(
    "SELECT ",
    tenant_columns!(),
    " FROM tenants
     WHERE session_issuer = $1 AND deleted_at IS NULL
     ORDER BY tenant_id
     LIMIT $2"
);

const MARK_TENANT_CHANGED: &str = concat!(
    "UPDATE tenants
        SET display_name = $3, prefix = $4, management = $5, expiry_required = $6,
            default_ttl_ms = $7, max_ttl_ms = $8, max_tokens_per_user = $9, unique_names = $10,
            tokens_may_not_mint = $11, admins_act_for_admins = $12,
            max_grace_ms = $13, self_rotation = $14, retention_ms = $15, sessions = $16,
            session_issuer = $17, version = version + 1, updated_at = $18
      WHERE tenant_id = $1 AND version = $2 AND deleted_at IS NULL
     RETURNING ",
    tenant_columns!()
);

const MARK_TENANT_SUSPENDED: &str = concat!(
    "UPDATE tenants
        SET suspended_at = $2, version = version + 1, updated_at = $2
      WHERE tenant_id = $1 AND suspended_at IS NULL AND deleted_at IS NULL
     RETURNING ",
    tenant_columns!()
);

const MARK_TENANT_RESUMED: &str = concat!(
    "UPDATE tenants
        SET suspended_at = NULL, version = version + 1, updated_at = $2
      WHERE tenant_id = $1 AND suspended_at IS NOT NULL AND deleted_at IS NULL
     RETURNING ",
    tenant_columns!()
);

const MARK_TENANT_DELETED: &str = "
    UPDATE tenants
       SET deleted_at = $3, version = version + 1, updated_at = $3
     WHERE tenant_id = $1 AND version = $2 AND deleted_at IS NULL
    RETURNING tenant_id";

pub(super) const STATEMENTS: &[(&str, &str)] = &[
    ("insert_tenant", INSERT_TENANT),
    ("find_tenant", FIND_TENANT),
    ("find_tenant_id", FIND_TENANT_ID),
    ("lock_tenant", LOCK_TENANT),
    (
        "find_tenant_by_overlapping_prefix",
        FIND_TENANT_BY_OVERLAPPING_PREFIX,
    ),
    ("list_tenants", LIST_TENANTS),
    ("list_tenants_by_issuer", LIST_TENANTS_BY_ISSUER),
    ("mark_tenant_changed", MARK_TENANT_CHANGED),
    ("mark_tenant_suspended", MARK_TENANT_SUSPENDED),
    ("mark_tenant_resumed", MARK_TENANT_RESUMED),
    ("mark_tenant_deleted", MARK_TENANT_DELETED),
];

#[derive(sqlx::FromRow)]
#[expect(clippy::struct_excessive_bools, reason = "each is a column")]
struct TenantRow {
    tenant_id: String,
    display_name: String,
    prefix: String,
    management: String,
    expiry_required: bool,
    default_ttl_ms: Option<i64>,
    max_ttl_ms: Option<i64>,
    max_tokens_per_user: Option<i64>,
    unique_names: bool,
    tokens_may_not_mint: bool,
    admins_act_for_admins: bool,
    max_grace_ms: Option<i64>,
    self_rotation: Option<bool>,
    retention_ms: Option<i64>,
    sessions: Option<String>,
    version: i64,
    created_at: i64,
    updated_at: i64,
    suspended_at: Option<i64>,
    deleted_at: Option<i64>,
}

impl TryFrom<TenantRow> for Tenant {
    type Error = Error;

    fn try_from(row: TenantRow) -> Result<Self, Error> {
        const TABLE: &str = "tenants";
        let most = row.max_tokens_per_user.map(u32::try_from).transpose();
        Ok(Self {
            tenant_id: tenant_id(TABLE, "tenant_id", &row.tenant_id)?,
            display_name: row.display_name,
            prefix: row.prefix.parse().map_err(|_| corrupt(TABLE, "prefix"))?,
            policy: Policy {
                management: management(&row.management)?,
                expiry_required: row.expiry_required,
                default_ttl: optional_duration(TABLE, "default_ttl_ms", row.default_ttl_ms)?,
                max_ttl: optional_duration(TABLE, "max_ttl_ms", row.max_ttl_ms)?,
                max_tokens_per_user: most.map_err(|_| corrupt(TABLE, "max_tokens_per_user"))?,
                unique_names: row.unique_names,
                tokens_may_not_mint: row.tokens_may_not_mint,
                admins_act_for_admins: row.admins_act_for_admins,
                max_grace: optional_duration(TABLE, "max_grace_ms", row.max_grace_ms)?,
                retention: optional_duration(TABLE, "retention_ms", row.retention_ms)?,
                self_rotation: row.self_rotation.unwrap_or_default(),
            },
            sessions: sessions(row.sessions.as_deref())?,
            version: Version(row.version),
            created_at: time(TABLE, "created_at", row.created_at)?,
            updated_at: time(TABLE, "updated_at", row.updated_at)?,
            suspended_at: optional_time(TABLE, "suspended_at", row.suspended_at)?,
            deleted_at: optional_time(TABLE, "deleted_at", row.deleted_at)?,
        })
    }
}

fn sessions(text: Option<&str>) -> Result<Sessions, Error> {
    let Some(text) = text else {
        return Ok(Sessions::default());
    };
    serde_json::from_str(text).map_err(|_| corrupt("tenants", "sessions"))
}

/// Returns whose sessions a tenant takes, as JSON, and its own trust's issuer, by which it
/// is found.
fn sessions_text(sessions: &Sessions) -> Result<(Option<String>, Option<&str>), Error> {
    if sessions.is_default() {
        return Ok((None, None));
    }
    let text = serde_json::to_string(sessions).map_err(|_| corrupt("tenants", "sessions"))?;
    let own = sessions.own.as_ref();
    Ok((Some(text), own.map(|own| own.rules.issuer.as_str())))
}

fn management(text: &str) -> Result<Management, Error> {
    match text {
        "admins_only" => Ok(Management::AdminsOnly),
        "self_service" => Ok(Management::SelfService),
        _ => Err(corrupt("tenants", "management")),
    }
}

fn management_text(management: Management) -> &'static str {
    match management {
        Management::AdminsOnly => "admins_only",
        Management::SelfService => "self_service",
    }
}

#[derive(sqlx::FromRow)]
struct IdRow {
    #[expect(dead_code, reason = "only that there is a row matters")]
    tenant_id: String,
}

impl Tx {
    /// Inserts a tenant; false when its id or prefix is, or was, in use.
    pub async fn insert_tenant(&mut self, tenant: &Tenant) -> Result<bool, Error> {
        let policy = &tenant.policy;
        let (sessions, issuer) = sessions_text(&tenant.sessions)?;
        let row = fetch_optional!(
            self.inner,
            IdRow,
            INSERT_TENANT,
            tenant.tenant_id.as_str(),
            tenant.display_name.as_str(),
            tenant.prefix.as_str(),
            management_text(policy.management),
            policy.expiry_required,
            millis(policy.default_ttl),
            millis(policy.max_ttl),
            policy.max_tokens_per_user.map(i64::from),
            policy.unique_names,
            policy.tokens_may_not_mint,
            policy.admins_act_for_admins,
            millis(policy.max_grace),
            policy.self_rotation,
            millis(policy.retention),
            sessions,
            tenant.created_at.millis(),
            issuer,
        )?;
        Ok(row.is_some())
    }

    /// Returns a tenant that is not deleted.
    pub async fn find_tenant(&mut self, tenant_id: &TenantId) -> Result<Option<Tenant>, Error> {
        let row = fetch_optional!(self.inner, TenantRow, FIND_TENANT, tenant_id.as_str())?;
        row.map(Tenant::try_from).transpose()
    }

    /// Returns whether there is, or was, a tenant of this id.
    pub async fn was_tenant(&mut self, tenant_id: &TenantId) -> Result<bool, Error> {
        let row = fetch_optional!(self.inner, (String,), FIND_TENANT_ID, tenant_id.as_str())?;
        Ok(row.is_some())
    }

    /// Returns a tenant that is not deleted, locked until the transaction's end.
    pub async fn lock_tenant(&mut self, tenant_id: &TenantId) -> Result<Option<Tenant>, Error> {
        let row = fetch_optional!(self.inner, TenantRow, LOCK_TENANT, tenant_id.as_str())?;
        row.map(Tenant::try_from).transpose()
    }

    /// Returns whether another tenant, deleted ones included, has a prefix that
    /// begins this one or that this one begins.
    pub async fn is_prefix_taken(
        &mut self,
        prefix: &Prefix,
        by_other_than: &TenantId,
    ) -> Result<bool, Error> {
        let row = fetch_optional!(
            self.inner,
            IdRow,
            FIND_TENANT_BY_OVERLAPPING_PREFIX,
            prefix.as_str(),
            by_other_than.as_str(),
        )?;
        Ok(row.is_some())
    }

    /// Lists the tenants that are not deleted.
    pub async fn list_tenants(
        &mut self,
        after: Option<Position<TenantId>>,
        size: u32,
    ) -> Result<Page<Tenant, TenantId>, Error> {
        // `~` sorts after all that a tenant's id may hold.
        let (created_at, id) = after.as_ref().map_or((Timestamp::MAX, "~"), |after| {
            (after.created_at, after.id.as_str())
        });
        let rows = fetch_all!(
            self.inner,
            TenantRow,
            LIST_TENANTS,
            created_at.millis(),
            id,
            i64::from(size) + 1,
        )?;
        let tenants = rows
            .into_iter()
            .map(Tenant::try_from)
            .collect::<Result<_, _>>()?;
        Ok(Page::cut(tenants, size, |tenant| Position {
            created_at: tenant.created_at,
            id: tenant.tenant_id.clone(),
        }))
    }

    /// Lists the tenants whose own trust is in this issuer.
    pub async fn list_tenants_by_issuer(
        &mut self,
        issuer: &str,
        most: u32,
    ) -> Result<Vec<Tenant>, Error> {
        let rows = fetch_all!(
            self.inner,
            TenantRow,
            LIST_TENANTS_BY_ISSUER,
            issuer,
            i64::from(most)
        )?;
        rows.into_iter().map(Tenant::try_from).collect()
    }

    /// Writes what may be changed of a tenant, if its version is still `tenant`'s.
    pub async fn mark_tenant_changed(
        &mut self,
        tenant: &Tenant,
        now: Timestamp,
    ) -> Result<Option<Tenant>, Error> {
        let policy = &tenant.policy;
        let (sessions, issuer) = sessions_text(&tenant.sessions)?;
        let row = fetch_optional!(
            self.inner,
            TenantRow,
            MARK_TENANT_CHANGED,
            tenant.tenant_id.as_str(),
            tenant.version.0,
            tenant.display_name.as_str(),
            tenant.prefix.as_str(),
            management_text(policy.management),
            policy.expiry_required,
            millis(policy.default_ttl),
            millis(policy.max_ttl),
            policy.max_tokens_per_user.map(i64::from),
            policy.unique_names,
            policy.tokens_may_not_mint,
            policy.admins_act_for_admins,
            millis(policy.max_grace),
            policy.self_rotation,
            millis(policy.retention),
            sessions,
            issuer,
            now.millis(),
        )?;
        row.map(Tenant::try_from).transpose()
    }

    /// Suspends a tenant; `None` when it is suspended already.
    pub async fn mark_tenant_suspended(
        &mut self,
        tenant_id: &TenantId,
        now: Timestamp,
    ) -> Result<Option<Tenant>, Error> {
        let row = fetch_optional!(
            self.inner,
            TenantRow,
            MARK_TENANT_SUSPENDED,
            tenant_id.as_str(),
            now.millis()
        )?;
        row.map(Tenant::try_from).transpose()
    }

    /// Resumes a tenant; `None` when it is not suspended.
    pub async fn mark_tenant_resumed(
        &mut self,
        tenant_id: &TenantId,
        now: Timestamp,
    ) -> Result<Option<Tenant>, Error> {
        let row = fetch_optional!(
            self.inner,
            TenantRow,
            MARK_TENANT_RESUMED,
            tenant_id.as_str(),
            now.millis()
        )?;
        row.map(Tenant::try_from).transpose()
    }

    /// Deletes a tenant for good; false when the version is another by now.
    pub async fn mark_tenant_deleted(
        &mut self,
        tenant_id: &TenantId,
        version: Version,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let done = execute!(
            self.inner,
            MARK_TENANT_DELETED,
            tenant_id.as_str(),
            version.0,
            now.millis()
        )?;
        Ok(done == 1)
    }
}
