-- Times are Unix milliseconds. Text that is compared or sorted is compared by its
-- bytes, so that both databases agree.

-- The log of changes: its identity and the last number taken.
CREATE TABLE log_head (
    singleton   INTEGER NOT NULL PRIMARY KEY CHECK (singleton = 1),
    incarnation TEXT NOT NULL, -- 22 base62 characters, drawn when the store was made
    number      INTEGER NOT NULL            -- gapless: taken under this row's lock, held to the commit
) STRICT;

-- What each change may have altered.
CREATE TABLE changes (
    number     INTEGER NOT NULL,            -- of the transaction
    position   INTEGER NOT NULL,            -- within the transaction, from 0
    kind       TEXT NOT NULL,  -- domain::change::Change::kind
    tenant_id  TEXT,
    user_id    BLOB,
    token_id   BLOB,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (number, position)
) STRICT;

-- One product or customer each. Rows stay after deletion: neither ids nor
-- prefixes are used again.
CREATE TABLE tenants (
    tenant_id             TEXT NOT NULL PRIMARY KEY,
    display_name          TEXT NOT NULL,
    prefix                TEXT NOT NULL UNIQUE, -- what its values begin with
    management            TEXT NOT NULL,        -- admins_only, self_service
    expiry_required       INTEGER NOT NULL,
    default_ttl_ms        INTEGER,
    max_ttl_ms            INTEGER,
    max_tokens_per_user   INTEGER,
    unique_names          INTEGER NOT NULL,
    tokens_may_not_mint   INTEGER NOT NULL,
    admins_act_for_admins INTEGER NOT NULL,
    version               INTEGER NOT NULL,
    created_at            INTEGER NOT NULL,
    updated_at            INTEGER NOT NULL,
    suspended_at          INTEGER,
    deleted_at            INTEGER
) STRICT;
CREATE INDEX tenants_by_age ON tenants (created_at, tenant_id);

-- A tenant's scopes and profiles, one JSON document.
CREATE TABLE catalogs (
    tenant_id  TEXT NOT NULL PRIMARY KEY REFERENCES tenants,
    document   TEXT NOT NULL,
    version    INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

-- Whoever tokens act as. Rows stay after deletion: ids are not used again.
CREATE TABLE users (
    user_id            BLOB NOT NULL PRIMARY KEY,
    external_id        TEXT NOT NULL, -- the voucher's name for it
    display_name       TEXT NOT NULL,
    vouching_tenant_id TEXT NOT NULL REFERENCES tenants,
    active_tenant_id   TEXT NOT NULL REFERENCES tenants,
    version            INTEGER NOT NULL,
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL,
    suspended_at       INTEGER,
    deleted_at         INTEGER
) STRICT;
CREATE UNIQUE INDEX users_by_external_id ON users (vouching_tenant_id, external_id)
    WHERE deleted_at IS NULL;

-- Which user is what in which tenant. Rows stay after removal.
CREATE TABLE memberships (
    tenant_id  TEXT NOT NULL REFERENCES tenants,
    user_id    BLOB NOT NULL REFERENCES users,
    role       TEXT NOT NULL, -- member, admin
    version    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,           -- when the present membership began
    updated_at INTEGER NOT NULL,
    removed_at INTEGER,
    PRIMARY KEY (tenant_id, user_id)
) STRICT;
CREATE INDEX memberships_by_user ON memberships (user_id);
CREATE INDEX memberships_by_age ON memberships (tenant_id, created_at, user_id);

-- Tokens. What verifies their values is in secrets.
CREATE TABLE tokens (
    token_id       BLOB NOT NULL PRIMARY KEY,
    tenant_id      TEXT NOT NULL REFERENCES tenants,
    user_id        BLOB REFERENCES users,     -- null for kind service
    kind           TEXT NOT NULL, -- api, webhook, agent, service
    name           TEXT NOT NULL,
    name_folded    TEXT NOT NULL, -- the name in lower case, for searches
    hint           TEXT NOT NULL, -- the visible part of the current value
    scopes         TEXT NOT NULL, -- as granted, sorted, joined by blanks
    profile        TEXT NOT NULL,
    agent_id       TEXT NOT NULL,
    labels         TEXT NOT NULL, -- a JSON object
    created_by     BLOB,                      -- the caller's token
    version        INTEGER NOT NULL,
    created_number INTEGER NOT NULL,           -- of the change that created it
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    expires_at     INTEGER,
    disabled_at    INTEGER,
    revoked_at     INTEGER,
    revoke_reason  TEXT,
    revoke_text    TEXT
) STRICT;
CREATE INDEX tokens_by_age ON tokens (tenant_id, kind, created_at, token_id);
CREATE INDEX tokens_by_name ON tokens (tenant_id, kind, name);
CREATE INDEX tokens_by_user ON tokens (user_id, tenant_id);
CREATE INDEX tokens_by_hint ON tokens (hint);

-- What verifies the values of tokens, apart from their records.
CREATE TABLE secrets (
    secret_id       BLOB NOT NULL PRIMARY KEY,
    token_id        BLOB NOT NULL REFERENCES tokens,
    lookup          TEXT UNIQUE,   -- null for imported values
    hint            TEXT NOT NULL,
    secret_hash     TEXT NOT NULL, -- bcrypt
    fingerprint     BLOB,                     -- HMAC-SHA-256 under fingerprint_key
    fingerprint_key TEXT,
    created_at      INTEGER NOT NULL,
    ends_at         INTEGER,                    -- null for the current value
    CHECK ((fingerprint IS NULL) = (fingerprint_key IS NULL))
) STRICT;
CREATE INDEX secrets_by_token ON secrets (token_id);
CREATE INDEX secrets_by_hint ON secrets (hint);

-- Each revokes all tokens that it covers and whose created_number is below its
-- own, one row whatever their number. Null covers all.
CREATE TABLE epochs (
    number     INTEGER NOT NULL,           -- of the change that made it
    position   INTEGER NOT NULL,           -- within the change, from 0
    tenant_id  TEXT,
    user_id    BLOB,
    kind       TEXT,
    reason     TEXT NOT NULL, -- domain::token::RevokeReason
    created_at INTEGER NOT NULL,
    PRIMARY KEY (number, position)
) STRICT;
CREATE INDEX epochs_by_user ON epochs (user_id, number);
CREATE INDEX epochs_by_tenant ON epochs (tenant_id, number)
    WHERE user_id IS NULL;
