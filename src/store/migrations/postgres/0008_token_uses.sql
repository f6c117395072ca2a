-- The last use of each token, apart from its record, whose version it leaves alone.
CREATE TABLE token_uses (
    token_id UUID NOT NULL PRIMARY KEY REFERENCES tokens,
    used_at  BIGINT NOT NULL,
    used_by  UUID,                    -- the token of the service that asked; null: used here
    address  TEXT COLLATE "C"                     -- the client's, as that service gave it
);
