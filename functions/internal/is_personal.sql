CREATE OR REPLACE FUNCTION internal.is_personal(p_recipient public.communication_recipients) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
/* Whether a recipient still has anything that tells who it is, a link to a guest apart. */
RETURN pg_catalog.num_nonnulls(
    (p_recipient).recipient_name, (p_recipient).recipient_email, (p_recipient).recipient_phone,
    (p_recipient).recipient_device, (p_recipient).address_hash, (p_recipient).personalisation,
    (p_recipient).error_message
) > 0;

COMMENT ON FUNCTION internal.is_personal(public.communication_recipients) IS
'Whether a recipient still has anything that tells who it is, a link to a guest apart.';
REVOKE ALL ON FUNCTION internal.is_personal(public.communication_recipients) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.is_personal(public.communication_recipients) TO comms_maintenance;
