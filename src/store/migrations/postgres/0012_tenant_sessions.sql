-- Whose sessions the tenant takes, a JSON document; null: nobody's.
ALTER TABLE tenants ADD COLUMN sessions TEXT COLLATE "C";
-- The issuer of its own trust, which stands in the document, too; null: it has none.
ALTER TABLE tenants ADD COLUMN session_issuer TEXT COLLATE "C";
CREATE INDEX tenants_by_issuer ON tenants (session_issuer) WHERE session_issuer IS NOT NULL;
