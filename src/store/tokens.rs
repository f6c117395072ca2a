//! Tokens and the secrets that verify their values.

use super::backend::{execute, fetch_all, fetch_optional};
use super::page::{Page, Position};
use super::row::{CountRow, corrupt};
use super::token_row::{
    TokenRow, revoked, token_columns, token_joins, use_columns, use_joins, value_columns,
};
use super::{Error, NewSecret, Tx};
use crate::domain::change::{ChangeNumber, Version};
use crate::domain::ids::{TenantId, TokenId, UserId};
use crate::domain::scope::ScopeSet;
use crate::domain::text::folded;
use crate::domain::time::Timestamp;
use crate::domain::token::{Kind, Owner, RevokeReason, State, Token};

const INSERT_TOKEN: &str = "
    INSERT INTO tokens (token_id, tenant_id, user_id, kind, name, name_folded, hint, scopes,
                        profile, agent_id, labels, created_by, version, created_number,
                        created_at, updated_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 1, 0, $13, $13, $14)";

const FIND_TOKEN: &str = concat!(
    "SELECT ",
    token_columns!(),
    use_columns!(),
    value_columns!(),
    " FROM tokens t ",
    token_joins!(),
    use_joins!(),
    " WHERE t.tenant_id = $1 AND t.token_id = $2"
);

/// Takes the row's lock and leaves the row as it is.
const LOCK_TOKEN: &str = "
    UPDATE tokens
       SET updated_at = updated_at
     WHERE token_id = $1
    RETURNING token_id";

const LIST_TOKENS: &str = concat!(
    "SELECT ",
    token_columns!(),
    use_columns!(),
    value_columns!(),
    " FROM tokens t ",
    token_joins!(),
    use_joins!(),
    " WHERE t.tenant_id = $1 AND t.kind = $2
        AND (CAST($3 AS UUID) IS NULL OR t.user_id = $3)
        AND (CAST($4 AS TEXT) IS NULL OR t.name_folded LIKE $4 ESCAPE '\\')
        AND (CAST($5 AS TEXT) IS NULL
             OR t.token_id IN (SELECT s.token_id FROM secrets s WHERE s.hint = $5
                               UNION
                               SELECT s.token_id
                                 FROM import_hints i
                                 JOIN secrets s
                                   ON s.hint = substr(CAST($14 AS TEXT), 1,
                                                      CAST(i.hint_length AS INTEGER))
                                WHERE i.tenant_id = $1))
        AND (CAST($6 AS BIGINT) IS NULL OR t.expires_at < $6)
        AND (CAST($7 AS TEXT) IS NULL
             OR $7 = CASE WHEN ",
    revoked!(),
    " THEN 'revoked'
                          WHEN t.expires_at <= $8 THEN 'expired'
                          WHEN t.disabled_at IS NOT NULL THEN 'disabled'
                          ELSE 'active' END)
        AND ($9 OR NOT ",
    revoked!(),
    ")
        AND (t.created_at, t.token_id) < ($10, $11)
        AND (CAST($13 AS BIGINT) IS NULL OR COALESCE(x.used_at, t.created_at) < $13)
      ORDER BY t.created_at DESC, t.token_id DESC
      LIMIT $12"
);

const COUNT_LIVE_TOKENS_BY_USER: &str = concat!(
    "SELECT COUNT(*) AS count
       FROM tokens t
      WHERE t.tenant_id = $1 AND t.user_id = $2
        AND (t.expires_at IS NULL OR t.expires_at > $3)
        AND NOT ",
    revoked!()
);

/// Expired and disabled tokens hold their name.
const COUNT_TOKENS_BY_NAME: &str = concat!(
    "SELECT COUNT(*) AS count
       FROM tokens t
      WHERE t.tenant_id = $1 AND t.user_id IS NOT DISTINCT FROM $2 AND t.kind = $3
        AND t.name = $4 AND t.token_id <> $5
        AND NOT ",
    revoked!()
);

const COUNT_TOKENS_BY_TENANT: &str = "
    SELECT COUNT(*) AS count
      FROM (SELECT 1 FROM tokens WHERE tenant_id = $1
            UNION ALL
            SELECT 1 FROM tenants WHERE tenant_id = $1 AND swept_at IS NOT NULL
            LIMIT 1) AS any_token";

/// Tokens that no caller created: the operator's, made at first start or by proof
/// of access to the database.
const LIST_FOUNDING_TOKENS: &str = concat!(
    "SELECT ",
    token_columns!(),
    " FROM tokens t ",
    token_joins!(),
    " WHERE t.tenant_id = $1 AND t.created_by IS NULL AND t.revoked_at IS NULL
      ORDER BY t.token_id"
);

/// An epoch leaves the version of what it covers, so the guard asks for epochs, too. The
/// time of the last change never goes back, whoever's clock is late: by it a value that
/// was ended stays so.
const MARK_TOKEN_CHANGED: &str = concat!(
    "UPDATE tokens AS t
        SET name = $3, name_folded = $4, scopes = $5, labels = $6, expires_at = $7,
            disabled_at = $8, version = version + 1,
            updated_at = CASE WHEN t.updated_at > $9 THEN t.updated_at ELSE $9 END
      WHERE t.token_id = $1 AND t.version = $2 AND NOT ",
    revoked!(),
    " RETURNING token_id"
);

const MARK_TOKEN_REVOKED: &str = concat!(
    "UPDATE tokens AS t
        SET revoked_at = $3, revoke_reason = $4, revoke_text = $5, version = version + 1,
            updated_at = CASE WHEN t.updated_at > $3 THEN t.updated_at ELSE $3 END
      WHERE t.token_id = $1 AND t.version = $2 AND NOT ",
    revoked!(),
    " RETURNING token_id"
);

pub(super) const STATEMENTS: &[(&str, &str)] = &[
    ("insert_token", INSERT_TOKEN),
    ("find_token", FIND_TOKEN),
    ("lock_token", LOCK_TOKEN),
    ("list_tokens", LIST_TOKENS),
    ("count_live_tokens_by_user", COUNT_LIVE_TOKENS_BY_USER),
    ("count_tokens_by_name", COUNT_TOKENS_BY_NAME),
    ("count_tokens_by_tenant", COUNT_TOKENS_BY_TENANT),
    ("list_founding_tokens", LIST_FOUNDING_TOKENS),
    ("mark_token_changed", MARK_TOKEN_CHANGED),
    ("mark_token_revoked", MARK_TOKEN_REVOKED),
];

/// A token to be inserted.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Its id.
    pub token_id: TokenId,
    /// Its tenant.
    pub tenant_id: TenantId,
    /// The user that it acts as; none for SERVICE.
    pub user_id: Option<UserId>,
    /// What it is for.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// What is granted.
    pub scopes: ScopeSet,
    /// The profile that it is created with, if any.
    pub profile: String,
    /// The agent that it is made for, if any.
    pub agent_id: String,
    /// Its labels.
    pub labels: crate::domain::text::Labels,
    /// The caller's token.
    pub created_by: Option<TokenId>,
    /// Now.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

impl NewToken {
    /// Returns the token as it would be if it were inserted, without its value's hint.
    pub fn into_token(self, owner: Option<Owner>) -> Token {
        Token {
            token_id: self.token_id,
            tenant_id: self.tenant_id,
            owner,
            kind: self.kind,
            name: self.name,
            hint: String::new(),
            scopes: self.scopes,
            profile: self.profile,
            agent_id: self.agent_id,
            labels: self.labels,
            created_by: self.created_by,
            version: Version(1),
            created_number: ChangeNumber(0),
            created_at: self.created_at,
            updated_at: self.created_at,
            expires_at: self.expires_at,
            disabled_at: None,
            revocation: None,
            last_use: None,
            rotated_at: None,
            previous: Vec::new(),
        }
    }
}

/// What is listed of tokens. Filters are joined by AND.
#[derive(Clone, Debug)]
pub struct TokenFilter {
    /// Only this kind.
    pub kind: Kind,
    /// Only this user's.
    pub user_id: Option<UserId>,
    /// Only those whose name contains this, whatever the case.
    pub name_contains: Option<String>,
    /// Only those of whose values one has this hint.
    pub hint: Option<String>,
    /// Where a hint is given: the beginning of what was, whose first characters may be an
    /// imported value's hint.
    pub beginning: Option<String>,
    /// Only those that expire before this.
    pub expires_before: Option<Timestamp>,
    /// Only those last used before this, or never used and created before it.
    pub unused_since: Option<Timestamp>,
    /// Only those in this state.
    pub state: Option<State>,
    /// Revoked ones, too.
    pub show_revoked: bool,
}

fn labels(labels: &crate::domain::text::Labels) -> Result<String, Error> {
    serde_json::to_string(labels).map_err(|_| corrupt("tokens", "labels"))
}

/// Returns the pattern that finds a text anywhere, the text's own wildcards escaped.
fn contains(text: &str) -> String {
    let mut pattern = String::from("%");
    for character in folded(text).chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

impl Tx {
    /// Inserts a token and what verifies its value. Its creation must be among
    /// the changes that the transaction closes with, which stamp its number.
    pub async fn insert_token(
        &mut self,
        token: &NewToken,
        secret: &NewSecret,
    ) -> Result<(), Error> {
        self.insert_record(token, &secret.hint).await?;
        self.insert_secret(token.token_id, secret, token.created_at)
            .await
    }

    /// Inserts a token alone, which shows this hint.
    pub(super) async fn insert_record(
        &mut self,
        token: &NewToken,
        hint: &str,
    ) -> Result<(), Error> {
        execute!(
            self.inner,
            INSERT_TOKEN,
            token.token_id.uuid(),
            token.tenant_id.as_str(),
            token.user_id.map(UserId::uuid),
            token.kind.as_str(),
            token.name.as_str(),
            folded(&token.name),
            hint,
            token.scopes.to_text(),
            token.profile.as_str(),
            token.agent_id.as_str(),
            labels(&token.labels)?,
            token.created_by.map(TokenId::uuid),
            token.created_at.millis(),
            token.expires_at.map(Timestamp::millis),
        )?;
        Ok(())
    }

    /// Returns a token of the tenant, in whatever state.
    pub async fn find_token(
        &mut self,
        tenant_id: &TenantId,
        token_id: TokenId,
    ) -> Result<Option<Token>, Error> {
        let row = fetch_optional!(
            self.inner,
            TokenRow,
            FIND_TOKEN,
            tenant_id.as_str(),
            token_id.uuid()
        )?;
        row.map(Token::try_from).transpose()
    }

    /// Locks a token's row until the transaction's end; false when there is none.
    pub async fn lock_token(&mut self, token_id: TokenId) -> Result<bool, Error> {
        Ok(execute!(self.inner, LOCK_TOKEN, token_id.uuid())? == 1)
    }

    /// Lists a tenant's tokens.
    pub async fn list_tokens(
        &mut self,
        tenant_id: &TenantId,
        filter: &TokenFilter,
        after: Option<Position<TokenId>>,
        size: u32,
        now: Timestamp,
    ) -> Result<Page<Token, TokenId>, Error> {
        let after = after.unwrap_or(Position {
            created_at: Timestamp::MAX,
            id: uuid::Uuid::max().into(),
        });
        let rows = fetch_all!(
            self.inner,
            TokenRow,
            LIST_TOKENS,
            tenant_id.as_str(),
            filter.kind.as_str(),
            filter.user_id.map(UserId::uuid),
            filter.name_contains.as_deref().map(contains),
            filter.hint.as_deref(),
            filter.expires_before.map(Timestamp::millis),
            filter.state.map(State::as_str),
            now.millis(),
            filter.show_revoked || filter.state == Some(State::Revoked),
            after.created_at.millis(),
            after.id.uuid(),
            i64::from(size) + 1,
            filter.unused_since.map(Timestamp::millis),
            filter.beginning.as_deref(),
        )?;
        let tokens = rows
            .into_iter()
            .map(Token::try_from)
            .collect::<Result<_, _>>()?;
        Ok(Page::cut(tokens, size, |token| Position {
            created_at: token.created_at,
            id: token.token_id,
        }))
    }

    /// Counts a user's tokens in a tenant that are neither revoked nor expired.
    pub async fn count_live_tokens_by_user(
        &mut self,
        tenant_id: &TenantId,
        user_id: UserId,
        now: Timestamp,
    ) -> Result<i64, Error> {
        let row = fetch_optional!(
            self.inner,
            CountRow,
            COUNT_LIVE_TOKENS_BY_USER,
            tenant_id.as_str(),
            user_id.uuid(),
            now.millis(),
        )?;
        Ok(row.map_or(0, |row| row.count))
    }

    /// Returns whether an unrevoked token other than `except` has this name, of
    /// the same user and kind.
    pub async fn is_token_name_taken(
        &mut self,
        tenant_id: &TenantId,
        user_id: Option<UserId>,
        kind: Kind,
        name: &str,
        except: TokenId,
    ) -> Result<bool, Error> {
        let row = fetch_optional!(
            self.inner,
            CountRow,
            COUNT_TOKENS_BY_NAME,
            tenant_id.as_str(),
            user_id.map(UserId::uuid),
            kind.as_str(),
            name,
            except.uuid(),
        )?;
        Ok(row.is_some_and(|row| row.count > 0))
    }

    /// Returns whether the tenant has, or had, a token.
    pub async fn has_tokens(&mut self, tenant_id: &TenantId) -> Result<bool, Error> {
        let row = fetch_optional!(
            self.inner,
            CountRow,
            COUNT_TOKENS_BY_TENANT,
            tenant_id.as_str()
        )?;
        Ok(row.is_some_and(|row| row.count > 0))
    }

    /// Lists a tenant's unrevoked tokens that no caller created.
    pub async fn list_founding_tokens(
        &mut self,
        tenant_id: &TenantId,
    ) -> Result<Vec<Token>, Error> {
        let rows = fetch_all!(
            self.inner,
            TokenRow,
            LIST_FOUNDING_TOKENS,
            tenant_id.as_str()
        )?;
        rows.into_iter().map(Token::try_from).collect()
    }

    /// Writes what may be changed of a token, if its version is still `token`'s
    /// and it is not revoked; false otherwise.
    pub async fn mark_token_changed(
        &mut self,
        token: &Token,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let done = execute!(
            self.inner,
            MARK_TOKEN_CHANGED,
            token.token_id.uuid(),
            token.version.0,
            token.name.as_str(),
            folded(&token.name),
            token.scopes.to_text(),
            labels(&token.labels)?,
            token.expires_at.map(Timestamp::millis),
            token.disabled_at.map(Timestamp::millis),
            now.millis(),
        )?;
        Ok(done == 1)
    }

    /// Revokes a token, if its version is still `token`'s and it is not revoked;
    /// false otherwise.
    pub async fn mark_token_revoked(
        &mut self,
        token: &Token,
        reason: RevokeReason,
        text: &str,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let done = execute!(
            self.inner,
            MARK_TOKEN_REVOKED,
            token.token_id.uuid(),
            token.version.0,
            now.millis(),
            reason.as_str(),
            text,
        )?;
        Ok(done == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_takes_wildcards_literally() {
        assert_eq!(contains("50%_Off\\"), "%50\\%\\_off\\\\%");
    }
}
