CREATE OR REPLACE FUNCTION internal.write_recovery_point() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Write the point into the write-ahead log and put into the row what is true of it.
   The name in the log ends with the transaction's number: a point stays in the log even if its INSERT
   is rolled back, and a restore stops at the first of two equal names. */
BEGIN
    NEW.restore_point_name := NEW.recovery_point_id || '.' || pg_current_xact_id()::text;
    NEW.lsn := pg_create_restore_point(NEW.restore_point_name);
    NEW.point_in_time := clock_timestamp();
    NEW.timeline := ('x' || left(pg_walfile_name(NEW.lsn), 8))::bit(32)::bigint;
    NEW.consistent := false;
    NEW.verified_at := NULL;
    NEW.verified_by := NULL;
    NEW.created_by := SESSION_USER;
    RETURN NEW;
END
$plpgsql$;

COMMENT ON FUNCTION internal.write_recovery_point() IS
'Trigger: writes the restore point and replaces whatever the INSERT claimed about it.';
REVOKE ALL ON FUNCTION internal.write_recovery_point() FROM PUBLIC;

CREATE OR REPLACE TRIGGER write_recovery_point
BEFORE INSERT ON public.communication_recovery_points
FOR EACH ROW EXECUTE FUNCTION internal.write_recovery_point();
