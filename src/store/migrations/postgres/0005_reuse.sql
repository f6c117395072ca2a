-- When the value was first presented after its end; it is recorded once.
ALTER TABLE secrets ADD COLUMN reused_at BIGINT;
