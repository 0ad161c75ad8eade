"""The cluster that faults are done to: kept on disk, so that a killed run can go on with it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from tests.ops.cluster import clock
from tests.ops.cluster.harness import Cluster, CommandFailedError
from tests.waiting import wait_until

RULES = "faults"
"""The nftables table of all network faults."""
REAL_DISK = "/mnt/real-disk"
SMALL_DISK = "/var/lib/postgresql"
PATRONI = "/etc/patroni/conf.d"
WHOLE_SECONDS = 300

wait = partial(wait_until, poll_seconds=0.5)
"""Wait for a condition that runs a command on a machine."""


class Stage(Cluster):
    """One stack of the real project under `directory`, found again by a later process."""

    def __init__(self, directory: Path) -> None:
        (directory / "pulumi").mkdir(parents=True, exist_ok=True)
        super().__init__(directory / "pulumi")
        self._memory = directory / "stage.json"
        self._dsns: dict[tuple[str, ...], str] = {}
        if self._memory.exists():
            self.file.unlink()
            kept = json.loads(self._memory.read_text("utf-8"))
            self.stack, self.sections = kept["stack"], kept["sections"]
            self.environment["PULUMI_CONFIG_PASSPHRASE"] = kept["passphrase"]
            self.file = self.file.with_name(f"Pulumi.{self.stack}.yaml")
        self.configure()

    def configure(self, **sections: Any) -> None:
        """Write the stack's configuration, and what finds it again."""
        super().configure(**sections)
        if hasattr(self, "_memory"):
            self._memory.touch(mode=0o600)
            kept = {
                "stack": self.stack,
                "sections": self.sections,
                "passphrase": self.environment["PULUMI_CONFIG_PASSPHRASE"],
            }
            self._memory.write_text(json.dumps(kept), "utf-8")

    def rise(self) -> None:
        """Bring the cluster up, unless it stands whole already."""
        self.mend()
        try:
            self.wait_healthy(30)
            self.query("SELECT 1")
        except (AssertionError, ValueError, psycopg.Error):
            self.renew()

    def renew(self) -> None:
        """Bring the cluster up, or make one whole again that a fault or a killed run left."""
        self.mend()
        self._rebuild_standbys()
        self.pulumi("cancel", "--yes", ok=False)
        done = self.run("up", "--yes", ok=False)
        try:
            self.wait_healthy(WHOLE_SECONDS if done.returncode == 0 else 10)
        except (AssertionError, ValueError) as error:
            said = (done.stdout + done.stderr)[-1500:]
            raise CommandFailedError(f"the cluster is not whole: {error}\n{said}") from error

    def mend(self) -> None:
        """Undo every fault that may be in force, whatever it was."""
        for machine in (*self.database_machines, "store-1"):
            try:
                container = self.container(machine)
            except ValueError:
                continue  # not made yet, or lost
            if container.status == "paused":
                container.unpause()
            elif container.status != "running":
                container.start()
        for machine in self.database_machines:
            try:
                self.heal_network(machine)
                self.give_back_disk(machine)
                clock.give_back(self, machine)
                self.on(machine, "systemctl start --no-block etcd patroni")
            except (CommandFailedError, ValueError):
                continue

    def _rebuild_standbys(self) -> None:
        """Copy standbys that do not come back anew: what a person would do next."""
        try:
            self.wait_healthy(60)
        except (AssertionError, ValueError):
            for machine, member in self._members().items():
                if member["state"] not in {"running", "streaming", "unreachable"}:
                    command = f"reinit wedsync {machine} --force --wait"
                    self.on(machine, f"runuser -u postgres -- patronictl -c {PATRONI} {command}")

    def _members(self) -> dict[str, Any]:
        try:
            return dict(self.health()["members"])
        except (AssertionError, ValueError):
            return {}  # there is no cluster yet

    def close(self) -> None:
        """Take everything down, and forget it."""
        super().close()
        self._memory.unlink(missing_ok=True)

    # ---- looking

    def dsn(self, *options: str) -> str:
        """A connection URL; asked for once, it stays the same as long as the stack."""
        if options not in self._dsns:
            self._dsns[options] = super().dsn(*options)
        return self._dsns[options]

    def forget_logins(self) -> None:
        """Ask for connection URLs anew: passwords were rotated."""
        self._dsns.clear()

    @property
    def leader(self) -> str:
        """The machine that leads, as soon as one does."""
        found: list[str] = []

        def leads() -> bool:
            found[:] = filter(None, [self.health()["leader"]])
            return bool(found)

        wait(leads, 90, lambda: self.health()["problems"])
        return found[0]

    @property
    def standbys(self) -> list[str]:
        """The database machines that do not lead."""
        leader = self.leader
        return [name for name in self.database_machines if name != leader]

    def superuser(self, machine: str, sql: str) -> str:
        """What PostgreSQL on a machine answers to its superuser, unaligned, rows only."""
        return self.on(machine, f'runuser -u postgres -- psql -d wedsync -XAtq -c "{sql}"').strip()

    def wait_whole(self) -> None:
        """Wait until the cluster is healthy and every standby has what the leader has."""
        self.wait_healthy(WHOLE_SECONDS)
        wait(self._level, 60, lambda: self.health()["replication"])

    def _level(self) -> bool:
        health = self.health()
        rows = health["replication"]
        return len(rows) == len(self.database_machines) - 1 and all(
            (row["replay_lag_bytes"] or 0) < 1 << 20 for row in rows
        )

    # ---- doing

    def make_leader(self, machine: str) -> None:
        """Have `machine` lead, by a planned switchover.

        Asked for until it happens: Patroni refuses (and patronictl exits with 0) as long as it has
        not counted a standby that just came back as synchronous.
        """
        command = f"switchover wedsync --candidate {machine} --force"
        said = ""

        def leads() -> bool:
            nonlocal said
            if self.leader == machine:
                return True
            said = self.on(
                machine, f"runuser -u postgres -- patronictl -c {PATRONI} {command} 2>&1 || true"
            )
            return False

        wait_until(leads, 90, lambda: said, poll_seconds=3)
        self.wait_healthy(WHOLE_SECONDS)

    def drop_packets(self, machine: str, *rules: str) -> None:
        """Drop packets on a machine, both ways, but for its own loopback; `rules` narrow it."""
        lines = "".join(
            f"add chain inet {RULES} {hook} {{ type filter hook {hook} priority -300; }}\n"
            + "".join(
                f"add rule inet {RULES} {hook} {device} != lo {rule} drop\n" for rule in rules
            )
            for hook, device in (("input", "iif"), ("output", "oif"))
        )
        self.on(machine, f"nft -f - <<'RULES'\nadd table inet {RULES}\n{lines}RULES")

    def heal_network(self, machine: str) -> None:
        """Let packets through again."""
        self.on(machine, f"nft delete table inet {RULES} 2>/dev/null || true")
        self.on(machine, "tc qdisc del dev eth0 root 2>/dev/null || true")

    def small_disk(self, machine: str, spare_mib: int) -> None:
        """Put the data of a standby on a file system of its own with little room to spare.

        A file system in memory: the machine gets that much more of it.
        """
        used = int(self.on(machine, f"du -sm {SMALL_DISK}").split()[0])
        memory = self.container(machine).attrs["HostConfig"]["Memory"]
        room = (used + spare_mib) << 20
        self.container(machine).update(mem_limit=memory + room, memswap_limit=memory + room)
        self.on(
            machine,
            f"""set -e
            systemctl stop guestcomms-agent patroni
            mkdir -p {REAL_DISK}
            mount --bind {SMALL_DISK} {REAL_DISK}
            mount -t tmpfs -o size={used + spare_mib}m,mode=0755,uid=postgres,gid=postgres \
                tmpfs {SMALL_DISK}
            cp -a {REAL_DISK}/. {SMALL_DISK}/
            systemctl start patroni guestcomms-agent""",
        )
        self.wait_healthy(WHOLE_SECONDS)

    def give_back_disk(self, machine: str) -> None:
        """Put the data back on the volume; what is there is older, and catches up."""
        if "tmpfs" not in self.on(machine, f"findmnt -no FSTYPE {SMALL_DISK} | tail -1"):
            return
        memory = int(float(self.sections["machines"]["database"]["memory"].removesuffix("GiB")))
        self.on(
            machine,
            f"""set -e
            systemctl stop guestcomms-agent patroni
            umount {SMALL_DISK}
            umount {REAL_DISK}
            systemctl start patroni guestcomms-agent""",
        )
        self.container(machine).update(mem_limit=memory << 30, memswap_limit=memory << 30)
