CREATE OR REPLACE FUNCTION public.search_guests(
    p_organization_id uuid, p_query text, p_limit integer DEFAULT 50,
    p_after_key text DEFAULT NULL, p_after_id uuid DEFAULT NULL
) RETURNS TABLE (guest_id uuid, external_id text, name text, email text, phone text, search_key text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Guests whose name or e-mail address begins with a text, capitals or not; with '' all of them. They
   come in the order of search_key, which is the name or address that fits; for the next page give
   search_key and guest_id of the last row as p_after_key and p_after_id.
   Raises GC300 for NULL, GC308 for a limit that is not 1 to 500 or half a place to go on from. */
DECLARE
    v_from text := lower(btrim(p_query));
    v_below text := lower(btrim(p_query)) || chr(1114111); -- no character is greater
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    IF p_query IS NULL THEN
        RAISE EXCEPTION 'p_query is NULL'
        USING ERRCODE = 'GC300', HINT = 'Give the beginning of a name or address; '''' finds all guests.';
    ELSIF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 500 THEN
        RAISE EXCEPTION 'p_limit is %', coalesce(p_limit::text, 'NULL')
        USING ERRCODE = 'GC308', HINT = 'Give 1 to 500, and go on after the last row.';
    ELSIF (p_after_key IS NULL) <> (p_after_id IS NULL) THEN
        RAISE EXCEPTION 'p_after_key is "%", p_after_id is %', p_after_key, p_after_id
        USING ERRCODE = 'GC308', HINT = 'Give search_key and guest_id of the last row, or neither.';
    END IF;
    -- Ranges, not LIKE, and no coalesce() in them: under row security only what leaks nothing can use an index.
    p_after_key := coalesce(p_after_key, v_from);
    p_after_id := coalesce(p_after_id, '00000000-0000-0000-0000-000000000000');
    RETURN QUERY
    SELECT found.guest_id, found.external_id, found.name, found.email, found.phone, found.search_key
    FROM (
        (
            SELECT
                named.guest_id, named.external_id, named.name, named.email, named.phone,
                named.name_search AS search_key
            FROM public.guests AS named
            WHERE
                named.organization_id = p_organization_id
                AND named.name_search >= v_from AND named.name_search < v_below
                AND (named.name_search, named.guest_id) > (p_after_key, p_after_id)
            ORDER BY named.name_search, named.guest_id LIMIT p_limit
        )
        UNION ALL
        (
            SELECT
                addressed.guest_id, addressed.external_id, addressed.name, addressed.email, addressed.phone,
                addressed.email_search
            FROM public.guests AS addressed
            WHERE
                addressed.organization_id = p_organization_id
                AND addressed.email_search >= v_from AND addressed.email_search < v_below
                AND (addressed.email_search, addressed.guest_id) > (p_after_key, p_after_id)
                AND NOT (addressed.name_search >= v_from AND addressed.name_search < v_below)
            ORDER BY addressed.email_search, addressed.guest_id LIMIT p_limit
        )
    ) AS found
    ORDER BY found.search_key, found.guest_id LIMIT p_limit;
END
$plpgsql$;

COMMENT ON FUNCTION public.search_guests(uuid, text, integer, text, uuid) IS
'Guests whose name or e-mail address begins with a text, page by page.';
REVOKE ALL ON FUNCTION public.search_guests(uuid, text, integer, text, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.search_guests(uuid, text, integer, text, uuid) TO comms_app;
