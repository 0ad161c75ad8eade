"""What a stack gives away, read from the export of a real one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from cryptography import x509
from guestcomms import engine, paths
from guestcomms.errors import RefusedError, UnreachableError, UsageError
from guestcomms.stack import Stack, read_state
from psycopg.conninfo import conninfo_to_dict

STACK = "test-cli"


@pytest.fixture
def stack(clone_up: Path) -> Stack:  # noqa: ARG001 (a mark cannot ask for it)
    return Stack.load(STACK)


def test_outputs_are_typed(stack: Stack) -> None:
    assert stack.outputs.database == "wedsync"
    assert stack.machine("pg-1").exec == ("sh", "-c")
    assert stack.machines("database") == ("pg-1",)
    assert str(stack.endpoint("direct")) == "127.0.0.1:5434"


def test_every_role_has_its_own_password(stack: Stack) -> None:
    assert len(set(stack.passwords.values())) == len(stack.outputs.logins) == 4
    assert all(len(password) >= 24 for password in stack.passwords.values())


def test_no_password_is_shown_by_accident(stack: Stack) -> None:
    shown = repr(stack) + repr(read_state(STACK, show_secrets=True))
    assert not [password for password in stack.passwords.values() if password in shown]


def test_without_asking_no_secret_leaves_the_state(stack: Stack) -> None:
    outputs = repr([dict(r.outputs) for r in read_state(STACK, show_secrets=False)])
    assert not [password for password in stack.passwords.values() if password in outputs]


def test_a_dsn_says_who_where_and_verifies_the_server(stack: Stack) -> None:
    parts = conninfo_to_dict(stack.dsn("app"))
    assert parts == {
        "user": "wedsync_app",
        "password": stack.passwords["wedsync_app"],
        "host": "127.0.0.1",
        "port": "5432",
        "dbname": "wedsync",
        "sslmode": "verify-full",
        "sslrootcert": str(paths.STATE / "stacks" / STACK / "ca.crt"),
    }


def test_the_certificate_of_the_dsn_is_a_ca(stack: Stack) -> None:
    file = Path(str(conninfo_to_dict(stack.dsn("app"))["sslrootcert"]))
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    file.write_text("an old one")
    assert stack.ca_file.read_text() == stack.outputs.ca_certificate


@pytest.mark.parametrize(
    ("options", "port"), [({}, 5432), ({"read_only": True}, 5433), ({"direct": True}, 5434)]
)
def test_a_dsn_leads_where_it_is_asked_to(
    stack: Stack, options: dict[str, bool], port: int
) -> None:
    assert urlsplit(stack.dsn("ops", **options)).port == port


def test_a_dsn_for_an_argument_has_no_password(stack: Stack) -> None:
    url = stack.dsn("ops", with_password=False)
    assert stack.passwords["wedsync_ops"] not in url
    assert "password" not in conninfo_to_dict(url)


def test_any_password_and_any_path_survive_the_quoting(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(paths, "STATE", tmp_path / "odd & näme?#%20")
    password = "a/b:c@d?e#f%g&h i'j\"k+l=ö"
    odd = dataclasses.replace(stack, passwords={"wedsync_app": password})
    parts = conninfo_to_dict(odd.dsn("app"))
    assert parts["password"] == password
    assert parts["sslrootcert"] == str(tmp_path / "odd & näme?#%20" / "stacks" / STACK / "ca.crt")
    assert unquote(urlsplit(odd.dsn("app")).password or "") == password


def test_unknown_names_are_answered_with_the_known_ones(stack: Stack) -> None:
    with pytest.raises(UsageError, match=r"no role 'boss'; choose one of: app, migrator, monitor"):
        stack.dsn("boss")
    with pytest.raises(UsageError, match=r"has no machine 'pg-9'; choose one of: pg-1, proxy-1"):
        stack.machine("pg-9")
    with pytest.raises(UsageError, match=r"has no endpoint 'prometheus'; it has: "):
        stack.endpoint("prometheus")
    with pytest.raises(UsageError, match=r"give one"):
        stack.dsn("app", read_only=True, direct=True)


@pytest.mark.usefixtures("clone")
def test_a_stack_that_was_never_brought_up() -> None:
    with pytest.raises(UnreachableError, match=r"no stack 'local'.* bring it up with `make up`"):
        Stack.load("local")


@pytest.mark.usefixtures("clone_up")
def test_a_stack_that_is_not_this_one() -> None:
    with pytest.raises(
        UnreachableError, match=r"no stack 'other'.*`\.venv/bin/\S+ --stack other up`"
    ):
        Stack.load("other")


@pytest.mark.usefixtures("clone")
def test_a_stack_that_was_made_and_never_finished() -> None:
    engine.prepare_backend()
    engine.create_stack(STACK)
    with pytest.raises(
        UnreachableError, match=r"'test-cli' exists but is not up: .* goes on where"
    ):
        Stack.load(STACK)


@pytest.mark.usefixtures("clone_up")
def test_a_wrong_passphrase_is_named_by_its_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "other").write_text("not it")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", str(tmp_path / "other"))
    with pytest.raises(RefusedError, match=r"passphrase in \S+/other \(variable PULUMI_CONFIG_PA"):
        Stack.load(STACK)
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE_FILE")
    monkeypatch.setattr(engine, "passphrase_file", lambda: tmp_path / "other")
    with pytest.raises(RefusedError, match=r"passphrase in \S+/other does not open the state"):
        Stack.load(STACK)


@pytest.mark.usefixtures("clone_up")
def test_a_backend_that_does_not_open(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path}/nowhere")
    with pytest.raises(UnreachableError, match=r"backend file:.*/nowhere does not open; "):
        Stack.load(STACK)
