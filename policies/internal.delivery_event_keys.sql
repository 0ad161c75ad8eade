CREATE POLICY tenant ON internal.delivery_event_keys TO comms_owner
USING (organization_id = (SELECT internal.current_organization()))
WITH CHECK (organization_id = (SELECT internal.current_organization()));
CREATE POLICY maintenance ON internal.delivery_event_keys TO comms_maintenance
USING (true) WITH CHECK (true);

GRANT SELECT, INSERT, DELETE ON internal.delivery_event_keys TO comms_maintenance;
