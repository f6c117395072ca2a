-- More of a tenant's rules. Each table that calls are reading is altered in a migration
-- of its own: two locks at once could wait for a call that waits for them.

-- How long a rotated value may go on; null: as long as this service lets it.
ALTER TABLE tenants ADD COLUMN max_grace_ms BIGINT;
-- Whether a token may rotate itself; null: it may not.
ALTER TABLE tenants ADD COLUMN self_rotation BOOLEAN;
-- How long dead tokens and ended values are kept; null: as long as is configured.
ALTER TABLE tenants ADD COLUMN retention_ms BIGINT;
-- When tokens of it were first removed for good: it has had some.
ALTER TABLE tenants ADD COLUMN swept_at BIGINT;
