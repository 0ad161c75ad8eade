-- The ledger of what this database was built from.
-- Needed to see that an applied migration was edited, and which functions and policies have to be applied again.
-- Locks: none, everything is new.
CREATE TABLE internal.applied_sql (
    path text PRIMARY KEY,
    sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    catalogue_sha256 text CHECK (catalogue_sha256 ~ '^[0-9a-f]{64}$'),
    applied_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    applied_by name NOT NULL DEFAULT session_user
);

COMMENT ON TABLE internal.applied_sql IS
'One row per applied file of migrations/, functions/ and policies/: written by `guestcomms migrate` only.';
COMMENT ON COLUMN internal.applied_sql.path IS 'The file, relative to the top of the repository.';
COMMENT ON COLUMN internal.applied_sql.sha256 IS 'Checksum of the file as it was applied.';
COMMENT ON COLUMN internal.applied_sql.catalogue_sha256 IS
'Checksum of the objects the file made, read back from the catalogue; NULL for migrations.';
COMMENT ON COLUMN internal.applied_sql.applied_at IS 'When it was last applied.';
COMMENT ON COLUMN internal.applied_sql.applied_by IS 'The login that applied it.';
