"""What somebody tries who has a login of the application, and races that would send too much."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import psycopg
import pytest
from guestcomms import db

from tests.db import queue_calls, stress
from tests.db.queue_calls import claim, complete, queue, states
from tests.db.server import Database

SHARED_THINGS = """
SELECT role.rolname || ' ' || routine.oid::regprocedure AS found
FROM pg_proc AS routine CROSS JOIN pg_roles AS role
WHERE routine.pronamespace = 'pg_catalog'::regnamespace
    AND routine.proname ~ '^(pg_(try_)?advisory_|lo_|lo(read|write)$|pg_logical_emit_message$)'
    AND role.rolname ~ '^wedsync_' AND role.rolname <> 'wedsync_migrator'
    AND has_function_privilege(role.oid, routine.oid, 'EXECUTE')
"""
OBJECTS = (
    "CREATE TEMP TABLE mine (one int)",
    "CREATE SCHEMA mine",
    "CREATE TABLE public.mine (one int)",
    "CREATE TYPE public.mine AS (one int)",
    "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE OPERATOR public.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = pg_catalog.uuid_ne)",
    "CREATE CAST (uuid AS integer) WITH INOUT",
    "SET SESSION AUTHORIZATION wedsync_worker",
    "SET ROLE comms_owner",
)


@pytest.fixture
def app(database: Database, organization: str) -> Iterator[db.Connection]:
    assert organization
    with database.connect("wedsync_app") as connection:
        yield connection


def cancel(app: db.Connection, organization: str, message: str) -> None:
    app.execute("SELECT public.cancel_communication(%s, %s)", (organization, message))


def due_again(owner: db.Connection) -> None:
    owner.execute("UPDATE communication_recipients SET next_attempt_at = NULL")
    owner.execute("UPDATE communication_batch_queue SET run_at = now()")


@pytest.mark.parametrize("statement", OBJECTS)
def test_an_application_makes_nothing_of_its_own(app: db.Connection, statement: str) -> None:
    """Nothing of its own can stand in for what our functions use."""
    with pytest.raises(db.sqlstates.InsufficientPrivilege):
        app.execute(statement.encode())


def test_no_login_holds_what_is_shared(owner: db.Connection) -> None:
    """Our functions wait for advisory locks, migrations too: who held one would stop everybody."""
    assert [row["found"] for row in db.rows(owner, SHARED_THINGS)] == []


def test_plans_that_a_session_prints_have_no_key(
    database: Database, organization: str, owner: db.Connection
) -> None:
    """A variable is a constant of a plan, and any session may have its plans printed."""
    printed: list[str] = []
    with psycopg.connect(database.dsn("wedsync_app"), autocommit=True) as app:
        app.add_notice_handler(lambda notice: printed.append(notice.message_detail or ""))
        app.execute("SET client_min_messages = log")
        app.execute("SET debug_print_plan = on")
        app.execute("SET debug_pretty_print = off")
        message = app.execute(
            "SELECT id FROM public.create_communication(%s, 'T', 'email', 'x',"
            " p_subject => 's', p_body => '{{v}}', p_body_text => '{{v}}')",
            (organization,),
        ).fetchone()
        app.execute(
            'SELECT * FROM public.bulk_send(%s, %s, p_recipients => \'[{"email": "a@b.example",'
            ' "personalisation": {"v": "x"}}]\')',
            (organization, (message or [None])[0]),
        )
        app.execute("SELECT public.enter_tenant(%s)", (organization,))
    assert printed, "nothing was printed: the test sees nothing"
    constants = {
        bytes(int(byte) & 255 for byte in found.split())
        for found in re.findall(r":constvalue \d+ \[([-\d\s]+)\]", "\n".join(printed))
    }
    keys = db.rows(
        owner,
        "SELECT purpose, internal.data_key_of(organization_id, purpose, key_version) AS key,"
        " pads.inner_pad FROM communication_encryption_keys"
        " CROSS JOIN LATERAL internal.hash_pads(organization_id, purpose) AS pads"
        " WHERE key_type = 'data'",
    )
    assert {row["purpose"] for row in keys} == {"fields", "address_hash"}
    assert [
        row["purpose"]
        for row in keys
        for one in constants
        if bytes(row["key"]) in one or bytes(row["inner_pad"]) in one
    ] == []


@pytest.mark.parametrize("outcome", ["temporary", "not_attempted"])
def test_what_comes_back_after_a_cancellation_is_cancelled(
    organization: str,
    owner: db.Connection,
    worker: db.Connection,
    app: db.Connection,
    outcome: str,
) -> None:
    message = queue(owner, organization, 10)
    [claimed] = claim(worker, messages=4)
    cancel(app, organization, message)
    complete(worker, claimed, claimed.results(outcome))
    due_again(owner)
    assert claim(worker) == []
    assert states(owner, message) == {"cancelled": 10}
    assert queue_calls.counters(owner, message) == {"cancelled": 10}
    assert owner.execute("SELECT count(*) FROM communication_batch_queue").fetchone() == (0,)


def test_a_redrive_beside_a_cancellation_sends_nothing(
    database: Database,
    organization: str,
    owner: db.Connection,
    worker: db.Connection,
    app: db.Connection,
) -> None:
    """The redrive has looked, the cancellation has not ended: then there is no row it could see."""
    message = queue(owner, organization, 5)
    [claimed] = claim(worker)
    worker.execute(
        "SELECT public.fail_batch(%s, %s, %s, 'no', false)",
        (organization, claimed.batch_id, claimed.lease_token),
    )
    with database.connect("wedsync_ops") as ops, ops.transaction():
        ops.execute("SELECT public.redrive_dead_letters(%s)", (organization,))
        stopping = threading.Thread(target=cancel, args=(app, organization, message))
        stopping.start()
        stopping.join(1)
    stopping.join()
    assert claim(worker) == []
    assert states(owner, message) == {"cancelled": 5}


def test_a_batch_renders_only_what_its_lease_handed_out(
    organization: str, owner: db.Connection, worker: db.Connection
) -> None:
    """Chunks may overlap, as after a redrive: what another lease holds is not sent twice."""
    message = queue(owner, organization, 10)
    owner.execute(
        "INSERT INTO communication_batch_queue (organization_id, batch_id, operation_type,"
        " channel, priority, state, run_at, fair_rank, communication_id, communication_created_at,"
        " first_recipient_id, last_recipient_id, recipients)"
        " SELECT organization_id, 'redrive/x', operation_type,"
        " channel, priority, state, run_at, fair_rank + 1, communication_id,"
        " communication_created_at,"
        " first_recipient_id, last_recipient_id, recipients FROM communication_batch_queue"
    )
    owner.execute(
        'UPDATE guest_communications SET compiled = \'{"subject": ["S"], "body": ["B"]}\''
    )
    both = claim(worker, batches=2, messages=4)
    assert len(both) == 2, message
    rendered = [
        {
            row["id"]
            for row in db.rows(
                worker,
                "SELECT recipient_id::text AS id FROM public.render_batch(%s, %s, %s)",
                (organization, one.batch_id, one.lease_token),
            )
        }
        for one in both
    ]
    assert rendered == [set(one.recipient_ids) for one in both]


def test_everything_at_once_meets_no_deadlock(database: Database) -> None:
    """And counters say what the rows say. `python -m tests.db.stress` runs it longer, and with
    erase_guest(), which about once a minute of it is one of two who wait for each other: it locks
    the guest before the messages, complete_batch() and fail_batch() after them, by a foreign key.
    """
    database.server.execute(f"ALTER DATABASE {database.name} SET deadlock_timeout = '100ms'")
    assert stress.run(database, 15, without="erase").wrong == []
