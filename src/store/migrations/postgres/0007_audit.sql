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
CREATE INDEX audit_events_by_token ON audit_events (tenant_id, token_id, sequence);
CREATE INDEX audit_events_by_user ON audit_events (tenant_id, user_id, sequence);

-- Where each chain begins since it was last pruned.
CREATE TABLE audit_checkpoints (
    tenant_id  TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES tenants,
    sequence   BIGINT NOT NULL,          -- of the last event that was pruned
    hash       BYTEA NOT NULL,        -- of that event
    created_at BIGINT NOT NULL
);
