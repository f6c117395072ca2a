-- What the revoker added to the reason.
ALTER TABLE epochs ADD COLUMN revoke_text TEXT;
