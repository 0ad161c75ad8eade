"""Is the cluster in order? Judged by live facts: what machines say, and what connections prove."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from guestcomms import backups, certificates, db, health, hints, restore_record
from guestcomms.errors import GuestcommsError
from guestcomms.migrate import pending_migrations
from guestcomms.stack import EndpointName, Stack

State = Literal["ok", "fail", "unknown"]
SYNCHRONOUS = ("sync", "quorum")
CONNECT_SECONDS = 5
CERTIFICATE_LEFT = timedelta(days=14)
"""`up` makes certificates anew in their last 30 days: one with less than this was left alone."""
WORKERS = 8
"""So many questions are asked at once."""


@dataclass(frozen=True)
class Check:
    """One fact that was looked at; `unknown` where it could not be, which is never in order."""

    name: str
    state: State
    value: str
    todo: str = ""


@dataclass(frozen=True)
class Report:
    """Everything that was looked at."""

    stack: str
    checks: tuple[Check, ...]
    cluster: health.ClusterHealth | None

    @property
    def healthy(self) -> bool:
        """Whether every check is in order."""
        return all(check.state == "ok" for check in self.checks)


def examine(stack: Stack) -> Report:
    """Look at the whole cluster; what cannot be looked at becomes a check, not an error."""
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        cluster = pool.submit(_cluster, stack)
        others = [n for n, m in stack.outputs.machines.items() if m.role != "database"]
        machines = [pool.submit(_machine, stack, name) for name in others]
        ways_in = [pool.submit(_way_in, stack, *way) for way in _WAYS_IN]
        inside = [pool.submit(_guarded, *look, stack) for look in _INSIDE]
        trust = pool.submit(_certificates, stack)
        seen, checks = cluster.result()
        for future in (*machines, *ways_in, *inside, trust):
            checks.append(future.result())
    return Report(stack.name, tuple(checks), seen)


_WAYS_IN: tuple[tuple[EndpointName, bool], ...] = (
    ("read_write", False),
    ("read_only", True),
    ("direct", False),
)
"""Front doors, and whether a standby must be behind them."""


def cluster_checks(seen: health.ClusterHealth, stack: str) -> list[Check]:
    """What the database machines say of themselves, as checks."""
    sync = sorted(row.name for row in seen.replication if row.sync_state in SYNCHRONOUS)
    return [
        Check("leader", _state(bool(seen.leader)), seen.leader or "none"),
        _standbys(seen, stack),
        Check("synchronous standby", _state(bool(sync)), ", ".join(sync) or "none"),
        _etcd(seen, stack),
        _archiving(seen.archiver),
        _monitor(seen.monitor),
        Check("backup stanza", _state(seen.stanza_ready), "ready" if seen.stanza_ready else "none"),
        # The agent's own reasons say what to do, so the checks above need not.
        Check("agent's verdict", _state(seen.healthy), " ".join(seen.problems) or "healthy"),
    ]


def _certificates(stack: Stack) -> Check:
    """Every machine's, with the one that ends first."""
    return certificates_check(certificates.ask_all(stack), datetime.now(UTC), stack.name)


def certificates_check(
    told: Mapping[str, certificates.MachineCertificates | GuestcommsError],
    now: datetime,
    stack: str,
) -> Check:
    """Judge what the machines said: the nearest end, and ports that show something else."""
    name = "certificates"
    known = [each for each in told.values() if isinstance(each, certificates.MachineCertificates)]
    if silent := sorted(set(told) - {each.machine for each in known}):
        todo = hints.command(f"logs {silent[0]}", stack)
        return Check(name, "unknown", f"{', '.join(silent)} does not tell its own", todo)
    first = min(known, key=lambda each: each.end)
    value = f"the first to end is of {first.machine}, on {first.end:%Y-%m-%d}"
    if problems := [problem for each in known for problem in each.problems]:
        todo = hints.command("rotate certificates", stack)
        return Check(name, "fail", f"{'; '.join(problems)}; {value}", todo)
    if first.end - now < CERTIFICATE_LEFT:
        ends_with_authority = first.certificate.end > first.end
        todo = hints.command(f"rotate {'ca' if ends_with_authority else 'certificates'}", stack)
        return Check(name, "fail", value, todo)
    return Check(name, "ok", value)


def _state(good: bool) -> State:
    return "ok" if good else "fail"


def _standbys(seen: health.ClusterHealth, stack: str) -> Check:
    streaming = {row.name for row in seen.replication if row.state == "streaming"}
    standbys = set(seen.members) - {seen.leader}
    behind = sorted(standbys - streaming)
    value = f"{len(standbys) - len(behind)} of {len(standbys)} streaming"
    todo = hints.command(f"logs {behind[0]} -u patroni", stack) if behind else ""
    return Check("standbys", _state(not behind), value, todo)


def _etcd(seen: health.ClusterHealth, stack: str) -> Check:
    sick = sorted(name for name, member in seen.etcd.items() if not member.healthy)
    value = f"{len(seen.etcd) - len(sick)} of {len(seen.etcd)} members healthy"
    todo = hints.command(f"logs {sick[0]} -u etcd", stack) if sick else ""
    return Check("etcd", _state(bool(seen.etcd) and not sick), value, todo)


def _monitor(monitor: health.Monitor) -> Check:
    """The dead-man's switch: a monitor that is dead tells nobody, so others ask it."""
    if not monitor.alive:
        return Check("monitor", "fail", "no alert gets through", monitor.problem or "")
    return Check("monitor", "ok", f"sign of life at {monitor.last_sign_at:%H:%M:%S} UTC")


def _archiving(archiver: health.Archiver) -> Check:
    archived, failed = archiver.last_archived_at, archiver.last_failed_at
    if archived is None and failed is None:
        return Check("archiving", "unknown", "nothing archived yet", "write something and wait")
    if failed is not None and (archived is None or failed > archived):
        value = f"{archiver.last_failed_wal} failed at {failed:%H:%M:%S}"
        return Check("archiving", "fail", value, "see the leader's PostgreSQL log")
    return Check("archiving", "ok", f"{archiver.last_archived_wal} at {archived:%H:%M:%S} UTC")


def _cluster(stack: Stack) -> tuple[health.ClusterHealth | None, list[Check]]:
    try:
        seen = health.ask(stack)
    except GuestcommsError as error:
        return None, [Check("database machines", "fail", "no answer", error.message)]
    return seen, cluster_checks(seen, stack.name)


def _machine(stack: Stack, name: str) -> Check:
    try:
        seen = health.ask_machine(stack, name)
    except GuestcommsError as error:
        return Check(name, "fail", "no answer", error.message)
    if seen.healthy:
        return Check(name, "ok", "healthy")
    return Check(name, "fail", " ".join(seen.problems), hints.command(f"logs {name}", stack.name))


def _way_in(stack: Stack, endpoint: EndpointName, standby: bool) -> Check:
    """Connect as a client does and see that the right kind of server answers."""
    name = f"endpoint {endpoint}"
    at = str(stack.endpoint(endpoint))
    dsn = stack.dsn("monitor", read_only=endpoint == "read_only", direct=endpoint == "direct")
    try:
        with db.connect(
            dsn,
            application_name="guestcomms status",
            autocommit=True,
            connect_timeout_seconds=CONNECT_SECONDS,
        ) as connection:
            recovering = db.one_value(connection, "SELECT pg_catalog.pg_is_in_recovery()")
    except (GuestcommsError, db.DatabaseError) as error:
        return Check(name, "fail", at, str(error))
    if recovering is not standby:
        got = "a standby" if recovering else "the leader"
        todo = hints.command("logs proxy-1 -u haproxy", stack.name)
        return Check(name, "fail", f"{at} leads to {got}", todo)
    return Check(name, "ok", at)


def _migrations(stack: Stack) -> Check:
    pending = pending_migrations(stack.dsn("migrator", direct=True))
    if pending:
        todo = hints.command("migrate apply", stack.name)
        return Check("migrations", "fail", f"pending: {', '.join(pending)}", todo)
    return Check("migrations", "ok", "none pending")


def _last_backup(stack: Stack) -> Check:
    """A full backup must not be older than the spec's alert threshold."""
    hours = int(stack.outputs.spec["alerts"]["full_backup_age_critical_hours"])
    with db.connect(
        stack.dsn("ops"),
        application_name="guestcomms status",
        autocommit=True,
        connect_timeout_seconds=CONNECT_SECONDS,
    ) as connection:
        last = backups.last_full(connection)
    todo = hints.command("backup run full", stack.name)
    if last is None or last.completed_at is None:
        return Check("last full backup", "fail", "none", todo)
    age = datetime.now(UTC) - last.completed_at
    value = f"{last.label}, {age.total_seconds() / 3600:.1f} h ago"
    if age > timedelta(hours=hours):
        return Check("last full backup", "fail", value, f"older than {hours} h: {todo}")
    return Check("last full backup", "ok", value)


def _restore(stack: Stack) -> Check:
    return restore_check(restore_record.Ledger(stack).read(), stack.name)


def restore_check(record: restore_record.Record | None, stack: str) -> Check:
    """Judge whether a restore of the cluster has been left in the middle."""
    name = "restore of the cluster"
    if record is None:
        return Check(name, "ok", "none under way")
    ended = record.has_done("done") and not record.aborting and not record.releasing
    value = f"{record.restore_id} is {record.state}"
    return Check(name, _state(ended), value, restore_record.how_to_go_on(record, stack))


_INSIDE: tuple[tuple[str, Callable[[Stack], Check]], ...] = (
    ("restore of the cluster", _restore),
    ("migrations", _migrations),
    ("last full backup", _last_backup),
)


def _guarded(name: str, look: Callable[[Stack], Check], stack: Stack) -> Check:
    """A look into the database; without an answer the check is unknown."""
    try:
        return look(stack)
    except (GuestcommsError, db.DatabaseError) as error:
        return Check(name, "unknown", "could not be looked at", str(error).strip())
