-- What providers reported, counted in spans of five minutes: the dashboard adds these up and does not read a day of
-- events every five minutes.
-- Locks: none but those of the new table; nobody waits.
CREATE TABLE internal.delivery_counts (
    span timestamptz NOT NULL,
    provider text NOT NULL,
    channel text NOT NULL,
    status text NOT NULL,
    events bigint NOT NULL CHECK (events > 0),
    PRIMARY KEY (span, provider, channel, status)
);
COMMENT ON TABLE internal.delivery_counts IS
'Events of the last day by arrival, for the dashboard: counted again from delivery_status when it is empty.';
COMMENT ON COLUMN internal.delivery_counts.span IS 'Begin of five minutes in which they arrived.';
COMMENT ON COLUMN internal.delivery_counts.provider IS 'Who reported.';
COMMENT ON COLUMN internal.delivery_counts.channel IS 'email, sms, push or in_app.';
COMMENT ON COLUMN internal.delivery_counts.status IS 'What happened.';
COMMENT ON COLUMN internal.delivery_counts.events IS 'How many.';
