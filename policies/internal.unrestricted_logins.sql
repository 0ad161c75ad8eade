-- Not of a tenant: no row security. Written by set_login_unrestricted() alone.
GRANT SELECT ON internal.unrestricted_logins TO comms_ops, comms_monitor;
