-- Within an organization its own keys and those of the platform, which wrap them. Operations reads all, wrapped,
-- and adds keys of the platform: the trigger seal_encryption_key decides what is stored.
CREATE POLICY tenant ON public.communication_encryption_keys TO comms_owner
USING (
    organization_id = '00000000-0000-0000-0000-000000000000'
    OR organization_id = (SELECT internal.current_organization())
)
WITH CHECK (
    organization_id = '00000000-0000-0000-0000-000000000000'
    OR organization_id = (SELECT internal.current_organization())
);
CREATE POLICY operations ON public.communication_encryption_keys FOR SELECT TO comms_ops
USING (true);
CREATE POLICY new_platform_key ON public.communication_encryption_keys FOR INSERT TO comms_ops
WITH CHECK (organization_id = '00000000-0000-0000-0000-000000000000');
CREATE POLICY maintenance ON public.communication_encryption_keys TO comms_maintenance
USING (true) WITH CHECK (true);

GRANT SELECT ON public.communication_encryption_keys TO comms_ops;
GRANT INSERT (key_id, key_type, algorithm, encrypted_key, key_version)
ON public.communication_encryption_keys TO comms_ops;
GRANT SELECT, INSERT, UPDATE ON public.communication_encryption_keys TO comms_maintenance;
