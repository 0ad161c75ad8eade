CREATE OR REPLACE FUNCTION internal.failed_run(
    p_what text, p_node text, p_started_at timestamptz, p_error text
) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $sql$
/* Return the document of a run that came to no verdict, as the agent writes one of a run that did: what, verdict, node,
   versions, times, findings. */
SELECT jsonb_build_object(
    'what', p_what, 'verdict', 'failed', 'node', p_node,
    'versions', jsonb_build_object('postgresql', current_setting('server_version')),
    'started_at', p_started_at, 'ended_at', clock_timestamp(),
    'seconds', round(extract(EPOCH FROM clock_timestamp() - p_started_at), 3), 'figures', '{}'::jsonb,
    'findings', jsonb_build_array(
        jsonb_build_object('kind', 'failed', 'what', coalesce(nullif(p_error, ''), 'no reason given'))
    )
)
$sql$;

COMMENT ON FUNCTION internal.failed_run(text, text, timestamptz, text) IS
'The document of a backup or drill that came to no verdict.';
REVOKE ALL ON FUNCTION internal.failed_run(text, text, timestamptz, text) FROM PUBLIC;
