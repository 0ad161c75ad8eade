CREATE OR REPLACE FUNCTION internal.check_proof(
    p_method text, p_source text, p_user_agent text, p_actor text
) RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Refuse what would prove nothing: GC300 without a method, GC405 for an unknown one or for unreadable texts. */
BEGIN
    PERFORM internal.require_given(jsonb_build_object('p_method', p_method));
    IF p_method NOT IN ('form', 'double_opt_in', 'sms_keyword', 'spoken', 'paper', 'import', 'unsubscribe', 'request')
    THEN
        RAISE EXCEPTION 'there is no method "%"', left(p_method, 100)
        USING ERRCODE = 'GC405',
            HINT = 'form, double_opt_in, sms_keyword, spoken, paper, import, unsubscribe or request.';
    END IF;
    PERFORM internal.require_text('p_source', p_source, 500, 'GC405');
    PERFORM internal.require_text('p_user_agent', p_user_agent, 1000, 'GC405');
    PERFORM internal.require_text('p_actor', p_actor, 200, 'GC405');
END
$plpgsql$;

COMMENT ON FUNCTION internal.check_proof(text, text, text, text) IS
'Refuse a proof of consent whose parts are unknown or unreadable.';
REVOKE ALL ON FUNCTION internal.check_proof(text, text, text, text) FROM PUBLIC;
