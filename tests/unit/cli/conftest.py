"""A small clone with a real Pulumi stack in it: real engine, real secrets, no Docker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from guestcomms import engine, paths

PROJECT = """\
name: guestcomms
runtime: python
main: infra/
stackConfigDir: infra/stacks
"""
PROGRAM = """\
import pulumi

from infra.trust import Authority, Login, Secret
from infra.trust.keyring import _escrow

ROLES = ("app", "migrator", "monitor", "ops")
PORTS = {"read_write": 5432, "read_only": 5433, "direct": 5434}

keep = pulumi.ResourceOptions(protect=True)
Secret("repository-cipher", 48, keep, _escrow("repository-cipher"))
Secret("key-encryption-key", 32, keep, _escrow("key-encryption-key"))
authority = Authority("authority", "guestcomms test-cli")
for role in ROLES:
    Login(f"login-{role}", f"wedsync_{role}", f"comms_{role}")

outputs = {
    "stack": pulumi.get_stack(),
    "place": "local",
    "clone": "3fa9c1",
    "database": "wedsync",
    "endpoints": {name: {"host": "127.0.0.1", "port": port} for name, port in PORTS.items()},
    "ca_certificate": authority.certificate,
    "logins": {role: f"wedsync_{role}" for role in ROLES},
    "machines": {
        "pg-1": {"role": "database", "address": "10.213.7.11", "exec": ["sh", "-c"]},
        "proxy-1": {"role": "proxy", "address": "10.213.7.6", "exec": ["sh", "-c"]},
    },
    "spec": {"alerts": {"full_backup_age_critical_hours": 26}},
}
for name, value in outputs.items():
    pulumi.export(name, value)
"""
STACK_FILE = "# A comment that stays.\nconfig:\n  guestcomms:bootstrap: new\n"
STACK = "test-cli"


def make_clone(root: Path) -> Path:
    """Lay out a clone whose stack needs no machines."""
    (root / "infra" / "stacks").mkdir(parents=True)
    (root / "Pulumi.yaml").write_text(PROJECT)
    (root / "infra" / "__main__.py").write_text(PROGRAM)
    (root / "infra" / "stacks" / f"Pulumi.{STACK}.yaml").write_text(STACK_FILE)
    return root


def move_into(root: Path, patch: pytest.MonkeyPatch) -> None:
    """Let the command line believe that it was installed from `root`, by a person at home there."""
    patch.setattr(paths, "ROOT", root)
    patch.setattr(paths, "STATE", root / ".state")
    patch.setenv("XDG_CONFIG_HOME", str(root / "config"))
    patch.setenv("PULUMI_HOME", str(root / "pulumi-home"))
    for name in ("BACKEND_URL", "CONFIG_PASSPHRASE", "CONFIG_PASSPHRASE_FILE", "STACK"):
        patch.delenv(f"PULUMI_{name}", raising=False)
    patch.delenv("GUESTCOMMS_STACK", raising=False)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone where nothing was brought up yet."""
    root = make_clone(tmp_path / "clone")
    move_into(root, monkeypatch)
    return root


@pytest.fixture(scope="session")
def shared_clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone whose stack was brought up once, by the same calls that `guestcomms up` makes."""
    root = make_clone(tmp_path_factory.mktemp("up") / "clone")
    with pytest.MonkeyPatch.context() as patch:
        move_into(root, patch)
        engine.prepare_backend()
        engine.create_stack(STACK)
        engine.pulumi(STACK, ["up", "--yes", "--skip-preview"])
    return root


@pytest.fixture
def clone_up(shared_clone: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The clone whose stack is up; whoever uses it changes nothing."""
    move_into(shared_clone, monkeypatch)
    state = shared_clone / ".state" / "pulumi" / ".pulumi" / "stacks" / "guestcomms"
    before = (state / f"{STACK}.json").read_bytes()
    yield shared_clone
    assert (state / f"{STACK}.json").read_bytes() == before


REPOSITORY = paths.ROOT


@pytest.fixture
def repository() -> Path:
    """The clone that the tests themselves are in."""
    return REPOSITORY
