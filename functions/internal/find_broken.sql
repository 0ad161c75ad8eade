SET LOCAL ROLE comms_maintenance; -- it looks at every tenant, and shows ids only
CREATE OR REPLACE FUNCTION internal.find_broken(
    p_check text, p_since timestamptz, OUT count bigint, OUT sample jsonb
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* What internal.integrity_<p_check>() finds: how many, and five of them. */
BEGIN
    EXECUTE format(
        'SELECT count(*), coalesce(jsonb_agg(jsonb_build_object('
        '''organization_id'', broken.organization_id, ''id'', broken.id, ''detail'', broken.detail)'
        ') FILTER (WHERE broken.place <= 5), ''[]'')'
        ' FROM (SELECT *, row_number() OVER () AS place FROM internal.%I($1)) AS broken', 'integrity_' || p_check
    ) USING p_since INTO count, sample;
END
$plpgsql$;

COMMENT ON FUNCTION internal.find_broken(text, timestamptz) IS 'What an integrity check finds: how many, and a sample.';
REVOKE ALL ON FUNCTION internal.find_broken(text, timestamptz) FROM PUBLIC;
