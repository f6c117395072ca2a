-- Values past their end, for who removes them.
CREATE INDEX secrets_by_end ON secrets (ends_at) WHERE ends_at IS NOT NULL;
