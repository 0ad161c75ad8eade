-- Whether a provider repeats an event is asked of delivery_status now. The table of keys is not written any more: its
-- rows go by their retention rule, the table in a later release, when no function of an earlier one can be running.
-- Locks: the catalogue row of the comment; nobody waits.
COMMENT ON TABLE internal.delivery_event_keys IS 'Not used any more; dropped in a later release.';
