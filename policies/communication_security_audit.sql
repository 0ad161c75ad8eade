-- Added to by record_security_event() alone, read by auditors and operations. No tenant reads it: who stole a login
-- of the application must not see what was noticed about it. Its partitions have no grants.
CREATE POLICY reading ON public.communication_security_audit FOR SELECT TO comms_auditor, comms_ops
USING (true);
CREATE POLICY maintenance ON public.communication_security_audit TO comms_maintenance
USING (true) WITH CHECK (true);

GRANT SELECT ON public.communication_security_audit TO comms_auditor, comms_ops;
GRANT SELECT, INSERT ON public.communication_security_audit TO comms_maintenance;
