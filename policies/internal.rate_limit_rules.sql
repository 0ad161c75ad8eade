-- Operations writes the rules; check_rate_limit() reads those of everybody and of the tenant it has entered.
CREATE POLICY tenant ON internal.rate_limit_rules FOR SELECT TO comms_owner
USING (
    organization_id = '00000000-0000-0000-0000-000000000000'
    OR organization_id = (SELECT internal.current_organization())
);
CREATE POLICY operations ON internal.rate_limit_rules TO comms_ops
USING (true) WITH CHECK (true);

GRANT SELECT, INSERT, UPDATE, DELETE ON internal.rate_limit_rules TO comms_ops;
