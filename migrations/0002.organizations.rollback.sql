-- CASCADE: functions that return these rows, and policies, are repeatable and come back with apply.
DROP TABLE internal.unrestricted_logins CASCADE;
DROP TABLE internal.organization_logins CASCADE;
DROP TABLE public.organizations CASCADE;
DROP FUNCTION internal.uuid_v7();
