SET LOCAL ROLE comms_maintenance; -- it sees the keys of every tenant
CREATE OR REPLACE FUNCTION public.encryption_status()
RETURNS TABLE (
    organization_id uuid, key_type text, purpose text, keys bigint, active_version integer, active_since timestamptz,
    active_age interval, under_old_master bigint, state text, finding text, remedy text
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* One row for the key-encryption key of the machine that answers, and one for each organization, key type and
   purpose; what needs somebody comes first. state: ok; attention: works, but something is to be done; failed:
   what it encrypted cannot be read here. Proven by opening every key, a quarter of a millisecond each. */
#variable_conflict use_column
DECLARE
    v_nobody constant uuid := uuid '00000000-0000-0000-0000-000000000000';
    v_problem constant text := internal.key_encryption_problem();
BEGIN
    RETURN QUERY
    WITH summary AS (
        SELECT
            one.organization_id, one.key_type, one.purpose, count(*) AS keys,
            max(one.key_version) FILTER (WHERE one.state = 'active') AS active_version,
            max(one.activated_at) FILTER (WHERE one.state = 'active') AS active_since,
            count(*) FILTER (WHERE one.state <> 'destroyed' AND master.state <> 'active') AS under_old_master,
            min(internal.key_problem(one)) AS problem
        FROM public.communication_encryption_keys AS one
        LEFT JOIN public.communication_encryption_keys AS master
            ON master.organization_id = v_nobody AND master.key_id = one.parent_key_id
        GROUP BY one.organization_id, one.key_type, one.purpose
        UNION ALL
        SELECT v_nobody, 'key_encryption', 'keys', 1, NULL, NULL, 0, v_problem
    ), judged AS (
        SELECT
            summary.*, now() - summary.active_since AS active_age,
            CASE
                WHEN summary.problem IS NOT NULL THEN 1
                WHEN summary.under_old_master > 0 THEN 2
                WHEN summary.key_type = 'master' AND now() - summary.active_since > interval '35 days' THEN 3
                ELSE 4
            END AS verdict
        FROM summary
    )

    SELECT
        judged.organization_id, judged.key_type, judged.purpose, judged.keys, judged.active_version,
        judged.active_since, judged.active_age, judged.under_old_master,
        (ARRAY['failed', 'attention', 'attention', 'ok'])[judged.verdict],
        (ARRAY[
            judged.problem, 'keys are under a master that was replaced', 'the master is older than 35 days', NULL
        ])[judged.verdict],
        (ARRAY[
            'Restore the key-encryption key from escrow, see docs/security.md.',
            'SELECT * FROM rotate_encryption_keys(''master''), until nothing remains.',
            'SELECT * FROM rotate_encryption_keys(''master'').', NULL
        ])[judged.verdict]
    FROM judged
    ORDER BY judged.verdict, judged.key_type DESC, judged.organization_id, judged.purpose;
END
$plpgsql$;

COMMENT ON FUNCTION public.encryption_status() IS
'Which keys there are, whether they open on this machine, and what is to be done about them.';
REVOKE ALL ON FUNCTION public.encryption_status() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.encryption_status() TO comms_ops;
