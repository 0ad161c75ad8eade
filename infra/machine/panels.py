"""What there is to see of a cluster: every panel described once, drawn by consoles and by Grafana.

An expression is PromQL in which `$w` stands for the window of a rate: each drawer sets it to fit
the time that it shows. A legend names labels in braces, as in `{machine}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from infra.spec import DATABASE, MIB, ClusterSpec


class Kind(StrEnum):
    """How a panel is drawn."""

    TILE = "tile"
    """One value, or with a legend the names of the series there are, judged by their number."""
    CHART = "chart"
    STATES = "states"
    """One row per series, one colour per value, over time."""
    TABLE = "table"
    """One row per value of the label `by`, one column per query."""
    ALERTS = "alerts"
    """Every alert rule with its state: the consoles ask Prometheus' rules, Grafana its own."""


class Unit(StrEnum):
    """What a value counts."""

    NUMBER = "number"
    RATE = "rate"
    PERCENT = "percent"
    BYTES = "bytes"
    BYTES_RATE = "bytes_rate"
    SECONDS = "seconds"
    MILLISECONDS = "milliseconds"


class State(StrEnum):
    """What a value means; the same words and colours everywhere."""

    OK = "ok"
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


Step = tuple[float | None, State]
"""From this value on (None: from the lowest) it means that."""
Names = Mapping[int, tuple[str, State]]
"""Values that are states: what to call them, what they mean."""


@dataclass(frozen=True)
class Column:
    """How the values of one column of a table are shown."""

    unit: Unit = Unit.NUMBER
    steps: tuple[Step, ...] = ()
    names: Names = field(default_factory=dict)


@dataclass(frozen=True)
class Query:
    """PromQL, and what to call its series; in a table the title of its column."""

    expression: str
    legend: str = ""
    column: Column = Column()


@dataclass(frozen=True)
class Panel:
    """One panel. `width` is in twelfths of the page."""

    kind: Kind
    title: str
    about: str
    queries: tuple[Query, ...]
    unit: Unit = Unit.NUMBER
    steps: tuple[Step, ...] = ()
    names: Names = field(default_factory=dict)
    width: int = 4
    by: str = ""
    nothing: str = ""
    """What it means that there is no series at all."""


@dataclass(frozen=True)
class Section:
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Page:
    """One console page, one Grafana dashboard."""

    name: str
    about: str
    sections: tuple[Section, ...]


def below(limit: float, state: State) -> tuple[Step, ...]:
    """Steps of a value that is fine from `limit` on."""
    return (None, state), (limit, State.OK)


def above(*limits: tuple[float, State]) -> tuple[Step, ...]:
    """Steps of a value that is fine below the first limit."""
    return (None, State.OK), *limits


def zero(state: State) -> tuple[Step, ...]:
    """Steps of a count that should be nought."""
    return above((1, state))


# Standbys answer these too, with what was replicated: the leader alone is asked.
_LEADER = "and on (instance) (pg_replication_is_replica == 0)"


def measured(metric: str, label: str = "") -> str:
    """What the database measured of itself, by one of the measurement's own labels."""
    series = f'guestcomms_measured_value{{metric="{metric}"}} {_LEADER}'
    if not label:
        return f"max({series})"
    value = f'.*\\"{label}\\": \\"([^\\"]+)\\".*'
    return f'max by ({label}) (label_replace({series}, "{label}", "$1", "labels", "{value}"))'


def _checks(metric: str) -> str:
    """Checks as numbers: 0 pass, 1 warn, 2 unknown, 3 fail."""
    statuses = ("pass", "warn", "unknown", "fail")
    parts = (f'{number} * {metric}{{status="{word}"}}' for number, word in enumerate(statuses))
    return f"max by (check_name) (({' or '.join(parts)}) {_LEADER})"


_CHECK_NAMES: Names = {
    0: ("pass", State.OK),
    1: ("warn", State.WARNING),
    2: ("unknown", State.UNKNOWN),
    3: ("fail", State.CRITICAL),
}
_YES_NO: Names = {0: ("no", State.CRITICAL), 1: ("yes", State.OK)}
_DATABASE = f'datname="{DATABASE}"'
_POOL = f'database="{DATABASE}"'
_DISK = 'fstype!="tmpfs",mountpoint!~"/etc/.*|/run.*"'
_DISK_USED = (
    f"100 * (1 - node_filesystem_avail_bytes{{{_DISK}}} / node_filesystem_size_bytes{{{_DISK}}})"
)
_ROLES = (
    "max by (machine) (2 * patroni_primary + patroni_replica)"
    ' or max by (machine) (up{job="patroni"} - 1)'
)
_LAG = (
    "clamp_min(scalar(max(patroni_xlog_location)) - max by (machine)"
    " (patroni_xlog_replayed_location > 0 and patroni_replica == 1), 0)"
)


def _rate(metric: str, by: str = "") -> str:
    return f"sum{f' by ({by})' if by else ''} (rate({metric}[$w]))"


def _tile(
    title: str, about: str, expression: str, unit: Unit = Unit.NUMBER,
    steps: tuple[Step, ...] = (), *, legend: str = "",
) -> Panel:  # fmt: skip
    query = Query(expression, legend)
    return Panel(Kind.TILE, title, about, (query,), unit, steps, width=2)


def _chart(
    title: str, about: str, unit: Unit, *queries: Query,
    steps: tuple[Step, ...] = (), width: int = 4, nothing: str = "",
) -> Panel:  # fmt: skip
    return Panel(Kind.CHART, title, about, queries, unit, steps, width=width, nothing=nothing)


def _states(
    title: str, about: str, expression: str, legend: str, names: Names,
    *, width: int = 6, nothing: str = "",
) -> Panel:  # fmt: skip
    query = Query(expression, legend)
    return Panel(Kind.STATES, title, about, (query,), names=names, width=width, nothing=nothing)


def pages(spec: ClusterSpec) -> tuple[Page, ...]:
    """Every page, with the thresholds of the spec, in the order of the navigation."""
    return (
        _overview(spec), _database(spec), _pooler(spec), _backups(spec), _messaging(), _alerts(),
    )  # fmt: skip


def _overview(spec: ClusterSpec) -> Page:
    lag = above((spec.alerts.replication_lag_warning_mib * MIB, State.WARNING))
    disk = above((spec.alerts.disk_usage_warning, State.WARNING))
    backup = above((spec.alerts.full_backup_age_critical_hours * 3600, State.CRITICAL))
    one = ((None, State.CRITICAL), (1, State.OK), (2, State.CRITICAL))
    return Page(
        "overview",
        "Is the cluster whole, and what is it doing? A dashed red line marks a change of leader.",
        (
            Section("", (
                _tile("Leader", "The member that takes writes. None: nothing can be written;"
                      " two: split brain.", "patroni_primary == 1", steps=one, legend="{machine}"),
                _tile("Standbys in sync", "Standbys that confirm commits. Without one, losing"
                      " the leader loses acknowledged writes.",
                      "sum(patroni_sync_standby) + sum(patroni_quorum_standby)",
                      steps=below(1, State.CRITICAL)),
                _tile("Furthest behind", "WAL that the slowest standby has yet to replay.",
                      f"max({_LAG})", Unit.BYTES, lag),
                _tile("Silent targets", "Services that do not answer Prometheus.",
                      "count(up == 0) or vector(0)", steps=zero(State.CRITICAL)),
                _tile("Alerts firing", "See the page alerts.",
                      'count(ALERTS{alertstate="firing",severity!="none"}) or vector(0)',
                      steps=zero(State.CRITICAL)),
                _tile("Last full backup", "Age of the newest complete one in the store.",
                      'min(pgbackrest_backup_since_last_completion_seconds{backup_type="full"})',
                      Unit.SECONDS, backup),
                _tile("Commits", "Transactions of all databases, on the leader.",
                      _rate("pg_stat_database_xact_commit"), Unit.RATE),
                _tile("Queries", "Through all poolers.",
                      _rate(f"pgbouncer_stats_queries_pooled_total{{{_POOL}}}"), Unit.RATE),
                _tile("Clients", "Connected to the poolers.",
                      f"sum(pgbouncer_pools_client_active_connections{{{_POOL}}})"),
                _tile("Clients that wait", "For a server connection: the pool is too small or the"
                      " database too slow.",
                      f"sum(pgbouncer_pools_client_waiting_connections{{{_POOL}}})",
                      steps=zero(State.WARNING)),
                _tile("Recipients due", "Messages that wait for a worker.",
                      measured("queue_recipients")),
                _tile("Fullest disk", "Of all machines.", f"max({_DISK_USED})", Unit.PERCENT, disk),
            )),
            Section("Who leads", (
                _states("Roles", "What each member says of itself; silent if it does not answer.",
                        _ROLES, "{machine}", {
                            -1: ("silent", State.CRITICAL), 0: ("no role", State.WARNING),
                            1: ("standby", State.OK), 2: ("leader", State.INFO),
                        }),
                _states("Front door for writes", "To whom HAProxy sends what comes in on the"
                        " read-write port.",
                        'max by (server) (haproxy_server_status{proxy="leader_pooler",state="UP"})',
                        "{server}", {0: ("closed", State.UNKNOWN), 1: ("open", State.INFO)}),
            )),
            Section("What it does", (
                _chart("Commits", "Transactions per machine: only the leader writes.", Unit.RATE,
                       Query(_rate("pg_stat_database_xact_commit", "machine"), "{machine}")),
                _chart("Replication lag", "WAL still to be replayed, per standby.", Unit.BYTES,
                       Query(_LAG, "{machine}"), steps=lag),
                _chart("Processor", "Busy share; on one Docker engine every machine sees the"
                       " host's.", Unit.PERCENT,
                       Query("100 - 100 * avg by (machine) (rate("
                             'node_cpu_seconds_total{mode="idle"}[$w])'
                             ' and on (machine) up{job="patroni"})', "{machine}")),
            )),
            Section("Machines", (
                Panel(Kind.TABLE, "Database machines", "One row per machine; a dash where it"
                      " does not answer.", (
                    Query('max by (machine) (up{job="patroni"})', "answers", Column(names=_YES_NO)),
                    Query("max by (machine) (patroni_postgres_running)", "PostgreSQL runs",
                          Column(names=_YES_NO)),
                    Query("max by (machine) (patroni_postgres_timeline)", "timeline"),
                    Query(_LAG, "behind", Column(Unit.BYTES, lag)),
                    Query("time() - max by (machine) (patroni_postmaster_start_time > 0)",
                          "up for", Column(Unit.SECONDS)),
                    Query("max by (machine) (etcd_server_has_leader)", "etcd has a leader",
                          Column(names=_YES_NO)),
                    Query("max by (machine) (etcd_server_is_leader)", "etcd leads here",
                          Column(names={0: ("no", State.UNKNOWN), 1: ("yes", State.INFO)})),
                    Query("max by (machine) (patroni_pending_restart)", "restart pending",
                          Column(names={0: ("no", State.OK), 1: ("yes", State.WARNING)})),
                    Query(f'max by (machine) ({_DISK_USED} and on (machine) up{{job="patroni"}})',
                          "fullest disk", Column(Unit.PERCENT, disk)),
                ), width=12, by="machine"),
            )),
        ),
    )  # fmt: skip


def _database(spec: ClusterSpec) -> Page:
    alerts = spec.alerts
    used = f"100 * {measured('connections_used')} / {measured('connections_max')}"
    hits, reads = "pg_stat_database_blks_hit", "pg_stat_database_blks_read"
    hit = f"100 * {_rate(hits)} / ({_rate(hits)} + {_rate(reads)})"
    slow = above((alerts.average_query_time_critical_ms, State.CRITICAL))
    slot_limit = int(spec.postgres.max_slot_wal_keep_size)
    return Page(
        "database",
        "PostgreSQL on the leader, and how its standbys follow.",
        (
            Section("", (
                _tile("Connections used", "Sessions of clients, of what the server takes.", used,
                      Unit.PERCENT, above((alerts.active_connections_critical, State.CRITICAL))),
                _tile("Cache hits", "Pages found in shared buffers.", hit, Unit.PERCENT,
                      below(alerts.cache_hit_ratio_warning, State.WARNING)),
                _tile("Average statement", "Of all clients in the last minute.",
                      measured("statement_avg_ms"), Unit.MILLISECONDS, slow),
                _tile("Oldest transaction", "Long ones hold back vacuum.",
                      f"max(pg_stat_activity_max_tx_duration{{{_DATABASE}}})", Unit.SECONDS,
                      above((300, State.WARNING), (1800, State.CRITICAL))),
                _tile("Transaction-id age", "Vacuum freezes rows long before 2 billion.",
                      "max(pg_database_wraparound_age_datfrozenxid_seconds)",
                      steps=above((5e8, State.WARNING), (1e9, State.CRITICAL))),
                _tile("Size", f"Of the database {DATABASE}.",
                      f"max(pg_database_size_bytes{{{_DATABASE}}})", Unit.BYTES),
            )),
            Section("Work", (
                _chart("Transactions", "Commits and rollbacks of the leader.", Unit.RATE,
                       Query(_rate("pg_stat_database_xact_commit"), "commits"),
                       Query(_rate("pg_stat_database_xact_rollback"), "rollbacks")),
                _chart("Rows written", "Of the database, per second.", Unit.RATE,
                       *(Query(_rate(f"pg_stat_database_tup_{verb}{{{_DATABASE}}}"), verb)
                         for verb in ("inserted", "updated", "deleted"))),
                _chart("Average statement", "As pg_stat_statements counts it, each minute.",
                       Unit.MILLISECONDS, Query(measured("statement_avg_ms"), "statements"),
                       steps=slow),
                _chart("Sessions", "Of clients, by what they are doing.", Unit.NUMBER,
                       Query(f"sum by (state) (pg_stat_activity_count{{{_DATABASE}}}"
                             f" {_LEADER}) > 0", "{state}")),
                _chart("Locks", "Held or waited for, by mode.", Unit.NUMBER,
                       Query(f"topk(6, sum by (mode) (pg_locks_count{{{_DATABASE}}}"
                             f" {_LEADER}) > 0)", "{mode}")),
                _chart("Deadlocks and temporary files", "Both should stay rare.", Unit.NUMBER,
                       Query(f"sum(increase(pg_stat_database_deadlocks{{{_DATABASE}}}[$w]))",
                             "deadlocks"),
                       Query(f"sum(increase(pg_stat_database_temp_files{{{_DATABASE}}}[$w]))",
                             "temporary files")),
            )),
            Section("Write-ahead log", (
                _chart("WAL written", "By the leader.", Unit.BYTES_RATE,
                       # Of all at once: a member's own counter begins when it starts to lead.
                       Query("rate(max(patroni_xlog_location)[$w:10s])", "WAL")),
                _chart("Replication lag", "Until a change can be read on a standby.", Unit.SECONDS,
                       Query("max by (machine) (pg_replication_lag_seconds)", "{machine}")),
                _chart("WAL kept for standbys", "By slot; past the limit the standby is rebuilt.",
                       Unit.BYTES,
                       Query("max by (slot_name) (pg_replication_slots_pg_wal_lsn_diff"
                             f" {_LEADER})", "{slot_name}"),
                       steps=above((slot_limit, State.CRITICAL))),
            )),
            Section("Storage", (
                Panel(Kind.TABLE, "Largest tables", "With indexes, of all partitions; measured"
                      " once an hour.", (
                    # Once an hour, and shown for minutes.
                    Query("topk(10, max by (table) (label_replace(last_over_time("
                          'guestcomms_measured_value{metric="table_bytes",'
                          'labels!~".*partition.*"}[2h]),'
                          ' "table", "$1", "labels", ".*: \\"([^\\"]+)\\".*")))',
                          "size", Column(Unit.BYTES)),
                ), width=4, by="table"),
                _chart("Disks", "Used, the fullest of each machine.", Unit.PERCENT,
                       Query(f"max by (machine) ({_DISK_USED})", "{machine}"),
                       steps=above((alerts.disk_usage_warning, State.WARNING))),
                _chart("Dead rows", "Waiting for vacuum, the six tables with most.", Unit.NUMBER,
                       Query("topk(6, sum by (relname) (pg_stat_user_tables_n_dead_tup"
                             f" {_LEADER}) > 0)", "{relname}")),
            )),
        ),
    )  # fmt: skip


def _pooler(spec: ClusterSpec) -> Page:
    wait = float(spec.pooler.query_wait_timeout_seconds)
    queries = "pgbouncer_stats_queries"
    average = (
        f"{_rate(f'{queries}_duration_seconds_total{{{_POOL}}}', 'machine')}"
        f" / ({_rate(f'{queries}_pooled_total{{{_POOL}}}', 'machine')} > 0)"
    )
    pools = "pgbouncer_pools_"
    return Page(
        "pooler",
        "The way in: HAProxy leads to the right machine, PgBouncer shares its connections.",
        (
            Section("", (
                _tile("Clients", "Connected to all poolers.",
                      f"sum({pools}client_active_connections{{{_POOL}}})"),
                _tile("Clients that wait", "For a server connection.",
                      f"sum({pools}client_waiting_connections{{{_POOL}}})",
                      steps=zero(State.WARNING)),
                _tile("Longest wait", "Of a client that waits now; past the limit it is refused.",
                      f"max({pools}client_maxwait_seconds{{{_POOL}}})", Unit.SECONDS,
                      above((1, State.WARNING), (wait / 2, State.CRITICAL))),
                _tile("Server connections", "To PostgreSQL, in use.",
                      f"sum({pools}server_active_connections{{{_POOL}}})"),
                _tile("Queries", "Through all poolers.",
                      _rate(f"{queries}_pooled_total{{{_POOL}}}"), Unit.RATE),
                _tile("Refused by HAProxy", "Connections that found no server, in the window.",
                      "sum(increase(haproxy_backend_connection_errors_total[$w]))",
                      steps=zero(State.WARNING)),
            )),
            Section("PgBouncer", (
                _chart("Clients", "Per machine: those served and those that wait.", Unit.NUMBER,
                       Query(f"sum by (machine) ({pools}client_active_connections{{{_POOL}}})",
                             "{machine}"),
                       Query(f"sum({pools}client_waiting_connections{{{_POOL}}})", "waiting")),
                _chart("Server connections", "In use and idle, of all poolers.", Unit.NUMBER,
                       *(Query(f"sum({pools}server_{what}_connections{{{_POOL}}})", what)
                         for what in ("active", "idle", "login"))),
                _chart("Queries", "Per machine.", Unit.RATE,
                       Query(_rate(f"{queries}_pooled_total{{{_POOL}}}", "machine"), "{machine}")),
                _chart("Average query", "As the pooler sees it, without waiting for a connection.",
                       Unit.SECONDS, Query(average, "{machine}")),
                _chart("Time spent waiting", "Clients' seconds of waiting per second: 1 is one"
                       " client that always waits.", Unit.NUMBER,
                       Query(_rate(f"pgbouncer_stats_client_wait_seconds_total{{{_POOL}}}",
                                   "machine"), "{machine}")),
                _chart("Traffic", "Of clients, both ways.", Unit.BYTES_RATE,
                       *(Query(_rate(f"pgbouncer_stats_{way}_bytes_total{{{_POOL}}}"), way)
                         for way in ("received", "sent"))),
            )),
            Section("HAProxy", (
                _states("Who gets what", "Servers that each way in leads to.",
                        "max by (proxy, server) (haproxy_server_status"
                        '{state="UP",proxy!="statistics"})',
                        "{proxy} {server}",
                        {0: ("closed", State.UNKNOWN), 1: ("open", State.INFO)}),
                _chart("Sessions", "By the door they came in.", Unit.NUMBER,
                       Query('max by (proxy) (haproxy_frontend_current_sessions'
                             '{proxy!="statistics"})', "{proxy}"), width=6),
            )),
        ),
    )  # fmt: skip


def _backups(spec: ClusterSpec) -> Page:
    age = "pgbackrest_backup_since_last_completion_seconds"
    full = above((spec.alerts.full_backup_age_critical_hours * 3600, State.CRITICAL))
    late = spec.postgres.archive_timeout_seconds
    last = "max(pgbackrest_backup_last_{})"
    return Page(
        "backups",
        "What could be restored: full and incremental backups, and the WAL between them.",
        (
            Section("", (
                _tile("Last full backup", "Age of the newest complete one.",
                      f'min({age}{{backup_type="full"}})', Unit.SECONDS, full),
                _tile("Last backup", "Of any kind: a restore starts from here.",
                      f"min({age})", Unit.SECONDS, full),
                _tile("Last WAL archived", "What a burnt cluster could lose.",
                      f"max(pg_stat_archiver_last_archive_age {_LEADER})", Unit.SECONDS,
                      above((4 * late, State.WARNING), (20 * late, State.CRITICAL))),
                _tile("Archiving failures", "In the window; the leader tries again by itself.",
                      "sum(increase(pg_stat_archiver_failed_count[$w]))",
                      steps=zero(State.WARNING)),
                _tile("Full backups kept", "In the store, each complete.",
                      'max(count by (machine) (pgbackrest_backup_info{backup_type="full"}))',
                      steps=below(1, State.CRITICAL)),
                _tile("Stanza status", "What pgBackRest says of the store; 0 is good.",
                      "max(pgbackrest_stanza_status)", steps=zero(State.CRITICAL)),
            )),
            Section("Archiving", (
                _chart("WAL archived", "Segments a minute.", Unit.NUMBER,
                       Query("60 * sum(rate(pg_stat_archiver_archived_count[$w]))", "segments")),
                _chart("Age of the last segment archived", "Rises while the store is away.",
                       Unit.SECONDS,
                       Query(f"max(pg_stat_archiver_last_archive_age {_LEADER})", "age"),
                       steps=above((4 * late, State.WARNING))),
                _chart("WAL on disk", "Grows while it cannot be archived.", Unit.BYTES,
                       Query("max by (machine) (pg_wal_size_bytes)", "{machine}")),
            )),
            Section("Backups", (
                _chart("Age of the last backup", "Full, and of any kind.", Unit.SECONDS,
                       Query(f'min({age}{{backup_type="full"}})', "full"),
                       Query(f"min({age})", "any kind"), steps=full),
                _chart("Added to the store", "By the last backup, compressed and encrypted.",
                       Unit.BYTES,
                       Query(last.format('repo_delta_bytes{backup_type="full"}'), "full"),
                       Query(last.format('repo_delta_bytes{backup_type="incr"}'), "newest")),
                _chart("Duration", "Of the last backup.", Unit.SECONDS,
                       Query(last.format('duration_seconds{backup_type="full"}'), "full"),
                       Query(last.format('duration_seconds{backup_type="incr"}'), "newest")),
                Panel(Kind.TABLE, "In the store", "Every backup that can be restored.", (
                    Query("max by (backup_name) (pgbackrest_backup_size_bytes)", "database",
                          Column(Unit.BYTES)),
                    Query("max by (backup_name) (pgbackrest_backup_repo_delta_bytes)",
                          "added to the store", Column(Unit.BYTES)),
                    Query("max by (backup_name) (pgbackrest_backup_duration_seconds)", "took",
                          Column(Unit.SECONDS)),
                    Query("max by (backup_name) (pgbackrest_backup_error_status)", "errors",
                          Column(names={0: ("none", State.OK), 1: ("found", State.CRITICAL)})),
                ), width=12, by="backup_name"),
            )),
        ),
    )  # fmt: skip


def _messaging() -> Page:
    sending = (
        "bulk_send|claim_batches|complete_batch|render_batch|record_delivery_events"
        "|report_recipients|create_communication|upsert_guests"
    )
    calls = measured("calls", "function").replace(
        'metric="calls"', f'metric="calls",labels=~".*({sending}).*"'
    )
    return Page(
        "messaging",
        "What the messaging system measures of itself, each minute, on the leader.",
        (
            Section("", (
                _tile("Recipients due", "Messages that wait for a worker.",
                      measured("queue_recipients"),
                      steps=above((1e6, State.WARNING), (5e6, State.CRITICAL))),
                _tile("Oldest in the queue", "How long the first chunk that is due has waited.",
                      measured("queue_oldest_seconds"), Unit.SECONDS,
                      above((600, State.WARNING), (3600, State.CRITICAL))),
                _tile("Dead letters", "Chunks that failed for good and that nobody has looked"
                      " after.", measured("dead_letters_open"), steps=zero(State.WARNING)),
                _tile("Statements", "Of all clients, as counted each minute.",
                      f"{measured('statement_calls')} / 60", Unit.RATE),
                _tile("Slowest probes", "95 of 100 probe calls of the last 15 minutes were faster.",
                      measured("probe_p95_ms"), Unit.MILLISECONDS,
                      above((500, State.WARNING), (1000, State.CRITICAL))),
                _tile("Checks that fail", "Of check_communication_system_health().",
                      f'count(guestcomms_health_result{{status="fail"}} {_LEADER}) or vector(0)',
                      steps=zero(State.CRITICAL)),
            )),
            Section("Queue", (
                _chart("Recipients due", "Messages that wait for a worker.", Unit.NUMBER,
                       Query(measured("queue_recipients"), "recipients")),
                _chart("Chunks", "Rows of the queue, by state.", Unit.NUMBER,
                       Query(measured("queue_chunks", "state"), "{state}"),
                       nothing="The queue was empty all the time."),
                _chart("Oldest in the queue", "How long the first chunk that is due has waited.",
                       Unit.SECONDS, Query(measured("queue_oldest_seconds"), "oldest"),
                       steps=above((600, State.WARNING))),
            )),
            Section("Functions", (
                _chart("Calls of sending", "A minute, of the functions that a campaign goes"
                       " through.", Unit.NUMBER, Query(calls, "{function}")),
                _chart("Slowest functions", "Average of a call; the six slowest of each minute.",
                       Unit.MILLISECONDS,
                       Query(f"topk(6, {measured('call_avg_ms', 'function')})", "{function}")),
                _chart("Probe calls", "Some statements of the API, run and timed each minute.",
                       Unit.MILLISECONDS,
                       Query(measured("probe_avg_ms"), "average"),
                       Query(measured("probe_p95_ms"), "95 %"),
                       Query(measured("probe_p99_ms"), "99 %")),
            )),
            Section("Its own checks", (
                _states("Health", "check_communication_system_health(); `guestcomms health` says"
                        " what to do.", _checks("guestcomms_health_result"), "{check_name}",
                        _CHECK_NAMES),
                _states("Production readiness", "verify_production_readiness(); `guestcomms"
                        " readiness` says what to do.", _checks("guestcomms_readiness_result"),
                        "{check_name}", _CHECK_NAMES),
            )),
        ),
    )  # fmt: skip


def _alerts() -> Page:
    firing = 'ALERTS{{alertstate="{}"{}}}'
    return Page(
        "alerts",
        "What fires now, what may soon, what has fired. docs/runbooks says what to do.",
        (
            Section("", (
                _tile("Critical", "Somebody has to look now.",
                      f"""count({firing.format("firing", ',severity="critical"')}) or vector(0)""",
                      steps=zero(State.CRITICAL)),
                _tile("Warning", "To be looked at today.",
                      f"""count({firing.format("firing", ',severity="warning"')}) or vector(0)""",
                      steps=zero(State.WARNING)),
                _tile("Pending", "True, but not for long enough yet.",
                      f"count({firing.format('pending', '')}) or vector(0)",
                      steps=above((1, State.INFO))),
                _tile("Silent targets", "Services that do not answer Prometheus.",
                      "count(up == 0) or vector(0)", steps=zero(State.CRITICAL)),
                _tile("Alertmanager", "Alerts that it could not hand on, in the window.",
                      "sum(increase(alertmanager_notifications_failed_total[$w]))",
                      steps=zero(State.CRITICAL)),
                _tile("Rule failures", "Evaluations that failed, in the window.",
                      "sum(increase(prometheus_rule_evaluation_failures_total[$w]))",
                      steps=zero(State.CRITICAL)),
            )),
            Section("What fired", (
                _states("Alerts over time", "Every alert that was pending or firing in this time.",
                        'max by (alertname) (2 * ALERTS{alertstate="firing",severity!="none"}'
                        ' or ALERTS{alertstate="pending"})',
                        "{alertname}",
                        {1: ("pending", State.WARNING), 2: ("firing", State.CRITICAL)},
                        width=12, nothing="Nothing was pending or firing in this time."),
            )),
            Section("Rules", (
                Panel(Kind.ALERTS, "Every rule", "Those that fire first.",
                      (Query('ALERTS{alertstate="firing"}'),), width=12),
            )),
        ),
    )  # fmt: skip
