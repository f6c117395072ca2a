-- That somebody may join a tenant, once. Rows go when they are past their retention.
CREATE TABLE invites (
    invite_id       BLOB NOT NULL PRIMARY KEY,
    tenant_id       TEXT NOT NULL REFERENCES tenants,
    user_id         BLOB NOT NULL, -- who is to join; a new user has this id from the claim on
    external_id     TEXT,          -- of a new user; null where the user existed
    display_name    TEXT,          -- of a new user
    role            TEXT NOT NULL, -- member, admin
    first_token     TEXT,          -- JSON, domain::invite::FirstToken
    lookup          TEXT NOT NULL UNIQUE,
    hint            TEXT NOT NULL, -- the visible part of the value
    secret_hash     TEXT NOT NULL, -- bcrypt
    fingerprint     BLOB NOT NULL, -- HMAC-SHA-256 under fingerprint_key
    fingerprint_key TEXT NOT NULL,
    created_by      BLOB,          -- the caller's token
    creator_id      BLOB,          -- the user that the caller acted as
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    claimed_at      INTEGER,
    token_id        BLOB,          -- the token that the claim created
    revoked_at      INTEGER
) STRICT;
CREATE INDEX invites_by_age ON invites (tenant_id, created_at, invite_id);
CREATE INDEX invites_by_user ON invites (user_id);
CREATE INDEX invites_by_external_id ON invites (tenant_id, external_id);
CREATE INDEX invites_by_end ON invites (expires_at);
