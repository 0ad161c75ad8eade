"""Every rendered file is read by the program it is for, inside the machine image."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from typing import Any, cast

import docker
import pytest
import yaml
from docker.models.containers import Container

from infra.agent.haproxy import with_servers
from infra.agent.prepare import patroni_settings
from infra.machine import machines
from infra.machine.model import Machine, Role
from infra.machine.panels import pages
from infra.spec import ClusterSpec

PROXY = "/etc/haproxy/haproxy.cfg"
Check = Callable[[str, str], tuple[int, str]]
CONFIGS: tuple[dict[str, Any], ...] = (
    {},
    {
        "machines": {"database_nodes": 5},
        "recovery": {"plan": "wide"},
        "pooler": {"pool_size": 50, "max_clients": 20000},
        "backup": {"processes": 4, "compress_level": 9, "retention_days": 90},
    },
)
# What the place delivers, faked no further than a program needs to read its own file.
PREPARE = """set -eu
mkdir -p /etc/guestcomms/tls /var/lib/postgresql/17 && cd /etc/guestcomms/tls
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=test \
    -keyout machine.key -out machine.crt 2>/dev/null
cp machine.crt ca.crt; cat machine.crt machine.key | tee machine.pem > check.pem; chmod 644 *
for n in pg-1 pg-2 pg-3 pg-4 pg-5 proxy-1 monitor-1 store-1; do
    echo "127.0.0.2 $n" >> /etc/hosts
done
printf 'ETCD_INITIAL_CLUSTER=pg-1=https://pg-1:2380\\n' > /etc/default/etcd-members
touch /etc/pgbouncer/userlist.txt; chown -R postgres: /etc/pgbouncer
"""


def archive(machine: Machine) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        extra = {"/user-data": machine.user_data}
        if machine.settings:
            settings = patroni_settings(("pg-1", "pg-2", "pg-3"), machine.settings)
            extra["/etc/patroni/conf.d/20-settings.yml"] = settings.decode()
        written = {
            item["path"]: (item["content"], int(item["permissions"], 8))
            for item in yaml.safe_load(machine.user_data)["write_files"]
        }
        if machine.role is Role.PROXY:
            text, mode = written[PROXY]
            written[PROXY] = with_servers(text, {"pg-1": "127.0.0.2", "pg-2": "127.0.0.3"}), mode
        written |= {path: (text, 0o644) for path, text in (extra | machine.files).items()}
        for path, (content, mode) in written.items():
            info = tarfile.TarInfo(path.lstrip("/"))
            info.size, info.mode = len(content.encode()), mode
            tar.addfile(info, io.BytesIO(content.encode()))
    return buffer.getvalue()


@pytest.fixture(scope="module", params=CONFIGS, ids=["defaults", "wide"])
def run(request: pytest.FixtureRequest, machine_image: str) -> Iterator[Check]:
    """run(machine, command): a container per machine with its files, removed at the end."""
    spec = ClusterSpec.load("local", request.param)
    built = {item.name: item for item in machines(spec, "0" * 64)}
    client = docker.from_env()
    started: dict[str, Container] = {}

    def execute(name: str, command: str) -> tuple[int, str]:
        if name not in started:
            container = client.containers.run(
                machine_image, ["sleep", "600"], detach=True, network_mode="none",
                labels={"guestcomms.stack": "test-rendered-files"},
            )  # fmt: skip
            started[name] = container
            container.put_archive("/", archive(built[name]))
            assert container.exec_run(["sh", "-c", PREPARE]).exit_code == 0
        code, output = cast("Any", started[name].exec_run(["sh", "-c", command]))
        return code, output.decode()

    yield execute
    for container in started.values():
        container.remove(force=True)
    client.close()


MACHINES = ["store-1", "pg-1", "proxy-1", "monitor-1", "drill-1"]


@pytest.mark.parametrize("machine", MACHINES)
def test_cloud_init(run: Check, machine: str) -> None:
    code, output = run(machine, "cloud-init schema --config-file /user-data")
    assert code == 0, output
    assert "Valid schema" in output


@pytest.mark.parametrize("machine", MACHINES)
def test_systemd_units(run: Check, machine: str) -> None:
    _, output = run(
        machine,
        "install -m 755 /bin/true /opt/guestcomms/agent.pyz; cp -n /bin/true /usr/local/bin/weed;"
        " cd /etc/systemd/system && ls *.service | xargs systemd-analyze verify --man=no",
    )
    complaints = [line for line in output.splitlines() if "/etc/systemd/system/" in line]
    assert complaints == []


# Patroni 4.0.7 runs `quorum` but its validator of bootstrap.dcs only knows booleans.
UNKNOWN_TO_VALIDATOR = "bootstrap.dcs.synchronous_mode quorum is not a boolean"
VALIDATE = (
    # The validator wants to reach etcd: somebody has to listen.
    "(timeout 20 python3 -m http.server --bind 127.0.0.2 2379 >/dev/null 2>&1 &) ; sleep 0.5;"
    " runuser -u postgres -- patroni --validate-config "
)


def test_patroni(run: Check) -> None:
    _, output = run("pg-1", VALIDATE + "/etc/patroni/conf.d")
    assert output.strip() == UNKNOWN_TO_VALIDATOR


def test_patroni_check_can_fail(run: Check) -> None:
    broken = "cp -r /etc/patroni/conf.d /tmp/p; sed -i 's/^scope:.*/scope: [1]/' /tmp/p/10*; "
    code, output = run("pg-1", broken + VALIDATE + "/tmp/p")
    assert code != 0
    assert "scope" in output


def test_pgbouncer(run: Check) -> None:
    code, output = run(
        "pg-1",
        "mkdir -p /run/postgresql && chown postgres: /run/postgresql;"
        " runuser -u postgres -- timeout -s INT 2 pgbouncer /etc/pgbouncer/pgbouncer.ini 2>&1",
    )
    assert "process up" in output, output
    for word in ("ERROR", "FATAL", "unrecognized"):
        assert word not in output, output
    assert code in {0, 124}


@pytest.mark.parametrize("machine", ["pg-1", "drill-1"])
def test_pgbackrest(run: Check, machine: str) -> None:
    # `info` reads and checks the whole configuration before it looks at the (here local) store.
    code, output = run(
        machine, "runuser -u postgres -- pgbackrest --stanza=wedsync --repo1-path=/tmp info 2>&1"
    )
    assert code == 0, output
    assert "WARN" not in output, output
    assert "stanza: wedsync" in output


@pytest.mark.parametrize("machine", ["proxy-1", "store-1"])
def test_haproxy(run: Check, machine: str) -> None:
    code, output = run(machine, "haproxy -c -f /etc/haproxy/haproxy.cfg 2>&1")
    assert code == 0, output
    assert "WARNING" not in output, output


def test_etcd_rejoin_script_is_valid_shell(run: Check) -> None:
    code, output = run("pg-1", "sh -n /usr/local/sbin/etcd-rejoin")
    assert code == 0, output


def test_prometheus(run: Check) -> None:
    code, output = run("monitor-1", "promtool check config /etc/prometheus/prometheus.yml 2>&1")
    assert code == 0, output
    assert "rules found" in output
    code, output = run("monitor-1", "promtool check web-config /etc/prometheus/web.yml 2>&1")
    assert code == 0, output


def _as_rules(expressions: list[str]) -> str:
    """Expressions as recording rules: what promtool can check."""
    rules = [{"record": f"n{n}", "expr": text} for n, text in enumerate(expressions)]
    return json.dumps({"groups": [{"name": "panels", "rules": rules}]})


def test_promtool_reads_what_the_panels_ask(run: Check) -> None:
    every = pages(ClusterSpec(stack="local"))
    panels = [panel for page in every for section in page.sections for panel in section.panels]
    asked = [q.expression.replace("$w", "1m") for panel in panels for q in panel.queries]
    check = "cat > /tmp/rules.yml <<'END'\n{}\nEND\npromtool check rules /tmp/rules.yml 2>&1"
    code, output = run("monitor-1", check.format(_as_rules(asked)))
    assert code == 0, output
    assert f"{len(asked)} rules found" in output
    code, output = run("monitor-1", check.format(_as_rules([*asked, "sum(up"])))
    assert code != 0, output


def test_prometheus_renders_the_console_pages(run: Check) -> None:
    names = [page.name for page in pages(ClusterSpec(stack="local"))]
    code, output = run(
        "monitor-1",
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1"
        " -subj /CN=test -addext subjectAltName=DNS:monitor-1"
        " -keyout /etc/guestcomms/tls/machine.key -out /etc/guestcomms/tls/machine.crt 2>/dev/null;"
        " chmod 644 /etc/guestcomms/tls/machine.key; . /etc/default/prometheus;"
        " install -d -o prometheus /var/lib/prometheus/metrics2; cd /tmp;"
        " (runuser -u prometheus -- prometheus $ARGS > prometheus.log 2>&1 &);"
        " ask='curl -s --cacert /etc/guestcomms/tls/machine.crt';"
        " for n in $(seq 100); do"
        "   $ask https://monitor-1:9090/-/ready >/dev/null && break; sleep 0.2; done;"
        f" for page in {' '.join(names)} index; do"
        "   $ask -w '\\n%{http_code} %{content_type} of %{url}\\n'"
        "     https://monitor-1:9090/consoles/$page.html || cat prometheus.log; done;"
        " pkill -x prometheus",
    )
    assert code == 0, output
    assert re.findall(r"^(\d+) text/html.* of .*/(\w+)\.html$", output, re.MULTILINE) == [
        ("200", name) for name in (*names, "index")
    ], output
    assert output.count("</html>") == len(names)
    for name in names:
        assert f"<title>{name} · guestcomms</title>" in output
        assert f'<a href="{name}.html" aria-current="page">' in output
    assert "{{" not in output


@pytest.mark.parametrize("machine", MACHINES)
def test_exporters_ask_for_a_certificate(run: Check, machine: str) -> None:
    code, output = run(machine, "promtool check web-config /etc/guestcomms/exporter-web.yml 2>&1")
    assert code == 0, output


def test_alertmanager(run: Check) -> None:
    code, output = run("monitor-1", "amtool check-config /etc/prometheus/alertmanager.yml 2>&1")
    assert code == 0, output
