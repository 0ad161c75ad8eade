"""Data for benchmarks: organizations of skewed sizes, guests, communications, recipients.

Written as superuser, past triggers and foreign keys, because ten million rows have to be there in
minutes; what is measured afterwards goes through the functions.
"""

from __future__ import annotations

from tests.db.server import Database

PER_COMMUNICATION = 10_000
"""Recipients of a communication: the size that the load targets name."""
ORGANIZATIONS = 20
"""The first has half of everything."""

_SETUP = """
SET session_replication_role = replica;
SET synchronous_commit = off;
INSERT INTO public.organizations (organization_id, name)
SELECT ('018f0000-0000-7000-8000-' || lpad(to_hex(number), 12, '0'))::uuid, 'No ' || number
FROM generate_series(1, {organizations}) AS number;
INSERT INTO internal.organization_logins (organization_id, login)
SELECT organization_id, 'wedsync_app' FROM public.organizations;
INSERT INTO internal.unrestricted_logins (login, reason) VALUES ('wedsync_worker', 'sends')
ON CONFLICT DO NOTHING;
INSERT INTO public.guests (organization_id, guest_id, external_id, name, email, email_hash)
SELECT organization_id,
    ('018f0000-0001-7000-8000-' || lpad(to_hex(number), 12, '0'))::uuid,
    'g' || number, 'Guest ' || number, 'guest' || number || '@example.test',
    sha256(convert_to(organization_id || 'guest' || number, 'UTF8'))
FROM public.organizations CROSS JOIN generate_series(1, {guests}) AS number;
"""

# The id of a recipient has the moment of its communication and a running number.
_COMMUNICATION = """
WITH one AS (
    SELECT
        ('018f0000-0000-7000-8000-' || lpad(to_hex(
            CASE WHEN {number} % 2 = 0 THEN 1 ELSE 1 + {number} % {organizations} END
        ), 12, '0'))::uuid AS organization_id,
        lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - {number}), 12, '0') AS moment
),

made AS (
    INSERT INTO public.guest_communications (
        organization_id, id, created_at, message_title, message_type, message_category, purpose,
        lawful_basis, subject, body, compiled, status, total_recipients, sent_count
    )
    SELECT organization_id, id, internal.uuid_v7_time(id), 'Communication {number}', 'email',
        'transactional', 'wedding_updates', 'contract', 'Hello', '<p>Hello</p>', '{{}}', 'sent',
        {recipients}, {recipients}
    FROM one CROSS JOIN LATERAL (
        SELECT (left(moment, 8) || '-' || right(moment, 4) || '-7000-8000-000000000000')::uuid AS id
    ) AS named
    RETURNING organization_id, id, created_at
)

INSERT INTO public.communication_recipients (
    organization_id, id, communication_id, communication_created_at, guest_id, recipient_key,
    channel, recipient_name, recipient_email, address_hash, status, attempts, sending_at, sent_at,
    provider, lawful_basis, permitted_at
)
SELECT made.organization_id,
    (left(made.id::text, 24) || lpad(to_hex(number), 12, '0'))::uuid,
    made.id, made.created_at, key, key, 'email', 'Guest ' || number,
    'guest' || number || '@example.test',
    sha256(convert_to(made.organization_id || 'guest' || number, 'UTF8')),
    'sent', 1, now(), now(), 'file', 'contract', now()
FROM made
CROSS JOIN generate_series(1, {recipients}) AS number
CROSS JOIN LATERAL (
    SELECT ('018f0000-0001-7000-8000-' || lpad(to_hex(number), 12, '0'))::uuid AS key
) AS keyed
"""


def organizations(database: Database, guests: int = PER_COMMUNICATION) -> None:
    """Make the organizations, bind the application's login to them, give each so many guests."""
    database.execute(_SETUP.format(organizations=ORGANIZATIONS, guests=guests))


def communications(database: Database, recipients: int, first: int = 1) -> None:
    """Add communications that were sent, until there are so many more recipients."""
    with database.connect() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET synchronous_commit = off")
        for number in range(first, first + recipients // PER_COMMUNICATION):
            statement = _COMMUNICATION.format(
                number=number, organizations=ORGANIZATIONS, recipients=PER_COMMUNICATION
            )
            connection.execute(statement.encode())
        connection.execute("VACUUM ANALYZE")
