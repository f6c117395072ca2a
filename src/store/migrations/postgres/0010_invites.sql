-- That somebody may join a tenant, once. Rows go when they are past their retention.
CREATE TABLE invites (
    invite_id       UUID NOT NULL PRIMARY KEY,
    tenant_id       TEXT COLLATE "C" NOT NULL REFERENCES tenants,
    user_id         UUID NOT NULL, -- who is to join; a new user has this id from the claim on
    external_id     TEXT COLLATE "C",          -- of a new user; null where the user existed
    display_name    TEXT COLLATE "C",          -- of a new user
    role            TEXT COLLATE "C" NOT NULL, -- member, admin
    first_token     TEXT COLLATE "C",          -- JSON, domain::invite::FirstToken
    lookup          TEXT COLLATE "C" NOT NULL UNIQUE,
    hint            TEXT COLLATE "C" NOT NULL, -- the visible part of the value
    secret_hash     TEXT COLLATE "C" NOT NULL, -- bcrypt
    fingerprint     BYTEA NOT NULL, -- HMAC-SHA-256 under fingerprint_key
    fingerprint_key TEXT COLLATE "C" NOT NULL,
    created_by      UUID,          -- the caller's token
    creator_id      UUID,          -- the user that the caller acted as
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    claimed_at      BIGINT,
    token_id        UUID,          -- the token that the claim created
    revoked_at      BIGINT
);
CREATE INDEX invites_by_age ON invites (tenant_id, created_at, invite_id);
CREATE INDEX invites_by_user ON invites (user_id);
CREATE INDEX invites_by_external_id ON invites (tenant_id, external_id);
CREATE INDEX invites_by_end ON invites (expires_at);
