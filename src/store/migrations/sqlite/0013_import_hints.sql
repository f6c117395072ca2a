-- How many characters the hints of a tenant's imported values have: by these a presented
-- value that is of no native form is looked for.
CREATE TABLE import_hints (
    tenant_id   TEXT NOT NULL REFERENCES tenants,
    hint_length INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, hint_length)
) STRICT;
CREATE INDEX import_hints_by_length ON import_hints (hint_length);
