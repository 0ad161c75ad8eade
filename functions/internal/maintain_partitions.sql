CREATE OR REPLACE FUNCTION internal.maintain_partitions() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Make the partitions of the months ahead, fill holes, and drop those past their retention, as partman.part_config
   says. For the owner of the tables, because only an owner attaches a partition. Returns at once while another call
   works; raises what pg_partman raises, and then nothing was changed. */
BEGIN
    PERFORM partman.run_maintenance();
    PERFORM partman.partition_gap_fill(config.parent_table)
    FROM partman.part_config AS config
    JOIN internal.partition_months() AS months ON months.parent = config.parent_table
    WHERE months.holes > 0;
    PERFORM internal.guard_audit_partitions();
    -- pg_partman sets it for the session, which outlives this function: through the pooler others would inherit it.
    RESET search_path;
END
$plpgsql$;

COMMENT ON FUNCTION internal.maintain_partitions() IS
'Make the partitions of the months ahead and drop those past their retention, as partman.part_config says.';
REVOKE ALL ON FUNCTION internal.maintain_partitions() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.maintain_partitions() TO comms_maintenance;
