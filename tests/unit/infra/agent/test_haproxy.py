"""HAProxy's servers: in its file, and what makes a running one follow it."""

import yaml

from infra.agent import haproxy, paths
from infra.machine import machines
from infra.spec import ClusterSpec

ADDRESSES = {"pg-2": "10.0.0.12", "pg-1": "10.0.0.11", "store-1": "10.0.0.5"}
CHECK = "crt /etc/guestcomms/tls/check.pem client-sigalgs RSA-PSS+SHA256"
BACKENDS = {"leader_pooler": 6432, "standby_pooler": 6432, "leader_direct": 5432}


def configuration() -> str:
    """The file as user-data brings it."""
    built = {item.name: item for item in machines(ClusterSpec.load("local", {}), "0" * 64)}
    written = yaml.safe_load(built["proxy-1"].user_data)["write_files"]
    return str(next(item["content"] for item in written if item["path"] == str(paths.PROXY)))


def test_each_backend_gets_a_line_for_each_database_machine() -> None:
    made = haproxy.with_servers(configuration(), ADDRESSES)
    assert made.count(f"server pg-1 10.0.0.11:6432 verifyhost pg-1 {CHECK}\n") == 2
    assert made.count(f"server pg-2 10.0.0.12:5432 verifyhost pg-2 {CHECK}\n") == 1
    assert haproxy.with_servers(made, ADDRESSES) == made
    assert haproxy.with_servers(made, {}) == configuration()


def test_health_checks_have_a_certificate_of_their_own_that_stays() -> None:
    made = haproxy.check_certificate(b"")
    assert made.count(b"BEGIN CERTIFICATE") == made.count(b"BEGIN PRIVATE KEY") == 1
    assert haproxy.check_certificate(made) == made


def test_what_the_file_wants_is_what_add_server_takes() -> None:
    wanted = haproxy.servers(haproxy.with_servers(configuration(), ADDRESSES))
    assert set(wanted) == set(BACKENDS)
    for backend, port in BACKENDS.items():
        assert set(wanted[backend]) == {"pg-1", "pg-2"}
        line = wanted[backend]["pg-2"]
        assert line.startswith(f"10.0.0.12:{port} check check-ssl port 8008 ")
        assert line.endswith(f" rise 1 verifyhost pg-2 {CHECK}")


def test_only_servers_that_come_or_go_are_touched() -> None:
    wanted = {"b": {"pg-1": "A", "pg-3": "C"}}
    said = list(haproxy.commands(wanted, {"b": {"pg-1", "pg-2"}, "other": {"x"}}))
    assert said == [
        "add server b/pg-3 C",
        "enable health b/pg-3",
        "enable server b/pg-3",
        "set server b/pg-2 state maint",
        "shutdown sessions server b/pg-2",
        "del server b/pg-2",
    ]
    assert not list(haproxy.commands(wanted, {"b": {"pg-1", "pg-3"}}))
