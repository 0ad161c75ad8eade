"""Rows that are not copied back as they were, because somebody was protected since.

A guest who was erased, withdrew, unsubscribed or was already written to after the target stays so,
whatever the restored row says. A person who knows better says `--include-left-out`. A message that
was waiting is never queued again by itself: nothing proves that it was not sent since.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """Rows `was` (and `live`, if the rule compares) that fulfil `condition` stay as they are."""

    reason: str
    condition: str
    compares: bool = True


_UNSENT = "('queued', 'sending', 'unknown', 'deferred')"
_WAITED = "was.status IN ('queued', 'sending')"
_ERASED_GUEST = """EXISTS (
    SELECT FROM public.guests AS erased
    WHERE erased.organization_id = was.organization_id AND erased.guest_id = was.guest_id
        AND erased.erased_at IS NOT NULL
)"""

RULES: dict[str, tuple[Rule, ...]] = {
    "public.guests": (
        Rule("erased since", "live.erased_at IS NOT NULL AND was.erased_at IS NULL"),
        Rule(
            "erased since",
            """was.erased_at IS NULL AND (was.organization_id, was.guest_id::text) IN (
    SELECT audit.organization_id, audit.details ->> 'guest_id'
    FROM public.communication_security_audit AS audit
    WHERE audit.event_type = 'guest_erased' AND audit.organization_id IS NOT NULL
        AND audit.details ->> 'guest_id' IS NOT NULL
)""",
            compares=False,
        ),
    ),
    "public.communication_recipients": (
        Rule(
            "made anonymous since",
            "live.address_hash IS NULL AND was.address_hash IS NOT NULL",
        ),
        Rule("erased since", f"was.address_hash IS NOT NULL AND {_ERASED_GUEST}", compares=False),
        Rule(
            "sent or ended since",
            f"was.status IN {_UNSENT} AND live.status NOT IN {_UNSENT}",
        ),
        Rule("perhaps sent since", f"{_WAITED} AND live.status <> was.status"),
        Rule(
            "sent since",
            f"""was.status IN {_UNSENT} AND (named.recipient_id IS NOT NULL OR EXISTS (
    SELECT FROM public.delivery_status AS report
    WHERE report.organization_id = was.organization_id AND report.recipient_id = was.id
))""",
            compares=False,
        ),
    ),
    "public.communication_preferences": (
        Rule("refused since", "was.allowed AND NOT live.allowed"),
        Rule("erased since", _ERASED_GUEST, compares=False),
    ),
    "public.communication_gdpr_consent": (
        Rule("withdrawn since", "was.consent_given AND NOT live.consent_given"),
        Rule(
            "withdrawn since",
            """was.consent_given AND EXISTS (
    SELECT FROM public.communication_gdpr_consent_events AS event
    WHERE event.organization_id = was.organization_id AND event.address_hash = was.address_hash
        AND event.channel = was.channel AND event.purpose = was.purpose
        AND event.event = 'withdrawn' AND event.occurred_at > was.given_at
)""",
            compares=False,
        ),
        Rule("erased since", "live.guest_email IS NULL AND was.guest_email IS NOT NULL"),
    ),
    "public.suppressions": (
        Rule(
            "stricter since",
            "(live.scope = 'all' AND was.scope <> 'all')"
            " OR (live.expires_at IS NULL AND was.expires_at IS NOT NULL)",
        ),
    ),
    "public.guest_communications": (
        Rule(
            "sent or cancelled since",
            "was.status NOT IN ('sent', 'cancelled') AND live.status IN ('sent', 'cancelled')",
        ),
    ),
    "public.communication_batch_queue": (
        Rule("it would be sent again", "was.operation_type IS NOT NULL", compares=False),
    ),
    "public.communication_encryption_keys": (
        Rule("wrapped anew since", "live.encrypted_key IS DISTINCT FROM was.encrypted_key"),
    ),
}

JOINS = {
    "public.communication_recipients": """LEFT JOIN (
    SELECT DISTINCT organization_id, recipient_id FROM internal.provider_messages
) AS named ON named.organization_id = was.organization_id AND named.recipient_id = was.id"""
}
"""What rules look at beside `was` and `live`: joined, as no index leads from a row to it."""

INSTEAD = {
    "public.communication_recipients": {
        "status": "'unknown'",
        "unknown_at": "pg_catalog.clock_timestamp()",
        "next_attempt_at": "NULL",
        "error_code": "'table_restored'",
        "error_message": "'it was waiting then, and may have been sent since'",
    }
}
"""Values that come back instead of those of a message that was waiting."""

NEVER_DELETED = frozenset(
    {
        "public.suppressions",
        "public.communication_gdpr_consent",
        "public.communication_gdpr_consent_events",
        "public.communication_security_audit",
        "public.communication_encryption_keys",
        "public.data_subject_requests",
        "public.legal_holds",
    }
)
"""Tables whose extra rows are never deleted: each protects somebody, or proves something."""


def reason_sql(table: str, key: str | None) -> str:
    """SQL of the reason why a row is left out, NULL where it is not, over `was` and `live`.

    Parameters: `key` is a column of the live table's key; None if that is not there: then only
    rules that compare nothing hold.
    """
    rules = [rule for rule in RULES.get(table, ()) if key or not rule.compares]
    if not rules:
        return "NULL::text"
    cases = "\n".join(
        f"WHEN {f'live.{key} IS NOT NULL AND ' if rule.compares else ''}({rule.condition})"
        f" THEN '{rule.reason}'"
        for rule in rules
    )
    return f"CASE\n{cases}\nEND"


def value_sql(table: str, column: str, quoted: str, *, is_live: bool) -> str:
    """SQL of what comes back in a column, over `was` and, for a row that is there, `live`."""
    instead = INSTEAD.get(table, {}).get(column)
    if instead is None:
        return f"was.{quoted}"
    moved = " AND live.status <> was.status" if is_live else ""
    return f"CASE WHEN {_WAITED}{moved} THEN {instead} ELSE was.{quoted} END"
