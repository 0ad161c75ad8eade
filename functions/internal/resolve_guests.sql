CREATE OR REPLACE FUNCTION internal.resolve_guests(
    p_organization_id uuid, p_guests jsonb, OUT ids uuid[], OUT known boolean[]
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Which guests upsert_guests() was given: their ids, new ones for new guests, and which of them exist.
   Those are locked. Raises GC304 to GC307, see there. */
DECLARE
    v_problem jsonb;
BEGIN
    -- Values first: under row security a condition uses an index only if nothing in it could leak, and
    -- reading JSON could. Then lookups, whatever the statistics of a table that is growing say.
    WITH given AS MATERIALIZED (
        SELECT parsed.place, parsed.guest_id, parsed.external_id, parsed.name
        FROM internal.read_guests(p_guests) AS parsed
    ),

    found AS MATERIALIZED (
        SELECT
            given.place, given.external_id, given.name, given.guest_id AS given_id, keyed.guest_id AS keyed_id,
            CASE WHEN given.guest_id IS NULL THEN keyed.guest_id ELSE named.guest_id END AS known_id
        FROM given
        LEFT JOIN LATERAL (
            SELECT guest.guest_id FROM public.guests AS guest
            WHERE guest.organization_id = p_organization_id AND guest.guest_id = given.guest_id LIMIT 1
        ) AS named ON true
        LEFT JOIN LATERAL (
            SELECT guest.guest_id FROM public.guests AS guest
            WHERE guest.organization_id = p_organization_id AND guest.external_id = given.external_id LIMIT 1
        ) AS keyed ON true
    ),

    judged AS MATERIALIZED (
        SELECT
            found.*,
            CASE
                WHEN found.given_id IS NOT NULL AND found.known_id IS NULL THEN 'GC306'
                WHEN found.known_id IS NULL AND found.name IS NULL THEN 'GC304'
                WHEN found.keyed_id <> found.known_id THEN 'GC307'
            END AS code,
            coalesce(
                lag(found.place) OVER (
                    PARTITION BY coalesce(found.known_id::text, 'new ' || found.place) ORDER BY found.place
                ),
                lag(found.place) OVER (
                    PARTITION BY coalesce('key ' || found.external_id, 'none ' || found.place) ORDER BY found.place
                )
            ) AS earlier
        FROM found
    ),

    first_problem AS (
        SELECT judged.place, judged.given_id, judged.external_id, judged.keyed_id, judged.earlier, judged.code
        FROM judged WHERE judged.code IS NOT NULL OR judged.earlier IS NOT NULL
        ORDER BY judged.place LIMIT 1
    )

    SELECT
        array_agg(coalesce(judged.known_id, internal.uuid_v7()) ORDER BY judged.place),
        array_agg(judged.known_id IS NOT NULL ORDER BY judged.place),
        (SELECT to_jsonb(first_problem) FROM first_problem)
    INTO ids, known, v_problem
    FROM judged;
    CASE v_problem ->> 'code'
        WHEN 'GC304' THEN
            RAISE EXCEPTION 'guest %: a new guest without a name', v_problem ->> 'place'
            USING ERRCODE = 'GC304', HINT = 'Give its name, or the guest_id or external_id of a guest that exists.';
        WHEN 'GC306' THEN
            RAISE EXCEPTION 'guest %: there is no guest with guest_id %', v_problem ->> 'place', v_problem ->> 'given_id'
            USING ERRCODE = 'GC306', HINT = 'Leave guest_id out for a new guest: the answer tells its id.';
        WHEN 'GC307' THEN
            RAISE EXCEPTION 'guest %: external_id "%" is that of another guest',
                v_problem ->> 'place', v_problem ->> 'external_id'
            USING ERRCODE = 'GC307', HINT = format('It is that of guest_id %s.', v_problem ->> 'keyed_id');
        ELSE
            IF v_problem IS NOT NULL THEN
                RAISE EXCEPTION 'guests % and % are the same', v_problem ->> 'earlier', v_problem ->> 'place'
                USING ERRCODE = 'GC305', HINT = 'Give every guest_id and every external_id once.';
            END IF;
    END CASE;
    -- In the order of their keys, as everybody does who locks several. FOR UPDATE, which whoever may set external_id
    -- takes in the end: to take it only then, in another order, was a deadlock with the foreign key of bulk_send().
    PERFORM FROM public.guests AS guest
    WHERE guest.organization_id = p_organization_id AND guest.guest_id = ANY (ids)
    ORDER BY guest.guest_id FOR UPDATE;
END
$plpgsql$;

COMMENT ON FUNCTION internal.resolve_guests(uuid, jsonb) IS
'Find and lock the guests that upsert_guests() was given, and make ids for new ones.';
REVOKE ALL ON FUNCTION internal.resolve_guests(uuid, jsonb) FROM PUBLIC;
