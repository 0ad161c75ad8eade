CREATE OR REPLACE FUNCTION internal.drop_month(p_parent regclass, p_from timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Retention: drop one month of messages or reports, as the owner of the table. Whether it may be dropped has been
   asked by the caller, who sees the rows of every organization. It is detached first, because foreign keys depend on
   a partition that they point to. */
DECLARE
    v_partition regclass;
BEGIN
    SELECT month.partition INTO v_partition
    FROM internal.months_of(p_parent) AS month WHERE month.from_moment = p_from;
    IF v_partition IS NOT NULL AND p_parent = ANY (
        '{public.guest_communications, public.communication_recipients, public.delivery_status}'::regclass[]
    ) THEN
        EXECUTE format('ALTER TABLE %s DETACH PARTITION %s', p_parent, v_partition);
        EXECUTE format('DROP TABLE %s', v_partition);
    END IF;
END
$plpgsql$;

COMMENT ON FUNCTION internal.drop_month(regclass, timestamptz) IS
'Retention: drop one month of messages or reports, as the owner of the table.';
REVOKE ALL ON FUNCTION internal.drop_month(regclass, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.drop_month(regclass, timestamptz) TO comms_maintenance;
