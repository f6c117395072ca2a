-- When the token got its current value, if that is not its first.
ALTER TABLE tokens ADD COLUMN rotated_at BIGINT;
