-- The whole life of a token: values in grace, uses, request ids, the audit log, and
-- what the housekeeping of several replicas agrees by. Times are Unix milliseconds.

-- How long a rotated value may go on; null: as long as this service lets it.
ALTER TABLE tenants ADD COLUMN max_grace_ms BIGINT;
-- Whether a token may rotate itself; null: it may not.
ALTER TABLE tenants ADD COLUMN self_rotation BOOLEAN;
-- How long dead tokens and ended values are kept; null: as long as is configured.
ALTER TABLE tenants ADD COLUMN retention_ms BIGINT;

-- When the token got its current value, if that is not its first.
ALTER TABLE tokens ADD COLUMN rotated_at BIGINT;

-- What the revoker added to the reason.
ALTER TABLE epochs ADD COLUMN revoke_text TEXT COLLATE "C";

-- When the value was first presented after its end; it is recorded once.
ALTER TABLE secrets ADD COLUMN reused_at BIGINT;
CREATE INDEX secrets_by_end ON secrets (token_id, ends_at);

-- The last use of each token, apart from its record, whose version it leaves alone.
CREATE TABLE token_uses (
    token_id UUID NOT NULL PRIMARY KEY REFERENCES tokens,
    used_at  BIGINT NOT NULL,
    used_by  UUID,                    -- the token of the service that asked; null: used here
    address  TEXT COLLATE "C"                     -- the client's, as that service gave it
);

-- Calls that changed something and may be asked again, for a day.
CREATE TABLE requests (
    caller_id  UUID NOT NULL,         -- the caller's token
    rpc        TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,         -- as the caller chose it
    digest     BYTEA NOT NULL,        -- SHA-256 of the request
    token_id   UUID,                  -- the token whose value was given out; then no outcome
    outcome    TEXT COLLATE "C",                  -- JSON, what was answered
    number     BIGINT NOT NULL,          -- of the revision that was answered
    created_at BIGINT NOT NULL,
    PRIMARY KEY (caller_id, rpc, request_id)
);
CREATE INDEX requests_by_age ON requests (created_at);

-- How long each tenant's chain of audit events is, and its last hash.
CREATE TABLE audit_heads (
    tenant_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES tenants,
    count     BIGINT NOT NULL,           -- of all events ever, pruned ones too
    hash      BYTEA NOT NULL          -- of the last event
);

-- The chains of audit events.
CREATE TABLE audit_events (
    tenant_id  TEXT COLLATE "C" NOT NULL REFERENCES tenants,
    sequence   BIGINT NOT NULL,          -- from 1, gapless
    event      BYTEA NOT NULL,        -- domain::audit::Event in its canonical bytes
    hash       BYTEA NOT NULL,        -- SHA-256 of the hash before and the event
    created_at BIGINT NOT NULL,
    action     TEXT COLLATE "C" NOT NULL,         -- this and all below stand in the event, too
    caller_id  UUID,                  -- the caller's token
    user_id    UUID,                  -- whom it was about
    token_id   UUID,                  -- what it was about
    PRIMARY KEY (tenant_id, sequence)
);

-- Where each chain begins since it was last pruned.
CREATE TABLE audit_checkpoints (
    tenant_id  TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES tenants,
    sequence   BIGINT NOT NULL,          -- of the last event that was pruned
    hash       BYTEA NOT NULL,        -- of that event
    created_at BIGINT NOT NULL
);

-- The processes that share this store, and which keys each holds.
CREATE TABLE replicas (
    replica_id TEXT COLLATE "C" NOT NULL PRIMARY KEY, -- drawn when the process starts
    keys       TEXT COLLATE "C" NOT NULL,             -- of its keyring, joined by blanks
    started_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL
);

-- Work that one replica at a time does.
CREATE TABLE jobs (
    name    TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    holder  TEXT COLLATE "C" NOT NULL,            -- the replica that began the last run
    next_at BIGINT NOT NULL              -- before this no other run begins
);
