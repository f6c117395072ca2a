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
CREATE INDEX audit_events_by_token ON audit_events (tenant_id, token_id, sequence);
CREATE INDEX audit_events_by_user ON audit_events (tenant_id, user_id, sequence);

-- Where each chain begins since it was last pruned.
CREATE TABLE audit_checkpoints (
    tenant_id  TEXT NOT NULL PRIMARY KEY REFERENCES tenants,
    sequence   INTEGER NOT NULL,          -- of the last event that was pruned
    hash       BLOB NOT NULL,        -- of that event
    created_at INTEGER NOT NULL
) STRICT;
