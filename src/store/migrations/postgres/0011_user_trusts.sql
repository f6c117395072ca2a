-- The installation-wide trust that vouches for the user; null where its tenant does.
ALTER TABLE users ADD COLUMN vouching_trust TEXT COLLATE "C";
-- Two vouchers may know two users by one name. An older program writes no trust, so its users
-- are as unique as before; its ON CONFLICT names no index.
DROP INDEX users_by_external_id;
CREATE UNIQUE INDEX users_by_external_id ON users (vouching_tenant_id, external_id)
    WHERE deleted_at IS NULL AND vouching_trust IS NULL;
CREATE UNIQUE INDEX users_by_subject ON users (vouching_trust, external_id)
    WHERE deleted_at IS NULL AND vouching_trust IS NOT NULL;
-- Deleted ones, too: who was deleted is not made again at first sight.
CREATE INDEX users_by_voucher ON users (vouching_tenant_id, external_id);
