SET LOCAL ROLE comms_maintenance; -- operations may insert for every organization
CREATE OR REPLACE FUNCTION internal.validate_message() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Replace whatever an INSERT claims about a message by what the message shows. What a person said about its subject
   stays true for later checks: the texts of a communication never change.
   Raises GC300 if no communication is named, GC420 if there is no such one. */
DECLARE
    v_message public.guest_communications;
    v_passed integer;
    v_applying integer;
BEGIN
    PERFORM internal.require_given(jsonb_build_object('communication_id', NEW.communication_id));
    SELECT known.* INTO v_message
    FROM public.guest_communications AS known
    WHERE
        known.id = NEW.communication_id AND known.created_at = internal.uuid_v7_time(NEW.communication_id)
        AND (NEW.organization_id IS NULL OR known.organization_id = NEW.organization_id);
    IF v_message.id IS NULL THEN
        RAISE EXCEPTION 'there is no communication %', NEW.communication_id
        USING ERRCODE = 'GC420', HINT = 'Give the id that create_communication() returned.';
    END IF;
    IF NEW.subject_assessed_by IS NULL THEN
        NEW.subject_line_accurate := NULL;
        SELECT assessed.subject_line_accurate, assessed.subject_assessed_by, assessed.subject_assessed_at
        INTO NEW.subject_line_accurate, NEW.subject_assessed_by, NEW.subject_assessed_at
        FROM public.communication_canspam_compliance AS assessed
        WHERE
            assessed.organization_id = v_message.organization_id AND assessed.communication_id = v_message.id
            AND assessed.subject_assessed_by IS NOT NULL
        ORDER BY assessed.validation_id DESC
        LIMIT 1;
    END IF;
    SELECT
        bool_or(duty.passed) FILTER (WHERE duty.finding = 'unsubscribe_link'),
        bool_or(duty.passed) FILTER (WHERE duty.finding = 'physical_address'),
        bool_or(duty.passed) FILTER (WHERE duty.finding = 'clear_sender'),
        count(*) FILTER (WHERE duty.applies AND duty.passed), count(*) FILTER (WHERE duty.applies),
        jsonb_agg(to_jsonb(duty))
    INTO
        NEW.has_unsubscribe_link, NEW.has_physical_address, NEW.has_clear_sender, v_passed, v_applying, NEW.findings
    FROM internal.message_findings(v_message, NEW.subject_line_accurate) AS duty;
    NEW.organization_id := v_message.organization_id;
    NEW.validation_id := internal.uuid_v7();
    NEW.compliance_score := 100 * v_passed / v_applying;
    NEW.validator_version := 1;
    NEW.validation_timestamp := clock_timestamp();
    NEW.validated_by := SESSION_USER;
    RETURN NEW;
END
$plpgsql$;

COMMENT ON FUNCTION internal.validate_message() IS
'Trigger: replaces whatever an INSERT claims about a message by what the message shows.';
REVOKE ALL ON FUNCTION internal.validate_message() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.validate_message() TO comms_owner;

SET LOCAL ROLE comms_owner; -- the table is its
CREATE OR REPLACE TRIGGER validate_message
BEFORE INSERT ON public.communication_canspam_compliance
FOR EACH ROW EXECUTE FUNCTION internal.validate_message();
