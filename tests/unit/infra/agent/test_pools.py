from typing import Any

import pytest

from infra.agent import pools
from infra.agent.errors import AgentError

ROW: dict[str, Any] = {
    "min_connections": 2,
    "max_connections": 30,
    "total": 370,
    "connection_timeout_ms": 2500,
    "idle_timeout_ms": 60000,
    "revision": 7,
}


def test_a_pool_becomes_the_file_that_pgbouncer_includes() -> None:
    assert pools.render(pools.check(ROW), "wedsync") == (
        "; The pool of database wedsync, revision 7 of communication_pool_config.\n"
        "; It continues the section [pgbouncer] of pgbouncer.ini.\n"
        "query_wait_timeout = 2.500\n"
        "server_idle_timeout = 60.000\n"
        "\n"
        "[databases]\n"
        "wedsync = host=/run/postgresql port=5432 dbname=wedsync pool_size=30 min_pool_size=2"
        " max_db_connections=370\n"
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_connections", 0),
        ("max_connections", 5001),
        ("min_connections", 31),
        ("total", 29),
        ("min_connections", -1),
        ("connection_timeout_ms", 0),  # to PgBouncer 0 means: wait for ever
        ("idle_timeout_ms", 999),
        ("max_connections", "30\nadmin_users=evil"),
        ("max_connections", 2.5),
    ],
)
def test_a_value_out_of_bounds_never_reaches_the_file(key: str, value: object) -> None:
    with pytest.raises(AgentError, match=key):
        pools.check(ROW | {key: value})


def test_every_setting_is_compared_with_what_pgbouncer_has() -> None:
    wanted = pools.settings(pools.check(ROW))
    assert pools.differs(wanted, dict(wanted)) == []
    for key in wanted:
        assert pools.differs(wanted, wanted | {key: wanted[key] + 1}) == [key]
        assert pools.differs(wanted, {k: v for k, v in wanted.items() if k != key}) == [key]


def test_the_load_is_that_of_all_clients_and_of_the_busiest_login() -> None:
    pools_shown = [
        {"database": "wedsync", "user": "wedsync_app", "cl_waiting": 3, "sv_active": 20},
        {"database": "wedsync", "user": "wedsync_ops", "cl_waiting": 1, "sv_active": 2},
        {"database": "pgbouncer", "user": "pgbouncer", "cl_waiting": 9, "sv_active": 9},
    ]
    assert pools.load(pools_shown, "wedsync") == (4, 20)
    assert pools.load([], "wedsync") == (0, 0)
