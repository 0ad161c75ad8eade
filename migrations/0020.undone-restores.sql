-- A restore of the cluster that was undone is a run, too: its row has the document, and the database that it left alone
-- has nothing to tell of where it would have ended.
-- Locks: ACCESS EXCLUSIVE on a table of a few rows, for a moment.
-- Clients of earlier releases read the columns of rows that are there before; an undone restore they cannot list.
-- squawk-ignore-file constraint-missing-not-valid, ban-drop-not-null
ALTER TABLE public.communication_cluster_restores
ALTER COLUMN reached_lsn DROP NOT NULL,
ALTER COLUMN abandoned_timeline DROP NOT NULL,
ALTER COLUMN abandoned_at DROP NOT NULL,
ADD COLUMN undone_at timestamptz,
ADD CONSTRAINT communication_cluster_restores_undone CHECK (
    pg_catalog.num_nonnulls(reached_lsn, abandoned_timeline, abandoned_at)
    = CASE WHEN undone_at IS NULL THEN 3 ELSE 0 END
    AND (undone_at IS NULL OR evidence IS NOT NULL)
);

COMMENT ON COLUMN public.communication_cluster_restores.undone_at IS
'When the old data was put back: this database does not come from that restore. NULL: it does.';
