"""Rendering: what a value can never do, and the messages that a worker is handed."""

from __future__ import annotations

import html
import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from guestcomms import db, paths
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.db.server import NUMBERS, Database, Server
from tests.db.tenant_rows import Organization, communication, organization, recipients

Message = dict[str, str | None]
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=200)
PLAIN = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=200)
RENDER = """
SELECT rendered.* FROM internal.compile_message(%s, %s, %s, %s) AS made,
    internal.render_message(%s, made.compiled, %s) AS rendered
"""


@pytest.fixture(scope="module")
def shared(server: Server) -> Iterator[Database]:
    """One database for all tests here: each has an organization of its own."""
    database = server.clone("template_full", f"test_{next(NUMBERS)}")
    yield database
    database.drop()


@pytest.fixture(scope="module")
def connection(shared: Database) -> Iterator[db.Connection]:
    with shared.connect() as opened:
        yield opened


def render(
    connection: db.Connection,
    body: str,
    values: dict[str, Any],
    subject: str | None = None,
    text: str | None = None,
    channel: str = "email",
) -> Message:
    if channel == "email":
        subject = subject or "Hi"
    (row,) = db.rows(
        connection, RENDER, (channel, subject, body, text, channel, json.dumps(values))
    )
    return dict(row)


@settings(max_examples=200, deadline=None)
@given(value=TEXT)
def test_no_value_leaves_its_place_in_html(connection: db.Connection, value: str) -> None:
    message = render(connection, '<p title="{{v}}">{{v}}</p>', {"v": value})
    if message["problem"] is None:
        body = message["body"]
        assert body is not None
        found = re.fullmatch(r'<p title="([^<>"\']*)">([^<>"\']*)</p>', body, re.DOTALL)
        assert found
        assert html.unescape(found[1]) == html.unescape(found[2])
        assert re.sub(r"&(amp|lt|gt|quot|#39);", "", found[1]).count("&") == 0
    else:
        assert re.search("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", value)


@settings(max_examples=200, deadline=None)
@given(value=TEXT)
def test_no_value_breaks_the_line_of_a_subject(connection: db.Connection, value: str) -> None:
    message = render(connection, "x", {"v": value}, subject="a{{v}}b")
    if message["problem"] is None:
        assert message["subject"] == f"a{value}b"
        assert len(str(message["subject"]).splitlines()) == 1
    else:
        assert message["problem_code"] == "GC333"
        assert len(f"a{value}b".splitlines()) > 1 or re.search("[\x01-\x1f\x7f-\x9f]", value)


@settings(max_examples=200, deadline=None)
@given(literal=PLAIN.filter(bool))
def test_text_without_tags_is_rendered_as_it_is(connection: db.Connection, literal: str) -> None:
    source = literal.replace("{{", "{{{{")
    message = render(connection, source, {}, subject=source, text=source)
    assert [message[part] for part in ("subject", "body", "body_text")] == [literal] * 3


@settings(max_examples=100, deadline=None)
@given(value=PLAIN, channel=st.sampled_from(["sms", "push", "in_app"]))
def test_plain_channels_take_values_verbatim(
    connection: db.Connection, value: str, channel: str
) -> None:
    assert render(connection, "{{v}}|", {"v": value}, channel=channel)["body"] == f"{value}|"


@pytest.mark.parametrize(
    ("body", "values", "expected"),
    [
        ("{{ a }}{{!note}}.", {"a": "x"}, "x."),
        ("{{a|Guest & Co}}", {}, "Guest &amp; Co"), ("{{a|}}.", {}, "."),
        ("{{a|d}}", {"a": ""}, "d"), ("{{a|d}}", {"a": None}, "d"), ("{{a}}.", {"a": ""}, "."),
        ("{{a|b|c}}", {}, "b|c"), ("{{a}}", {"a": 1.5}, "1.5"), ("{{a}}", {"a": True}, "true"),
        ("{{#if a}}[{{a}}]{{else}}none{{/if}}", {"a": 0}, "[0]"),
        ("{{#if a}}[{{a}}]{{else}}none{{/if}}", {"a": ""}, "none"),
        ("{{#if a}}[{{a}}]{{else}}none{{/if}}", {"a": False}, "none"),
        ("{{#if a}}[{{a}}]{{else}}none{{/if}}", {"a": None}, "none"),
        ("{{#if a}}{{b}}{{/if}}.", {}, "."), ("{{#if a}}x{{/if}}{{#if b}}y{{/if}}", {"b": 1}, "y"),
        ("{{{{a}} { } {{{{", {}, "{{a}} { } {{"),
        ("a\r\n\tb {{x}}", {"x": "1\n2"}, "a\r\n\tb 1\n2"),
        ("{{a}}", {"a": "{{b}}", "b": "no"}, "{{b}}"), ("{{a}}", {"a": "%s %1$s"}, "%s %1$s"),
        ("{{a}}", {"a": "\\1 \\n"}, "\\1 \\n"), ("{{a}}", {"a": "'; DROP"}, "&#39;; DROP"),
        ("{{a}}", {"a": "שלום 👰🏽‍♀️"}, "שלום 👰🏽‍♀️"),
        ('<a href="{{u}}">', {"u": "https://x.org/?a=1&b=2"},
         '<a href="https://x.org/?a=1&amp;b=2">'),
        ('<a href="{{u|https://d.org}}">', {}, '<a href="https://d.org">'),
    ],
)  # fmt: skip
def test_the_language(
    connection: db.Connection, body: str, values: dict[str, Any], expected: str
) -> None:
    assert render(connection, body, values)["body"] == expected


@pytest.mark.parametrize(
    ("body", "values", "code", "problem"),
    [
        ("{{a}}{{b}}{{c|x}}{{a}}", {"b": None}, "GC331", "missing variables: a, b, s"),
        ("{{#if a}}{{b}}{{/if}}", {"a": 1, "s": 1}, "GC331", "missing variables: b"),
        ("{{a}}", {"a": {"b": 1}, "s": 1}, "GC332", "variable a is an object"),
        ("{{a}}", {"a": ["b"], "s": 1}, "GC332", "variable a is an array"),
        ("{{a}}", {"a": "x" * 10_001, "s": 1}, "GC332", "variable a is 10001 characters long"),
        ("{{a}}", {"a": "\x1b[2J", "s": 1}, "GC333", "variable a has a control character"),
        ("x", {"s": "a\r\nBcc: b"}, "GC333", "variable s has a control character"),
        ("x", {"s": "a\u2028b"}, "GC333", "variable s has a control character"),
        *(
            ('<a href="{{u}}">', {"u": url, "s": 1}, "GC334", "variable u is no address")
            for url in ("javascript:alert(1)", " javascript:x", "JaVaScRiPt:x", "data:text/html,x",
                        "\tjavascript:x", "//evil.org", "vbscript:x", "", "https:evil", "x")
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_rendered(
    connection: db.Connection, body: str, values: dict[str, Any], code: str, problem: str
) -> None:
    message = render(connection, body, values, subject="{{s}}")
    assert (message["problem_code"], problem in str(message["problem"])) == (code, True)
    assert [message[part] for part in ("subject", "body", "body_text")] == [None] * 3


@pytest.fixture
def ours(shared: Database) -> Organization:
    return organization(shared)


def template(of: Organization, body: str = "<p>{{a}}</p>") -> str:
    return str(
        of.call("SELECT template_id FROM create_template(%s, 't', 'email', 'Hi', %s)", of.id, body)
    )


def rendered(
    of: Organization, template_id: str, values: object, version: int | None = None
) -> object:
    return of.call(
        "SELECT body FROM render_template(%s, %s, %s, %s)", of.id, template_id, values, version
    )


def test_a_draft_can_be_seen_and_the_published_version_is_the_default(ours: Organization) -> None:
    template_id = template(ours)
    assert rendered(ours, template_id, '{"a": "<", "unused": 1}', 1) == "<p>&lt;</p>"
    with pytest.raises(db.DatabaseError) as refusal:
        rendered(ours, template_id, '{"a": 1}')
    assert refusal.value.sqlstate == "GC327"
    ours.call("SELECT publish_template(%s, %s)", ours.id, template_id)
    assert rendered(ours, template_id, '{"a": "<"}') == "<p>&lt;</p>"


@pytest.mark.parametrize(
    ("values", "sqlstate"),
    [
        (None, "GC300"), ("[]", "GC330"), ("null", "GC330"), ('"a"', "GC330"), ("{}", "GC331"),
        ('{"a": {}}', "GC332"), ('{"a": "\\u0007"}', "GC333"),
    ],
)  # fmt: skip
def test_render_template_refuses(ours: Organization, values: object, sqlstate: str) -> None:
    template_id = template(ours)
    with pytest.raises(db.DatabaseError) as refusal:
        rendered(ours, template_id, values, 1)
    assert refusal.value.sqlstate == sqlstate


SEAL = """
UPDATE public.communication_recipients AS recipient
SET personalisation_key_version = made.key_version,
    personalisation = internal.aes256_gcm_encrypt(made.key, convert_to(%s, 'UTF8'),
        internal.field_context(
            recipient.organization_id, 'communication_recipients.personalisation', recipient.id,
            made.key_version))
FROM internal.field_key(%s) AS made WHERE recipient.id = %s
"""
LEASE = """
WITH lease AS (
    INSERT INTO public.communication_batch_queue (
        organization_id, batch_id, operation_type, channel, state, communication_id,
        communication_created_at, first_recipient_id, last_recipient_id, recipients,
        lease_token, leased_by, leased_at, handed_out, lease_until
    )
    SELECT min(organization_id::text)::uuid, %(batch)s, 'send', min(channel), 'leased', %(message)s,
        min(communication_created_at), min(id::text)::uuid, max(id::text)::uuid, count(*),
        %(token)s, 'w', now(), count(*), now() + %(for)s::interval
    FROM public.communication_recipients WHERE communication_id = %(message)s
    RETURNING communication_id, leased_at
)
UPDATE public.communication_recipients AS recipient SET sending_at = lease.leased_at
FROM lease WHERE lease.communication_id = recipient.communication_id
"""


def leased(
    of: Organization, values: list[dict[str, Any]], for_: str = "1 minute"
) -> tuple[str, str]:
    """Batch and token of a lease on a message to as many recipients as there are values."""
    with of.database.connect() as connection:
        connection.execute("SELECT public.set_login_unrestricted('wedsync_worker', true, 'sends')")
        ((compiled,),) = connection.execute(
            "SELECT compiled::text FROM internal.compile_message('email', 'For {{guest_name}}',"
            " '<p>{{table}} at {{organization_name}} <a href=\"{{unsubscribe_url}}\">no</a></p>',"
            " '{{communication_title}} {{recipient_email}}')"
        ).fetchall()
        message = communication(
            of, compiled=compiled, sender_name="Us", sender_address="us@example.org",
            reply_to="re@example.org", unsubscribe_url="https://example.org/u?t=",
        )  # fmt: skip
        ids = recipients(
            of, message, [f"{n}@example.com" for n in range(len(values))], status="sending"
        )
        for recipient_id, variables in zip(ids, values, strict=True):
            connection.execute(SEAL, (json.dumps(variables), of.id, recipient_id))
        batch, token = f"{message}/0", str(uuid.uuid4())
        connection.execute(LEASE, {"batch": batch, "message": message, "token": token, "for": for_})
    return batch, token


def batch_rows(of: Organization, batch: str | None, token: str | None) -> list[dict[str, Any]]:
    with of.database.connect("wedsync_worker") as connection:
        return [
            dict(row)
            for row in db.rows(
                connection, "SELECT * FROM render_batch(%s, %s, %s)", (of.id, batch, token)
            )
        ]


def test_a_worker_gets_every_message_of_its_lease(ours: Organization) -> None:
    forged = {"table": "<7>", "unsubscribe_url": "https://evil.org", "organization_name": "Evil"}
    first, second = batch_rows(ours, *leased(ours, [forged, {"table": 8}]))
    assert first["unsubscribe_url"].startswith("https://example.org/u?t=")
    assert first["unsubscribe_url"] != second["unsubscribe_url"]
    assert first["list_unsubscribe"] == f"<{first['unsubscribe_url']}>"
    assert first["list_unsubscribe_post"] == "List-Unsubscribe=One-Click"
    assert first["body"] == (
        f'<p>&lt;7&gt; at A <a href="{html.escape(first["unsubscribe_url"])}">no</a></p>'
    )
    assert (first["subject"], first["body_text"]) == ("For Ann", "Save the date 0@example.com")
    assert second["address"] == "1@example.com"
    assert [second[one] for one in ("sender_name", "sender_address", "reply_to")] == [
        "Us", "us@example.org", "re@example.org",
    ]  # fmt: skip
    token = first["unsubscribe_url"].partition("=")[2]
    assert ours.call("SELECT count(*) FROM unsubscribe(%s)", token) == 1


def test_a_message_that_cannot_be_written_does_not_stop_the_others(ours: Organization) -> None:
    rows = batch_rows(ours, *leased(ours, [{}, {"table": 8}, {"table": []}]))
    assert [row["problem_code"] for row in rows] == ["GC331", None, "GC332"]
    assert rows[0]["problem"] == "missing variables: table"
    assert [row["body"] is None for row in rows] == [True, False, True]


def test_without_its_lease_a_worker_gets_nothing(ours: Organization) -> None:
    batch, token = leased(ours, [{"table": 1}])
    ended = leased(ours, [{"table": 1}], "-1 second")
    other = Organization(ours.database, organization(ours.database, "B").id)
    for of, held, sqlstate in [
        (ours, (batch, str(uuid.uuid4())), "GC361"), (ours, ended, "GC361"),
        (other, (batch, token), "GC361"), (ours, (None, token), "GC300"),
        (ours, (batch, None), "GC300"),
    ]:  # fmt: skip
        with pytest.raises(db.DatabaseError) as refusal:
            batch_rows(of, *held)
        assert refusal.value.sqlstate == sqlstate
    assert len(batch_rows(ours, batch, token)) == 1


def test_only_what_is_being_sent_is_rendered(ours: Organization) -> None:
    batch, token = leased(ours, [{"table": 1}, {"table": 2}])
    with ours.database.connect() as connection:
        connection.execute(
            "UPDATE public.communication_recipients SET status = 'queued'"
            " WHERE organization_id = %s AND recipient_email = '0@example.com'",
            (ours.id,),
        )
    assert [row["address"] for row in batch_rows(ours, batch, token)] == ["1@example.com"]


PAGE = (paths.ROOT / "docs/reference/templates.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^\| `(.*)` \| `(\{.*\})` \| `(.*)` \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("body", "values", "expected"), EXAMPLES)
def test_the_examples_of_the_page_are_true(
    connection: db.Connection, body: str, values: str, expected: str
) -> None:
    assert render(connection, body.replace("\\|", "|"), json.loads(values))["body"] == expected


def test_the_page_has_its_examples_and_every_variable(shared: Database) -> None:
    assert len(EXAMPLES) == 8
    names = shared.value("SELECT internal.built_in_variables()")
    assert isinstance(names, list)
    assert all(f"`{name}`" in PAGE for name in names)


def test_the_calls_of_the_page_run(ours: Organization) -> None:
    (block,) = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    template_id = ""
    for line in block.splitlines():
        call = line.partition(";")[0].replace(":organization", f"'{ours.id}'")
        answer = ours.call(call.replace(":template", f"'{template_id}'"))
        template_id = template_id or str(answer)
