//! Catalogs, one document each.

use super::backend::{execute, fetch_all, fetch_by, fetch_optional};
use super::row::{corrupt, time};
use super::token_row::revoked;
use super::{Error, Store, Tx};
use crate::domain::catalog::Catalog;
use crate::domain::change::Version;
use crate::domain::ids::TenantId;
use crate::domain::scope::ScopeSet;
use crate::domain::time::Timestamp;

const INSERT_CATALOG: &str = "
    INSERT INTO catalogs (tenant_id, document, version, updated_at)
    VALUES ($1, $2, 1, $3)";

const FIND_CATALOG: &str = "
    SELECT document, version, updated_at
      FROM catalogs
     WHERE tenant_id = $1";

const MARK_CATALOG_REPLACED: &str = "
    UPDATE catalogs
       SET document = $3, version = version + 1, updated_at = $4
     WHERE tenant_id = $1 AND version = $2
    RETURNING document, version, updated_at";

/// What is granted to tokens that may be active again: a disabled one may be
/// enabled, an expired or revoked one is dead.
const LIST_GRANTED_SCOPES: &str = concat!(
    "SELECT DISTINCT t.scopes
       FROM tokens t
      WHERE t.tenant_id = $1
        AND (t.expires_at IS NULL OR t.expires_at > $2)
        AND NOT ",
    revoked!()
);

pub(super) const STATEMENTS: &[(&str, &str)] = &[
    ("insert_catalog", INSERT_CATALOG),
    ("find_catalog", FIND_CATALOG),
    ("mark_catalog_replaced", MARK_CATALOG_REPLACED),
    ("list_granted_scopes", LIST_GRANTED_SCOPES),
];

/// A catalog, its version and its age.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct StoredCatalog {
    /// The catalog.
    pub catalog: Catalog,
    /// The document's version.
    pub version: Version,
    /// When it was last replaced.
    pub updated_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct CatalogRow {
    document: String,
    version: i64,
    updated_at: i64,
}

impl TryFrom<CatalogRow> for StoredCatalog {
    type Error = Error;

    fn try_from(row: CatalogRow) -> Result<Self, Error> {
        Ok(Self {
            catalog: parse(&row.document)?,
            version: Version(row.version),
            updated_at: time("catalogs", "updated_at", row.updated_at)?,
        })
    }
}

/// Decodes a document.
pub(super) fn parse(document: &str) -> Result<Catalog, Error> {
    serde_json::from_str(document).map_err(|_| corrupt("catalogs", "document"))
}

fn document(catalog: &Catalog) -> Result<String, Error> {
    serde_json::to_string(catalog).map_err(|_| corrupt("catalogs", "document"))
}

#[derive(sqlx::FromRow)]
struct ScopesRow {
    scopes: String,
}

impl Store {
    /// Returns a tenant's catalog.
    pub async fn find_catalog(&self, tenant_id: &TenantId) -> Result<Option<StoredCatalog>, Error> {
        let tenant_id = tenant_id.as_str();
        let row = fetch_by!(fetch_optional, self.db, CatalogRow, FIND_CATALOG, tenant_id)?;
        row.map(StoredCatalog::try_from).transpose()
    }
}

impl Tx {
    /// Inserts the empty catalog of a new tenant.
    pub async fn insert_catalog(
        &mut self,
        tenant_id: &TenantId,
        now: Timestamp,
    ) -> Result<(), Error> {
        let document = document(&Catalog::default())?;
        execute!(
            self.inner,
            INSERT_CATALOG,
            tenant_id.as_str(),
            document.as_str(),
            now.millis()
        )?;
        Ok(())
    }

    /// Returns a tenant's catalog.
    pub async fn get_catalog(&mut self, tenant_id: &TenantId) -> Result<StoredCatalog, Error> {
        let row = fetch_optional!(self.inner, CatalogRow, FIND_CATALOG, tenant_id.as_str())?;
        row.ok_or_else(|| corrupt("catalogs", "tenant_id"))?
            .try_into()
    }

    /// Replaces a catalog, if its version is still this.
    pub async fn mark_catalog_replaced(
        &mut self,
        tenant_id: &TenantId,
        version: Version,
        catalog: &Catalog,
        now: Timestamp,
    ) -> Result<Option<StoredCatalog>, Error> {
        let document = document(catalog)?;
        let row = fetch_optional!(
            self.inner,
            CatalogRow,
            MARK_CATALOG_REPLACED,
            tenant_id.as_str(),
            version.0,
            document.as_str(),
            now.millis(),
        )?;
        row.map(StoredCatalog::try_from).transpose()
    }

    /// Returns all scopes that are granted to tokens neither revoked nor expired.
    pub async fn list_granted_scopes(
        &mut self,
        tenant_id: &TenantId,
        now: Timestamp,
    ) -> Result<ScopeSet, Error> {
        let rows = fetch_all!(
            self.inner,
            ScopesRow,
            LIST_GRANTED_SCOPES,
            tenant_id.as_str(),
            now.millis()
        )?;
        let mut granted = ScopeSet::default();
        for row in rows {
            let set = ScopeSet::from_text(&row.scopes).map_err(|_| corrupt("tokens", "scopes"))?;
            for scope in &set {
                granted.insert(scope.clone());
            }
        }
        Ok(granted)
    }
}
