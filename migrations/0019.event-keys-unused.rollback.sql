COMMENT ON TABLE internal.delivery_event_keys IS 'Events seen in the last weeks, so that a repeated one is dropped.';
