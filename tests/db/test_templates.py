"""Templates: drafts, publishing, versions that stay as they are, and what is wrong in a text."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from guestcomms import db

from tests.db.server import Database
from tests.db.tenant_rows import Organization, organization


@pytest.fixture
def ours(shared: Database) -> Organization:
    return organization(shared)


def create(
    of: Organization,
    body: str = "Dear {{name}}",
    subject: str | None = "Hi",
    name: str | None = "t",
    channel: str | None = "email",
    text: str | None = None,
) -> tuple[str, int]:
    with of.database.connect("wedsync_app") as connection:
        row = connection.execute(
            "SELECT template_id::text, version FROM create_template(%s, %s, %s, %s, %s, %s)",
            (of.id, name, channel, subject, body, text),
        ).fetchone()
    assert row is not None
    return row[0], row[1]


def publish(
    of: Organization, template_id: str, version: int | None = None
) -> tuple[int, list[str]]:
    with of.database.connect("wedsync_app") as connection:
        row = connection.execute(
            "SELECT version, variables FROM publish_template(%s, %s, %s)",
            (of.id, template_id, version),
        ).fetchone()
    assert row is not None
    return row[0], row[1]


def refused(of: Organization, body: str, subject: str = "Hi", text: str | None = None) -> str:
    """What publishing says of a text."""
    template_id, _ = create(of, body, subject, text=text)
    with pytest.raises(db.DatabaseError) as refusal:
        publish(of, template_id)
    assert refusal.value.sqlstate == "GC320"
    return str(refusal.value.diag.message_primary)


def test_versions_count_and_equal_texts_make_none(ours: Organization) -> None:
    template_id, first = create(ours, "a")
    assert create(ours, "a") == (template_id, first) == (template_id, 1)
    assert create(ours, "b") == (template_id, 2)
    assert publish(ours, template_id) == (2, [])
    assert create(ours, "b") == (template_id, 2)
    assert create(ours, "a", name="other")[0] != template_id


def test_an_older_version_can_be_published_again(ours: Organization) -> None:
    template_id, _ = create(ours, "{{a}}")
    assert publish(ours, template_id) == (1, ["a"])
    create(ours, "{{b}}")
    assert publish(ours, template_id) == publish(ours, template_id) == (2, ["b"])
    assert publish(ours, template_id, 1) == (1, ["a"])
    query = "SELECT published_version FROM public.message_templates"
    assert ours.call(query) == 1


def test_creating_at_once_makes_one_template(ours: Organization) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: create(ours, f"body {number % 4}"), range(16)))
    assert len({template_id for template_id, _ in made}) == 1
    versions = ours.call(
        "SELECT array_agg(version ORDER BY version) FROM public.message_template_versions"
    )
    assert isinstance(versions, list)
    assert versions == list(range(1, len(versions) + 1))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE public.message_template_versions SET body = 'x'",
        "UPDATE public.message_template_versions SET published_at = NULL, published_by = NULL",
        "DELETE FROM public.message_template_versions",
        "TRUNCATE public.message_template_versions CASCADE",
    ],
)
@pytest.mark.parametrize("role", ["comms_owner", "postgres"])
def test_a_published_version_is_never_changed(
    database: Database, role: str, statement: str
) -> None:
    ours = organization(database)
    template_id, _ = create(ours, "a")
    database.execute("UPDATE public.message_template_versions SET body = 'b'")  # a draft may
    publish(ours, template_id)
    database.execute("ALTER TABLE public.message_template_versions NO FORCE ROW LEVEL SECURITY")
    with database.connect() as connection:
        connection.execute(b"SET ROLE " + role.encode())
        with pytest.raises(db.DatabaseError) as refusal:
            connection.execute(statement.encode())
    assert refusal.value.sqlstate == "GC328"


def test_an_archived_template_makes_no_versions(ours: Organization) -> None:
    template_id, _ = create(ours)
    first = ours.call("SELECT archive_template(%s, %s)", ours.id, template_id)
    assert ours.call("SELECT archive_template(%s, %s)", ours.id, template_id) == first
    for call in (lambda: create(ours, "new"), lambda: publish(ours, template_id)):
        with pytest.raises(db.DatabaseError) as refusal:
            call()
        assert refusal.value.sqlstate == "GC325"


@pytest.mark.parametrize(
    ("values", "sqlstate"),
    [
        ({"name": None}, "GC300"), ({"body": None}, "GC300"), ({"subject": None}, "GC300"),
        ({"name": ""}, "GC323"), ({"name": "x" * 201}, "GC323"), ({"name": "a\nb"}, "GC323"),
        ({"name": " a"}, "GC323"), ({"channel": "fax"}, "GC322"), ({"channel": None}, "GC322"),
        ({"body": ""}, "GC321"), ({"body": "x" * 500_001}, "GC321"),
        ({"subject": ""}, "GC321"), ({"subject": "x" * 999}, "GC321"), ({"text": ""}, "GC321"),
        ({"channel": "sms"}, "GC321"), ({"channel": "push", "text": "x"}, "GC321"),
    ],
)  # fmt: skip
def test_wrong_values_are_refused(
    ours: Organization, values: dict[str, str | None], sqlstate: str
) -> None:
    with pytest.raises(db.DatabaseError) as refusal:
        create(ours, **values)  # type: ignore[arg-type]
    assert refusal.value.sqlstate == sqlstate
    assert ours.call("SELECT count(*) FROM public.message_templates") == 0


def test_a_name_is_of_one_channel(ours: Organization) -> None:
    create(ours)
    with pytest.raises(db.DatabaseError) as refusal:
        create(ours, channel="push")
    assert refusal.value.sqlstate == "GC324"


def test_unknown_and_foreign_templates_are_the_same(ours: Organization) -> None:
    theirs = organization(ours.database, "B")
    template_id, _ = create(theirs)
    for unknown in (template_id, str(uuid.uuid4())):
        for call in (
            "publish_template(%s, %s)", "archive_template(%s, %s)",
            "render_template(%s, %s, '{}')",
        ):  # fmt: skip
            with pytest.raises(db.DatabaseError) as refusal:
                ours.call(f"SELECT count(*) FROM {call}", ours.id, unknown)
            assert refusal.value.sqlstate == "GC326"
            with pytest.raises(db.DatabaseError) as refusal:
                ours.call(f"SELECT count(*) FROM {call}", ours.id, None)
            assert refusal.value.sqlstate == "GC300"
    own, _ = create(ours)
    with pytest.raises(db.DatabaseError) as refusal:
        publish(ours, own, 7)
    assert refusal.value.sqlstate == "GC327"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("<p>\n  {{Name}}", 'body, line 2, column 3: "Name" is no name of a variable'),
        ("{{}}", 'body, line 1, column 1: "" is no name of a variable'),
        ("{{1a}}", '"1a" is no name'), ("{{a b}}", '"a b" is no name'),
        ("{{a-b}}", '"a-b" is no name'), ("{{#if}}x{{/if}}", '"#if" is no name'),
        ("{{" + "a" * 64 + "}}", "is no name of a variable"),
        ("ab\n{{name", 'body, line 2, column 1: "{{name" is no tag'),
        ("{{a}} {{ b } }", '"{{ b } }" is no tag'),
        ("{{#if a}}x", "{{#if a}} is not closed"),
        ("{{#if a}}x{{else}}y", "{{#if a}} is not closed"),
        ("x{{else}}y", "column 2: {{else}} without {{#if …}}"), ("{{/if}}", "{{/if}} without"),
        ("{{#if a}}{{else}}{{else}}{{/if}}", "a second {{else}}"),
        ("{{#if a}}{{#if b}}{{/if}}{{/if}}", "column 10: a condition within a condition"),
        ("{{a|{{b}}}}", "is no line of plain text"),
        ("a\x07b", "column 2: a control character"),
        ("<a href={{u}}>", "not in an attribute value in quotes"),
        ("<a {{u}}>", "not in an attribute value in quotes"), ("<{{u}}>", "inside of a tag"),
        ("</{{u}}>", "inside of a tag"), ("<a href='x' {{u}}='y'>", "inside of a tag"),
        ('<a onclick="{{u}}">', "in the attribute onclick"),
        ('<p style="color: {{u}}">', "in the attribute style"),
        ("<script>var x = '{{u}}'</script>", "inside of <script> or <style>"),
        ("<STYLE>p {color: {{u}}}</STYLE>", "inside of <script> or <style>"),
        ('<a href="java{{u}}">', "in the attribute href, which begins with neither"),
        ('<a href=" javascript:x({{u}})">', "in the attribute href, which begins with neither"),
        ('<a href="{{u|javascript:alert(1)}}">', "is no address"),
        ('{{#if a}}<a href="{{else}}<b>{{/if}}', "with and without a, the HTML goes on"),
        ('<a href="{{#if a}}https://x/{{/if}}{{u}}">', "with and without a, the HTML goes on"),
        ('<a href="{{#if a}}"{{/if}} title="{{u}}">', "with and without a, the HTML goes on"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place(ours: Organization, body: str, message: str) -> None:
    assert message in refused(ours, body)


def test_the_part_is_named(ours: Organization) -> None:
    assert refused(ours, "x", subject="{{X}}").startswith("subject, line 1, column 1:")
    assert refused(ours, "x", text="\n{{X}}").startswith("body_text, line 2, column 1:")
    assert refused(ours, "x", subject="a\r\nBcc: b").startswith("subject, line 1, column 2:")
    assert "a control character" in refused(ours, "x", subject="a\u2028b")


@pytest.mark.parametrize(
    "body",
    [
        '<a title="a>b" href="{{u}}">x</a>', "<a href='https://x/?a={{a}}&b={{b}}'>x</a>",
        "<!-- {{a}} --><p>{{b}}", '<!--[if mso]><v:rect href="{{u}}"><![endif]-->{{a}}',
        "<style>p {{{{}</style><script>if (a < b) {}</script>{{a}}", "3 < 4 {{a}}",
        '<img src="{{u}}" alt=\'{{a}}\'>', '{{#if a}}<b title="{{a}}">x</b>{{else}}y{{/if}}{{b}}',
        '<a href="mailto:{{a}}">', "<!DOCTYPE html><html>{{a}}",
    ],
)  # fmt: skip
def test_what_is_right_is_published(ours: Organization, body: str) -> None:
    template_id, _ = create(ours, body)
    assert publish(ours, template_id)[0] == 1


def test_required_is_what_stands_outside_of_conditions_without_default(ours: Organization) -> None:
    template_id, _ = create(
        ours,
        "{{c}}{{a}}{{d|x}}{{#if e}}{{e}}{{f}}{{/if}}{{guest_name}}{{!g}}",
        subject="{{b}}{{a}}{{communication_title}}",
    )
    assert publish(ours, template_id) == (1, ["a", "b", "c"])
