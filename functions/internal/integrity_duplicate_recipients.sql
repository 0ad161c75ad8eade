SET LOCAL ROLE comms_maintenance; -- it looks at every tenant
CREATE OR REPLACE FUNCTION internal.integrity_duplicate_recipients(p_since timestamptz)
RETURNS TABLE (organization_id uuid, id uuid, detail jsonb)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* Recipients who are still queued although another one of the same message has the same address: somebody would get
       the message twice. Keys keep a guest from being there twice; two guests may share an address. */
    SELECT doubled.organization_id, doubled.id, jsonb_build_object('communication_id', doubled.communication_id)
    FROM (
        SELECT
            recipient.organization_id, recipient.id, recipient.communication_id, recipient.status,
            row_number() OVER (
                PARTITION BY
                    recipient.organization_id, recipient.communication_id, recipient.channel, recipient.address_hash
                ORDER BY recipient.status = 'queued', recipient.id
            ) AS place
        FROM public.guest_communications AS message
        JOIN public.communication_recipients AS recipient
            ON recipient.organization_id = message.organization_id AND recipient.communication_id = message.id
            AND recipient.communication_created_at = message.created_at
        WHERE
            message.created_at >= p_since AND recipient.communication_created_at >= p_since
            AND message.status IN ('scheduled', 'sending')
            AND recipient.address_hash IS NOT NULL AND recipient.status NOT IN ('suppressed', 'cancelled')
    ) AS doubled
    WHERE doubled.place > 1 AND doubled.status = 'queued'
    LIMIT 100000
$sql$;

COMMENT ON FUNCTION internal.integrity_duplicate_recipients(timestamptz) IS
'Integrity: recipients who will get the same message twice at one address.';
REVOKE ALL ON FUNCTION internal.integrity_duplicate_recipients(timestamptz) FROM PUBLIC;
