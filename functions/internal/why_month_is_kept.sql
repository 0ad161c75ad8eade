CREATE OR REPLACE FUNCTION internal.why_month_is_kept(
    p_data_class text, p_from timestamptz, p_until timestamptz, p_before timestamptz
) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Why a month of communications or of reports cannot be dropped; NULL: it can. Not in SQL: between two calls a
   partition may go, and PostgreSQL 17 does not notice that for the plan of such a function. */
BEGIN
    RETURN CASE
        WHEN p_data_class = 'guest_communications' AND (
            EXISTS (
                SELECT FROM public.guest_communications AS message
                WHERE
                    message.created_at >= p_from AND message.created_at < p_until
                    AND (
                        message.status IN ('scheduled', 'sending')
                        OR greatest(message.scheduled_for, message.completed_at, message.cancelled_at) >= p_before
                    )
            )
            OR EXISTS (
                SELECT FROM public.communication_batch_queue AS chunk
                WHERE chunk.communication_created_at >= p_from AND chunk.communication_created_at < p_until
            )
            OR EXISTS (
                SELECT FROM public.communication_recipients AS recipient
                WHERE
                    recipient.communication_created_at >= p_from AND recipient.communication_created_at < p_until
                    AND recipient.status IN ('queued', 'sending')
            )
        ) THEN 'messages are not sent yet, or were sent lately'
        WHEN EXISTS (
            SELECT FROM public.legal_holds AS hold
            WHERE
                hold.lifted_at IS NULL
                AND CASE p_data_class
                    WHEN 'delivery_status' THEN EXISTS (
                        SELECT FROM public.delivery_status AS report
                        LEFT JOIN public.communication_recipients AS recipient
                            ON report.organization_id = recipient.organization_id
                                AND report.recipient_id = recipient.id
                                AND report.communication_created_at = recipient.communication_created_at
                        WHERE
                            report.organization_id = hold.organization_id
                            AND report.created_at >= p_from AND report.created_at < p_until
                            AND (hold.communication_id IS NULL OR report.communication_id = hold.communication_id)
                            AND (hold.guest_id IS NULL OR recipient.guest_id = hold.guest_id)
                    )
                    ELSE EXISTS (
                        SELECT FROM public.guest_communications AS message
                        LEFT JOIN public.communication_recipients AS recipient
                            ON message.organization_id = recipient.organization_id
                                AND message.id = recipient.communication_id
                                AND message.created_at = recipient.communication_created_at
                                AND recipient.guest_id = hold.guest_id
                        WHERE
                            message.organization_id = hold.organization_id
                            AND message.created_at >= p_from AND message.created_at < p_until
                            AND (hold.communication_id IS NULL OR message.id = hold.communication_id)
                            AND (hold.guest_id IS NULL OR recipient.id IS NOT NULL)
                    )
                END
        ) THEN 'a legal hold'
    END;
END
$plpgsql$;

COMMENT ON FUNCTION internal.why_month_is_kept(text, timestamptz, timestamptz, timestamptz) IS
'Why a month of communications or of reports cannot be dropped; NULL: it can.';
REVOKE ALL ON FUNCTION internal.why_month_is_kept(text, timestamptz, timestamptz, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.why_month_is_kept(text, timestamptz, timestamptz, timestamptz)
TO comms_maintenance;
