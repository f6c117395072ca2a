-- Times are Unix milliseconds. Text that is compared or sorted is compared by its
-- bytes (COLLATE "C"), so that both databases agree.

-- The log of changes: its identity and the last number taken.
CREATE TABLE log_head (
    singleton   BIGINT NOT NULL PRIMARY KEY CHECK (singleton = 1),
    incarnation TEXT COLLATE "C" NOT NULL, -- 22 base62 characters, drawn when the store was made
    number      BIGINT NOT NULL            -- gapless: taken under this row's lock, held to the commit
);

-- What each change may have altered.
CREATE TABLE changes (
    number     BIGINT NOT NULL,            -- of the transaction
    position   BIGINT NOT NULL,            -- within the transaction, from 0
    kind       TEXT COLLATE "C" NOT NULL,  -- domain::change::Change::kind
    tenant_id  TEXT COLLATE "C",
    user_id    UUID,
    token_id   UUID,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (number, position)
);

-- One product or customer each. Rows stay after deletion: neither ids nor
-- prefixes are used again.
CREATE TABLE tenants (
    tenant_id             TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    display_name          TEXT COLLATE "C" NOT NULL,
    prefix                TEXT COLLATE "C" NOT NULL UNIQUE, -- what its values begin with
    management            TEXT COLLATE "C" NOT NULL,        -- admins_only, self_service
    expiry_required       BOOLEAN NOT NULL,
    default_ttl_ms        BIGINT,
    max_ttl_ms            BIGINT,
    max_tokens_per_user   BIGINT,
    unique_names          BOOLEAN NOT NULL,
    tokens_may_not_mint   BOOLEAN NOT NULL,
    admins_act_for_admins BOOLEAN NOT NULL,
    version               BIGINT NOT NULL,
    created_at            BIGINT NOT NULL,
    updated_at            BIGINT NOT NULL,
    suspended_at          BIGINT,
    deleted_at            BIGINT
);
CREATE INDEX tenants_by_age ON tenants (created_at, tenant_id);

-- A tenant's scopes and profiles, one JSON document.
CREATE TABLE catalogs (
    tenant_id  TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES tenants,
    document   TEXT COLLATE "C" NOT NULL,
    version    BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- Whoever tokens act as. Rows stay after deletion: ids are not used again.
CREATE TABLE users (
    user_id            UUID NOT NULL PRIMARY KEY,
    external_id        TEXT COLLATE "C" NOT NULL, -- the voucher's name for it
    display_name       TEXT COLLATE "C" NOT NULL,
    vouching_tenant_id TEXT COLLATE "C" NOT NULL REFERENCES tenants,
    active_tenant_id   TEXT COLLATE "C" NOT NULL REFERENCES tenants,
    version            BIGINT NOT NULL,
    created_at         BIGINT NOT NULL,
    updated_at         BIGINT NOT NULL,
    suspended_at       BIGINT,
    deleted_at         BIGINT
);
CREATE UNIQUE INDEX users_by_external_id ON users (vouching_tenant_id, external_id)
    WHERE deleted_at IS NULL;

-- Which user is what in which tenant. Rows stay after removal.
CREATE TABLE memberships (
    tenant_id  TEXT COLLATE "C" NOT NULL REFERENCES tenants,
    user_id    UUID NOT NULL REFERENCES users,
    role       TEXT COLLATE "C" NOT NULL, -- member, admin
    version    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,           -- when the present membership began
    updated_at BIGINT NOT NULL,
    removed_at BIGINT,
    PRIMARY KEY (tenant_id, user_id)
);
CREATE INDEX memberships_by_user ON memberships (user_id);
CREATE INDEX memberships_by_age ON memberships (tenant_id, created_at, user_id);

-- Tokens. What verifies their values is in secrets.
CREATE TABLE tokens (
    token_id       UUID NOT NULL PRIMARY KEY,
    tenant_id      TEXT COLLATE "C" NOT NULL REFERENCES tenants,
    user_id        UUID REFERENCES users,     -- null for kind service
    kind           TEXT COLLATE "C" NOT NULL, -- api, webhook, agent, service
    name           TEXT COLLATE "C" NOT NULL,
    name_folded    TEXT COLLATE "C" NOT NULL, -- the name in lower case, for searches
    hint           TEXT COLLATE "C" NOT NULL, -- the visible part of the current value
    scopes         TEXT COLLATE "C" NOT NULL, -- as granted, sorted, joined by blanks
    profile        TEXT COLLATE "C" NOT NULL,
    agent_id       TEXT COLLATE "C" NOT NULL,
    labels         TEXT COLLATE "C" NOT NULL, -- a JSON object
    created_by     UUID,                      -- the caller's token
    version        BIGINT NOT NULL,
    created_number BIGINT NOT NULL,           -- of the change that created it
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    expires_at     BIGINT,
    disabled_at    BIGINT,
    revoked_at     BIGINT,
    revoke_reason  TEXT COLLATE "C",
    revoke_text    TEXT COLLATE "C"
);
CREATE INDEX tokens_by_age ON tokens (tenant_id, kind, created_at, token_id);
CREATE INDEX tokens_by_name ON tokens (tenant_id, kind, name);
CREATE INDEX tokens_by_user ON tokens (user_id, tenant_id);
CREATE INDEX tokens_by_hint ON tokens (hint);

-- What verifies the values of tokens, apart from their records.
CREATE TABLE secrets (
    secret_id       UUID NOT NULL PRIMARY KEY,
    token_id        UUID NOT NULL REFERENCES tokens,
    lookup          TEXT COLLATE "C" UNIQUE,   -- null for imported values
    hint            TEXT COLLATE "C" NOT NULL,
    secret_hash     TEXT COLLATE "C" NOT NULL, -- bcrypt
    fingerprint     BYTEA,                     -- HMAC-SHA-256 under fingerprint_key
    fingerprint_key TEXT COLLATE "C",
    created_at      BIGINT NOT NULL,
    ends_at         BIGINT,                    -- null for the current value
    CHECK ((fingerprint IS NULL) = (fingerprint_key IS NULL))
);
CREATE INDEX secrets_by_token ON secrets (token_id);
CREATE INDEX secrets_by_hint ON secrets (hint);

-- Each revokes all tokens that it covers and whose created_number is below its
-- own, one row whatever their number. Null covers all.
CREATE TABLE epochs (
    number     BIGINT NOT NULL,           -- of the change that made it
    position   BIGINT NOT NULL,           -- within the change, from 0
    tenant_id  TEXT COLLATE "C",
    user_id    UUID,
    kind       TEXT COLLATE "C",
    reason     TEXT COLLATE "C" NOT NULL, -- domain::token::RevokeReason
    created_at BIGINT NOT NULL,
    PRIMARY KEY (number, position)
);
CREATE INDEX epochs_by_user ON epochs (user_id, number);
CREATE INDEX epochs_by_tenant ON epochs (tenant_id, number)
    WHERE user_id IS NULL;
