-- The last use of each token, apart from its record, whose version it leaves alone.
CREATE TABLE token_uses (
    token_id BLOB NOT NULL PRIMARY KEY REFERENCES tokens,
    used_at  INTEGER NOT NULL,
    used_by  BLOB,                    -- the token of the service that asked; null: used here
    address  TEXT                     -- the client's, as that service gave it
) STRICT;
