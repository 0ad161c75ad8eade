"""The exporter's own queries, as its login, on a database with measurements."""

from __future__ import annotations

import pytest
import yaml
from guestcomms import db

from infra.machine.render import FILES
from tests.db.server import Database

FILE = FILES / "exporters" / "etc" / "guestcomms" / "exporter-queries.yml"
QUERIES = yaml.safe_load(FILE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_answers_with_the_columns_it_names(database: Database, name: str) -> None:
    database.execute("SELECT * FROM public.collect_performance_metrics()")
    with database.connect("guestcomms_monitor") as connection:
        rows = db.rows(connection, QUERIES[name]["query"].encode())
    assert rows
    wanted = [column for metric in QUERIES[name]["metrics"] for column in metric]
    assert list(rows[0]) == wanted
    labels = [tuple(value for key, value in row.items() if key != wanted[-1]) for row in rows]
    assert len(labels) == len(set(labels)), "Prometheus refuses a label set twice"
