"""A machine whose PostgreSQL, Patroni and pgBackRest read another clock, through libfaketime.

A container has its host's clock, so the machine itself cannot be given another one; and Go programs
(etcd, the exporters) do not ask the C library for the time.
"""

from __future__ import annotations

from infra.local.image import ImageProvider, image_tag
from infra.machine.image import dockerfile, setup_script
from tests.ops.cluster.harness import Cluster

UNIT = "/etc/systemd/system/patroni.service.d/90-clock.conf"
LIBRARY = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
ENVIRONMENT = {
    "LD_PRELOAD": "/usr/local/lib/libfaketime.so.1",
    "FAKETIME_TIMESTAMP_FILE": "/etc/faketime",
    "FAKETIME_CACHE_DURATION": "1",
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    "DONT_FAKE_MONOTONIC": "1",
}


def fake(cluster: Cluster, machine: str) -> None:
    """Restart Patroni and PostgreSQL on a machine with a clock that `turn` moves."""
    files = {"setup.sh": setup_script()}
    base = image_tag("guestcomms-machine", dockerfile(), files)
    text = (
        f"FROM {base}\nRUN apt-get update -qq && apt-get install -y -qq libfaketime"
        " && rm -rf /var/lib/apt/lists/*\n"
    )
    tag = image_tag("guestcomms-faults", text)
    ImageProvider().create({"tag": tag, "dockerfile": text, "files": {}})
    donor = cluster.docker.containers.create(tag, labels={"guestcomms.stack": cluster.stack})
    try:
        stream, _ = donor.get_archive(LIBRARY)
        cluster.container(machine).put_archive("/usr/local/lib", b"".join(stream))
    finally:
        donor.remove()
    lines = "".join(f"Environment={key}={value}\n" for key, value in ENVIRONMENT.items())
    turn(cluster, machine, 0)
    cluster.on(
        machine,
        f"cat > {UNIT} <<'UNIT'\n[Service]\n{lines}UNIT\n"
        "systemctl daemon-reload && systemctl restart patroni",
    )


def turn(cluster: Cluster, machine: str, seconds: int) -> None:
    """Set the clock so many seconds ahead; it counts within a second."""
    cluster.on(machine, f"echo '{seconds:+d}' > /etc/faketime")


def give_back(cluster: Cluster, machine: str) -> None:
    """Start Patroni and PostgreSQL with the machine's own clock again."""
    if "yes" in cluster.on(machine, f"test -e {UNIT} && echo yes || true"):
        cluster.on(machine, f"rm {UNIT}; systemctl daemon-reload; systemctl restart patroni")
