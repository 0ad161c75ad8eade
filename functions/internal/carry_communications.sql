SET LOCAL ROLE comms_maintenance; -- it concerns every tenant
CREATE OR REPLACE FUNCTION internal.carry_communications(p_facts jsonb) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* For apply_protective_facts(): communications that this database has never heard of, but somebody has got. They come so
   that the links to unsubscribe in them work and providers' reports find them. Whoever was still queued for one is not
   here, so it is cancelled unless all of it was sent: who wants the rest written to makes a new one. Counters follow
   from the recipients. Returns how many are new. */
DECLARE
    v_changed bigint;
BEGIN
    INSERT INTO public.guest_communications (
        organization_id, id, created_at, message_title, message_type, message_category, purpose, lawful_basis,
        template_id, template_version, subject, body, body_text, compiled, variables, sender_name, sender_address,
        reply_to, postal_address, unsubscribe_url, status, scheduled_for, window_from, window_until, priority,
        created_by, started_at, completed_at, cancelled_at
    )
    SELECT
        fact.organization_id, fact.id, fact.created_at, fact.message_title, fact.message_type, fact.message_category,
        fact.purpose, fact.lawful_basis, pinned.template_id, pinned.version, fact.subject, fact.body, fact.body_text,
        fact.compiled, coalesce(fact.variables, '{}'), fact.sender_name, fact.sender_address, fact.reply_to,
        fact.postal_address, fact.unsubscribe_url, fate.status, fact.scheduled_for, fact.window_from,
        fact.window_until, fact.priority, fact.created_by, fact.started_at, fact.completed_at,
        CASE fate.status WHEN 'cancelled' THEN coalesce(fact.cancelled_at, clock_timestamp()) END
    FROM jsonb_populate_recordset(NULL::public.guest_communications, p_facts) AS fact
    CROSS JOIN LATERAL (SELECT CASE fact.status WHEN 'sent' THEN 'sent' ELSE 'cancelled' END) AS fate (status)
    JOIN public.organizations AS organization ON organization.organization_id = fact.organization_id
    LEFT JOIN public.message_template_versions AS pinned -- it may be newer than this database
        ON pinned.organization_id = fact.organization_id AND pinned.template_id = fact.template_id
            AND pinned.version = fact.template_version
    ORDER BY fact.organization_id, fact.id
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS v_changed = ROW_COUNT;
    RETURN v_changed;
END
$plpgsql$;

COMMENT ON FUNCTION internal.carry_communications(jsonb) IS
'Facts for a restored database: communications made since, somebody of which was written to.';
REVOKE ALL ON FUNCTION internal.carry_communications(jsonb) FROM PUBLIC;
