"""Where a rotation stands, read from a stack's state: what comes next, and what is not done yet."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from guestcomms import rotation
from guestcomms.certificates import Certificate, MachineCertificates
from guestcomms.errors import RefusedError, UnreachableError
from guestcomms.stack import Resource
from guestcomms.status import certificates_check

from infra.trust.resources import login_roles
from infra.trust.rotation import Rotation

LOGINS = login_roles("wedsync_app", "comms_app", "V", {}, "")


def resource(kind: str, name: str, **outputs: Any) -> Resource:
    urn = f"urn:pulumi:test::guestcomms::{kind}::{name}"
    return Resource(urn, f"pulumi-python:dynamic/trust:{kind}", False, outputs)


def state(
    *, delivered: str = "C1", bundle: str = "A", told: dict[str, Any] = LOGINS, **login: Any
) -> rotation.State:
    secrets = {"machine.crt": delivered, "ca.crt": "A", "logins.json": json.dumps(told)}
    parts = [
        resource("Machine", "pg-1", secrets=secrets),
        resource("Certificate", "pg-1", certificate="C1", rotation=None),
        resource("Authority", "authority", bundle=bundle, step=None),
        resource("Login", "login-app", **{"login": "wedsync_app", "password": "x", **login}),
    ]
    return rotation.State.of("test", parts)


def test_what_is_delivered_is_done() -> None:
    assert state().undelivered == []


@pytest.mark.parametrize(
    "changed",
    [
        state(delivered="C0"),
        state(bundle="AB"),
        state(login="wedsync_app_b", previous={"login": "wedsync_app", "password": "y"}),
    ],
    ids=["certificate", "authority", "login"],
)
def test_a_machine_that_was_not_reached_is_found(changed: rotation.State) -> None:
    assert changed.undelivered == ["pg-1"]


def test_a_login_that_was_retired_is_done_when_machines_know_it_is_out() -> None:
    out = login_roles("wedsync_app_b", "comms_app", "V", {}, "wedsync_app")
    assert state(told=out, login="wedsync_app_b", retired="wedsync_app").undelivered == []


def test_a_stack_without_machines_is_not_up() -> None:
    with pytest.raises(UnreachableError, match="not up"):
        rotation.State.of("test", [])


def test_the_token_of_a_rotation_that_some_certificates_missed_is_used_again() -> None:
    certificates = {
        "pg-1": resource("Certificate", "pg-1", rotation="2026-02-01"),
        "pg-2": resource("Certificate", "pg-2", rotation="2026-01-01"),
    }
    some = dataclasses.replace(state(), certificates=certificates)
    assert some.unfinished_token == "2026-02-01"
    every = dataclasses.replace(some, certificates={"pg-1": certificates["pg-1"]})
    assert every.unfinished_token is None


@pytest.mark.parametrize(
    ("done", "undelivered", "until", "steps"),
    [
        (None, False, "retire", ["trust", "issue", "retire"]),
        (None, False, "trust", ["trust"]),
        (None, True, "retire", ["retire"]),
        ("trust", False, "retire", ["issue", "retire"]),
        ("trust", True, "retire", ["trust", "issue", "retire"]),
        ("trust", False, "trust", []),
        ("issue", True, "retire", ["issue", "retire"]),
    ],
)
def test_no_step_comes_before_every_machine_has_the_one_before(
    done: str | None, undelivered: bool, until: str, steps: list[str]
) -> None:
    assert rotation.authority_steps(done, undelivered=undelivered, until=until) == steps


def test_a_rotation_does_not_go_back() -> None:
    with pytest.raises(RefusedError, match="issue"):
        rotation.authority_steps("issue", undelivered=False, until="trust")


def test_a_certificate_that_did_not_arrive_is_no_step_of_the_authority() -> None:
    assert state(delivered="C0").trusts_otherwise == []
    assert state(bundle="AB").trusts_otherwise == ["pg-1"]


def test_the_program_understands_what_is_requested() -> None:
    logins = {"wedsync_app": ("issue", "t")}
    asked = Rotation.requested(rotation.request(certificates="t", authority="trust", logins=logins))
    assert asked == Rotation("t", "trust", logins)
    assert Rotation.requested(rotation.request()) == Rotation()


NOW = datetime(2026, 3, 1, tzinfo=UTC)


def told(days: float, authority_days: float = 900, **ports: Any) -> dict[str, MachineCertificates]:
    def ending(after: float) -> Certificate:
        end = int((NOW + timedelta(days=after)).timestamp())
        return Certificate(sha256="0", not_after=end)

    own, authorities = ending(days), (ending(authority_days),)
    silent, stale = ports.get("silent", ()), ports.get("stale", ())
    return {
        "pg-1": MachineCertificates(
            machine="pg-1", certificate=own, authorities=authorities, stale=stale, silent=silent
        )
    }


@pytest.mark.parametrize(
    ("answers", "judged", "seen"),
    [
        (told(300), "ok", "pg-1, on 2026-12-26"),
        (told(13), "fail", "2026-03-14"),
        (told(300, stale=(5432,)), "fail", "pg-1:5432 shows an old certificate"),
        (told(300, silent=(8008,)), "fail", "pg-1:8008 shows no certificate"),
        ({"pg-1": UnreachableError("x")}, "unknown", "pg-1 does not tell"),
    ],
)
def test_status_names_the_first_certificate_to_end(
    answers: dict[str, Any], judged: str, seen: str
) -> None:
    check = certificates_check(answers, NOW, "local")
    assert check.state == judged
    assert seen in check.value


def test_status_says_what_to_rotate() -> None:
    assert "rotate certificates" in certificates_check(told(5), NOW, "local").todo
    assert "rotate ca" in certificates_check(told(300, 5), NOW, "local").todo
