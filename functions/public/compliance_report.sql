SET LOCAL ROLE comms_maintenance; -- it looks at every tenant, and shows counts only
CREATE OR REPLACE FUNCTION public.compliance_report(p_from timestamptz, p_until timestamptz)
RETURNS TABLE (organization_id uuid, measure text, value numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* What happened from p_from until before p_until, counted per organization: consents, withdrawals, suppressions,
   commercial messages and their checks, erasures, requests and holds. Measures that are 0 are left out.
   Raises GC300 for NULL, GC421 for what is no period. */
BEGIN
    PERFORM internal.require_period(p_from, p_until);
    RETURN QUERY
    SELECT counted.organization_id, counted.measure, counted.value
    FROM (
        SELECT
            happened.organization_id,
            CASE happened.event WHEN 'given' THEN 'consents_given' ELSE 'consents_withdrawn' END AS measure,
            count(*)::numeric AS value
        FROM public.communication_gdpr_consent_events AS happened
        WHERE happened.recorded_at >= p_from AND happened.recorded_at < p_until
        GROUP BY 1, 2
        UNION ALL
        SELECT bar.organization_id, 'suppressions_' || bar.reason, count(*)
        FROM public.suppressions AS bar
        WHERE bar.created_at >= p_from AND bar.created_at < p_until
        GROUP BY 1, 2
        UNION ALL
        SELECT sent.organization_id, tally.measure, tally.value
        FROM (
            SELECT
                message.organization_id, count(*) AS commercial,
                count(*) FILTER (WHERE checked.compliance_score IS NULL) AS unchecked,
                count(*) FILTER (WHERE checked.compliance_score < 80) AS below_80,
                round(avg(checked.compliance_score), 1) AS average
            FROM public.guest_communications AS message
            LEFT JOIN LATERAL (
                SELECT last_check.compliance_score
                FROM public.communication_canspam_compliance AS last_check
                WHERE
                    last_check.organization_id = message.organization_id
                    AND last_check.communication_id = message.id
                ORDER BY last_check.validation_id DESC
                LIMIT 1
            ) AS checked ON true
            WHERE
                message.created_at >= p_from AND message.created_at < p_until
                AND message.message_category = 'commercial' AND message.status IN ('scheduled', 'sending', 'sent')
            GROUP BY message.organization_id
        ) AS sent
        CROSS JOIN LATERAL (
            VALUES
            ('commercial_messages', sent.commercial::numeric), ('commercial_messages_unchecked', sent.unchecked),
            ('commercial_messages_below_80', sent.below_80), ('commercial_messages_average_score', sent.average)
        ) AS tally (measure, value)
        UNION ALL
        SELECT guest.organization_id, 'guests_erased', count(*)
        FROM public.guests AS guest
        WHERE guest.erased_at >= p_from AND guest.erased_at < p_until
        GROUP BY 1
        UNION ALL
        SELECT request.organization_id, tally.measure, count(*)
        FROM public.data_subject_requests AS request
        CROSS JOIN LATERAL (
            VALUES
            ('requests_received', request.received_at >= p_from AND request.received_at < p_until),
            ('requests_answered', request.closed_at >= p_from AND request.closed_at < p_until),
            (
                'requests_answered_late',
                request.closed_at >= p_from AND request.closed_at < p_until AND request.closed_at > request.due_at
            ),
            ('requests_overdue_now', request.closed_at IS NULL AND request.due_at < now())
        ) AS tally (measure, counts)
        WHERE tally.counts
        GROUP BY 1, 2
        UNION ALL
        SELECT hold.organization_id, 'legal_holds_now', count(*)
        FROM public.legal_holds AS hold
        WHERE hold.lifted_at IS NULL
        GROUP BY 1
    ) AS counted
    WHERE counted.value > 0
    ORDER BY 1, 2;
END
$plpgsql$;

COMMENT ON FUNCTION public.compliance_report(timestamptz, timestamptz) IS
'Consents, withdrawals, suppressions, message checks, erasures and requests of a period, per organization.';
REVOKE ALL ON FUNCTION public.compliance_report(timestamptz, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.compliance_report(timestamptz, timestamptz) TO comms_ops, comms_auditor;
