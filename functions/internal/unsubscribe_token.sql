CREATE OR REPLACE FUNCTION internal.unsubscribe_token(
    p_inner_pad bytea, p_outer_pad bytea, p_organization_id uuid, p_recipient_id uuid
) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
/* What an unsubscribe link carries: organization and recipient, signed with the first 16 bytes of an HMAC-SHA256,
   as 64 characters of base64url. The pads are hash_pads(organization, 'unsubscribe_tokens'), once a statement. */
RETURN pg_catalog.translate(
    pg_catalog.encode(
        pg_catalog.uuid_send(p_organization_id) || pg_catalog.uuid_send(p_recipient_id)
        || pg_catalog.substring(internal.keyed_hash(p_inner_pad, p_outer_pad, p_recipient_id::text), 1, 16),
        'base64'
    ),
    '+/', '-_'
);

COMMENT ON FUNCTION internal.unsubscribe_token(bytea, bytea, uuid, uuid) IS
'What an unsubscribe link carries, with prepared pads: organization and recipient, signed.';
REVOKE ALL ON FUNCTION internal.unsubscribe_token(bytea, bytea, uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.unsubscribe_token(bytea, bytea, uuid, uuid) TO comms_maintenance;

CREATE OR REPLACE FUNCTION internal.unsubscribe_token(p_organization_id uuid, p_recipient_id uuid) RETURNS text
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* The token of one recipient. For many, call hash_pads() once and the other form of this function. */
    SELECT internal.unsubscribe_token(pads.inner_pad, pads.outer_pad, p_organization_id, p_recipient_id)
    FROM internal.hash_pads(p_organization_id, 'unsubscribe_tokens') AS pads
$sql$;

COMMENT ON FUNCTION internal.unsubscribe_token(uuid, uuid) IS 'What the unsubscribe link of one recipient carries.';
REVOKE ALL ON FUNCTION internal.unsubscribe_token(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.unsubscribe_token(uuid, uuid) TO comms_maintenance;
