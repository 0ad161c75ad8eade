-- What a backup, a drill and a restore of the cluster leave behind: one document each, as checks of the repository do.
-- The node agent writes it: what was done, with which versions, when, the figures and the verdict.
-- Locks: ACCESS EXCLUSIVE on three small tables, for a moment.
-- squawk-ignore-file constraint-missing-not-valid
ALTER TABLE public.communication_backups ADD COLUMN evidence jsonb
CHECK (pg_catalog.jsonb_typeof(evidence) = 'object');
ALTER TABLE public.communication_restore_drills ADD COLUMN evidence jsonb
CHECK (pg_catalog.jsonb_typeof(evidence) = 'object');
ALTER TABLE public.communication_cluster_restores ADD COLUMN evidence jsonb
CHECK (pg_catalog.jsonb_typeof(evidence) = 'object');

COMMENT ON COLUMN public.communication_backups.evidence IS
'The document of the run: what, verdict, node, versions, times, figures, findings; NULL while it runs, and of a backup
that the ledger learned of from the repository.';
COMMENT ON COLUMN public.communication_restore_drills.evidence IS
'The document of the run: what, verdict, node, versions, times, figures, findings, what was compared.';
COMMENT ON COLUMN public.communication_cluster_restores.evidence IS
'The document of the run: what, verdict, node, versions, times, figures, and each step with its seconds; NULL until the
restore is done.';
