CREATE OR REPLACE FUNCTION internal.maintain_partitions() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Make the partitions of the months ahead and drop those past their retention, as partman.part_config says.
   For the owner of the tables, because only an owner attaches a partition. Returns at once while another call
   works; raises what pg_partman raises, and then nothing was changed. */
BEGIN
    PERFORM partman.run_maintenance();
    PERFORM internal.guard_audit_partitions();
END
$plpgsql$;

COMMENT ON FUNCTION internal.maintain_partitions() IS
'Make the partitions of the months ahead and drop those past their retention, as partman.part_config says.';
REVOKE ALL ON FUNCTION internal.maintain_partitions() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.maintain_partitions() TO comms_maintenance;
