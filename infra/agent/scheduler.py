"""Sees to it that pg_cron runs its jobs.

On clusters just made, pg_cron's launcher was seen waiting for ever with active jobs and no run: no
backups, no measurements, nobody who takes back leases. It believes that it knows the jobs, having
lost the word of a change (https://github.com/citusdata/pg_cron/issues/362), so it is told again.
Where that does not help it is ended: the postmaster starts another one.
"""

import logging
from datetime import timedelta
from typing import Any

import psycopg

PATIENCE = timedelta(minutes=3)

# The trigger of pg_cron on this table tells the launcher, also where no row changes.
_TELL_LAUNCHER = "UPDATE cron.job SET active = active WHERE false"

# Of the launcher and a minute's job: no run in that time, although the launcher was there.
_END_IDLE_LAUNCHER = """
    SELECT pg_catalog.pg_terminate_backend(a.pid)
      FROM pg_catalog.pg_stat_activity AS a
     WHERE a.backend_type = 'pg_cron launcher'
       AND a.backend_start < clock_timestamp() - %(patience)s
       AND EXISTS (SELECT FROM cron.job AS j WHERE j.active AND j.schedule = '* * * * *')
       AND NOT EXISTS (
           SELECT
             FROM (SELECT d.start_time FROM cron.job_run_details AS d
                    ORDER BY d.runid DESC LIMIT 100) AS latest
            WHERE latest.start_time > clock_timestamp() - %(patience)s
       )
"""

log = logging.getLogger(__name__)


def ensure(connection: psycopg.Connection[Any], patience: timedelta = PATIENCE) -> bool:
    """Have pg_cron's launcher read its jobs; end it if it runs nothing, and return whether it did.

    Args:
        connection: a superuser's, on the primary, to pg_cron's database.
        patience: how long the launcher may run no job while one is due each minute.

    Raises:
        psycopg.Error: PostgreSQL refused.
    """
    there = connection.execute("SELECT pg_catalog.to_regclass('cron.job')").fetchone()
    if there is None or there[0] is None:
        return False
    connection.execute(_TELL_LAUNCHER)
    ended = connection.execute(_END_IDLE_LAUNCHER, {"patience": patience}).fetchone()
    if ended is not None:
        log.warning("pg_cron ran no job for %s: its launcher is started anew", patience)
    return ended is not None
