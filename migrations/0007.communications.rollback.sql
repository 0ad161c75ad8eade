DELETE FROM partman.part_config
WHERE parent_table IN ('public.guest_communications', 'public.communication_recipients', 'public.delivery_status');
DROP TABLE internal.communication_counter_deltas CASCADE;
DROP TABLE internal.unmatched_delivery_events CASCADE;
DROP TABLE internal.provider_messages CASCADE;
DROP TABLE internal.delivery_event_keys CASCADE;
DROP TABLE public.delivery_status CASCADE;
DROP TABLE public.communication_recipients CASCADE;
DROP TABLE public.guest_communications CASCADE;
DROP TABLE internal.delivery_status_template;
DROP TABLE internal.communication_recipients_template;
DROP TABLE internal.guest_communications_template;
DROP FUNCTION internal.status_rank(text);
