-- as wedsync_ops
SELECT create_organization('018f0000-0000-7000-8000-000000000001', 'A', 'UTC', ARRAY['wedsync_app']::name[]);
SELECT create_organization(NULL, 'B');
SELECT set_login_unrestricted('wedsync_worker', true, 'sends');
SELECT unbind_login('018f0000-0000-7000-8000-000000000001', 'wedsync_app');
SELECT bind_login('018f0000-0000-7000-8000-000000000001', 'wedsync_app');
-- as wedsync_worker
SELECT enter_tenant('018f0000-0000-7000-8000-000000000001');
