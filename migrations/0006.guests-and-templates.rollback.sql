ALTER TABLE public.message_templates DROP CONSTRAINT message_templates_published;
DROP TABLE public.message_template_versions CASCADE;
DROP TABLE public.message_templates CASCADE;
DROP TABLE public.guests CASCADE;
DROP FUNCTION internal.uuid_v7_time(uuid);
