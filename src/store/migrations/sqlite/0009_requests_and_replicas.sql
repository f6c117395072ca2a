-- Calls that changed something and may be asked again, for a day.
CREATE TABLE requests (
    caller_id  BLOB NOT NULL,         -- the caller's token
    rpc        TEXT NOT NULL,
    request_id TEXT NOT NULL,         -- as the caller chose it
    digest     BLOB NOT NULL,        -- how far the caller's rights went, and SHA-256 of the request
    token_id   BLOB,                  -- the token whose value was given out; then no outcome
    outcome    TEXT,                  -- JSON, what was answered
    number     INTEGER NOT NULL,          -- of the revision that was answered
    created_at INTEGER NOT NULL,
    PRIMARY KEY (caller_id, rpc, request_id)
) STRICT;
CREATE INDEX requests_by_age ON requests (created_at);

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
    holder  TEXT NOT NULL,            -- the run that took it last
    next_at INTEGER NOT NULL              -- before this no other run begins
) STRICT;
