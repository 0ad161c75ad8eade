CREATE OR REPLACE FUNCTION internal.hold_on_guest(p_organization_id uuid, p_guest_id uuid) RETURNS uuid
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* A legal hold that keeps a guest: on the guest, on a message to the guest, or on all of the organization; NULL if
   there is none. No hold is placed before the end of the transaction. */
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('legal_holds:' || p_organization_id::text, 0));
    RETURN (
        SELECT hold.hold_id FROM public.legal_holds AS hold
        WHERE
            hold.organization_id = p_organization_id AND hold.lifted_at IS NULL
            AND (
                hold.guest_id = p_guest_id
                OR num_nonnulls(hold.guest_id, hold.communication_id) = 0
                OR EXISTS (
                    SELECT FROM public.communication_recipients AS recipient
                    WHERE
                        recipient.organization_id = p_organization_id AND recipient.guest_id = p_guest_id
                        AND recipient.communication_id = hold.communication_id
                        AND recipient.communication_created_at = internal.uuid_v7_time(hold.communication_id)
                )
            )
        ORDER BY hold.hold_id
        LIMIT 1
    );
END
$plpgsql$;

COMMENT ON FUNCTION internal.hold_on_guest(uuid, uuid) IS 'A legal hold that keeps a guest, or NULL.';
REVOKE ALL ON FUNCTION internal.hold_on_guest(uuid, uuid) FROM PUBLIC;
