-- The whole life of a token: values in grace, uses, request ids, the audit log, and
-- what the housekeeping of several replicas agrees by. Times are Unix milliseconds.

-- How long a rotated value may go on; null: as long as this service lets it.
ALTER TABLE tenants ADD COLUMN max_grace_ms INTEGER;
-- Whether a token may rotate itself; null: it may not.
ALTER TABLE tenants ADD COLUMN self_rotation INTEGER;
-- How long dead tokens and ended values are kept; null: as long as is configured.
ALTER TABLE tenants ADD COLUMN retention_ms INTEGER;

-- When the token got its current value, if that is not its first.
ALTER TABLE tokens ADD COLUMN rotated_at INTEGER;

-- What the revoker added to the reason.
ALTER TABLE epochs ADD COLUMN revoke_text TEXT;

-- When the value was first presented after its end; it is recorded once.
ALTER TABLE secrets ADD COLUMN reused_at INTEGER;
CREATE INDEX secrets_by_end ON secrets (token_id, ends_at);

-- The last use of each token, apart from its record, whose version it leaves alone.
CREATE TABLE token_uses (
    token_id BLOB NOT NULL PRIMARY KEY REFERENCES tokens,
    used_at  INTEGER NOT NULL,
    used_by  BLOB,                    -- the token of the service that asked; null: used here
    address  TEXT                     -- the client's, as that service gave it
) STRICT;

-- Calls that changed something and may be asked again, for a day.
CREATE TABLE requests (
    caller_id  BLOB NOT NULL,         -- the caller's token
    rpc        TEXT NOT NULL,
    request_id TEXT NOT NULL,         -- as the caller chose it
    digest     BLOB NOT NULL,        -- SHA-256 of the request
    token_id   BLOB,                  -- the token whose value was given out; then no outcome
    outcome    TEXT,                  -- JSON, what was answered
    number     INTEGER NOT NULL,          -- of the revision that was answered
    created_at INTEGER NOT NULL,
    PRIMARY KEY (caller_id, rpc, request_id)
) STRICT;
CREATE INDEX requests_by_age ON requests (created_at);

-- How long each tenant's chain of audit events is, and its last hash.
CREATE TABLE audit_heads (
    tenant_id TEXT NOT NULL PRIMARY KEY REFERENCES tenants,
    count     INTEGER NOT NULL,           -- of all events ever, pruned ones too
    hash      BLOB NOT NULL          -- of the last event
) STRICT;

-- The chains of audit events.
CREATE TABLE audit_events (
    tenant_id  TEXT NOT NULL REFERENCES tenants,
    sequence   INTEGER NOT NULL,          -- from 1, gapless
    event      BLOB NOT NULL,        -- domain::audit::Event in its canonical bytes
    hash       BLOB NOT NULL,        -- SHA-256 of the hash before and the event
    created_at INTEGER NOT NULL,
    action     TEXT NOT NULL,         -- this and all below stand in the event, too
    caller_id  BLOB,                  -- the caller's token
    user_id    BLOB,                  -- whom it was about
    token_id   BLOB,                  -- what it was about
    PRIMARY KEY (tenant_id, sequence)
) STRICT;

-- Where each chain begins since it was last pruned.
CREATE TABLE audit_checkpoints (
    tenant_id  TEXT NOT NULL PRIMARY KEY REFERENCES tenants,
    sequence   INTEGER NOT NULL,          -- of the last event that was pruned
    hash       BLOB NOT NULL,        -- of that event
    created_at INTEGER NOT NULL
) STRICT;

-- The processes that share this store, and which keys each holds.
CREATE TABLE replicas (
    replica_id TEXT NOT NULL PRIMARY KEY, -- drawn when the process starts
    keys       TEXT NOT NULL,             -- of its keyring, joined by blanks
    started_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL
) STRICT;

-- Work that one replica at a time does.
CREATE TABLE jobs (
    name    TEXT NOT NULL PRIMARY KEY,
    holder  TEXT NOT NULL,            -- the replica that began the last run
    next_at INTEGER NOT NULL              -- before this no other run begins
) STRICT;
