DELETE FROM partman.part_config
WHERE parent_table = 'public.communication_security_audit';
DROP TABLE internal.rate_limit_rules CASCADE;
DROP TABLE public.communication_rate_limits CASCADE;
DROP TABLE public.communication_security_audit CASCADE;
DROP TABLE internal.communication_security_audit_template;
DROP COLLATION internal.risk_order;
DROP TABLE public.communication_encryption_keys CASCADE;
