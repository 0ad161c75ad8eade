CREATE OR REPLACE FUNCTION public.set_login_unrestricted(p_login name, p_unrestricted boolean, p_reason text)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Let a worker's login enter every organization, or take that right; the audit notes it.
   Raises GC300 for NULL, GC002 if the login does not exist or is no worker's: an application is bound one by one;
   GC007 for a reason that is empty or longer than 500 characters. */
BEGIN
    IF p_login IS NULL OR p_unrestricted IS NULL OR (p_unrestricted AND p_reason IS NULL) THEN
        RAISE EXCEPTION 'a login, whether it may, and a reason if it may'
        USING ERRCODE = 'GC300', HINT = 'Give set_login_unrestricted(login, true, reason).';
    END IF;
    IF p_unrestricted THEN
        IF length(p_reason) NOT BETWEEN 1 AND 500 THEN
            RAISE EXCEPTION 'a reason of % characters', length(p_reason)
            USING ERRCODE = 'GC007', HINT = 'Say in 1 to 500 characters why it serves every organization.';
        END IF;
        PERFORM internal.require_login(p_login, 'comms_worker');
        INSERT INTO internal.unrestricted_logins (login, reason) VALUES (p_login, p_reason)
        ON CONFLICT (login) DO UPDATE SET reason = excluded.reason;
    ELSE
        DELETE FROM internal.unrestricted_logins AS unrestricted WHERE unrestricted.login = p_login;
    END IF;
    PERFORM internal.record_security_event(
        NULL, 'login_binding', SESSION_USER, NULL, true,
        jsonb_build_object('login', p_login, 'unrestricted', p_unrestricted, 'reason', p_reason)
    );
END
$plpgsql$;

COMMENT ON FUNCTION public.set_login_unrestricted(name, boolean, text) IS
'Let a worker''s login enter every organization, with the reason why, or take that right.';
REVOKE ALL ON FUNCTION public.set_login_unrestricted(name, boolean, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.set_login_unrestricted(name, boolean, text) TO comms_ops;
