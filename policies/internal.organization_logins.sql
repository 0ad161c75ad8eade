-- current_organization() runs as comms_owner and finds the bindings of the login that asks, no others.
CREATE POLICY own_login ON internal.organization_logins FOR SELECT TO comms_owner
USING (login = SESSION_USER);
CREATE POLICY operations ON internal.organization_logins FOR SELECT TO comms_ops, comms_monitor
USING (true);
CREATE POLICY maintenance ON internal.organization_logins TO comms_maintenance
USING (true) WITH CHECK (true);

GRANT SELECT ON internal.organization_logins TO comms_ops, comms_monitor;
GRANT SELECT, INSERT, DELETE ON internal.organization_logins TO comms_maintenance;
