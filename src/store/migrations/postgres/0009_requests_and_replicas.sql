-- Calls that changed something and may be asked again, for a day.
CREATE TABLE requests (
    caller_id  UUID NOT NULL,         -- the caller's token
    rpc        TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,         -- as the caller chose it
    digest     BYTEA NOT NULL,        -- how far the caller's rights went, and SHA-256 of the request
    token_id   UUID,                  -- the token whose value was given out; then no outcome
    outcome    TEXT COLLATE "C",                  -- JSON, what was answered
    number     BIGINT NOT NULL,          -- of the revision that was answered
    created_at BIGINT NOT NULL,
    PRIMARY KEY (caller_id, rpc, request_id)
);
CREATE INDEX requests_by_age ON requests (created_at);

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
    holder  TEXT COLLATE "C" NOT NULL,            -- the run that took it last
    next_at BIGINT NOT NULL              -- before this no other run begins
);
