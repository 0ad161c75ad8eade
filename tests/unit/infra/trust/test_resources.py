"""The providers' decisions: what is replaced, what is kept, what stays undecided."""

import asyncio
import base64
import datetime as dt
from typing import Any

import pytest
from pulumi.runtime import rpc

from infra.dynamic import PlaceError, has_unknown
from infra.trust.resources import (
    AuthorityProvider,
    CertificateProvider,
    LoginProvider,
    SecretProvider,
    login_roles,
)
from infra.trust.rotation import VARIABLE, Rotation
from infra.trust.scram import scram_verifier


def as_planned(value: object) -> object:
    """Return `value` as a provider gets it from the engine, whose marker means unknown."""
    message = asyncio.run(rpc.serialize_properties({"value": value}, {}))
    return rpc.deserialize_properties(message, True)["value"]


UNKNOWN = as_planned(rpc.UNKNOWN)
FAR = (dt.datetime.now(dt.UTC) + dt.timedelta(days=300)).isoformat()
NEAR = (dt.datetime.now(dt.UTC) + dt.timedelta(days=20)).isoformat()
NAMES = {
    "common_name": "pg-1",
    "dns_names": ["pg-1", "localhost"],
    "ip_addresses": ["10.213.7.11"],
    "days": 365,
    "authority_certificate": "PEM",
}


def test_unchanged_certificate_stays() -> None:
    result = CertificateProvider().diff("1", {**NAMES, "not_after": FAR}, NAMES)
    assert (result.changes, result.replaces) == (False, [])


@pytest.mark.parametrize(
    ("key", "value"),
    [("common_name", "pg-2"), ("dns_names", ["pg-1"]), ("ip_addresses", ["10.213.8.11"])],
)
def test_certificate_with_other_names_is_replaced(key: str, value: object) -> None:
    olds = {**NAMES, "not_after": FAR}
    assert CertificateProvider().diff("1", olds, {**NAMES, key: value}).replaces == [key]


def test_certificate_near_its_end_is_replaced() -> None:
    result = CertificateProvider().diff("1", {**NAMES, "not_after": NEAR}, NAMES)
    assert result.changes
    assert result.replaces


@pytest.mark.parametrize("addresses", [UNKNOWN, as_planned([rpc.UNKNOWN])])
def test_unknown_address_changes_but_does_not_replace(addresses: object) -> None:
    news = {**NAMES, "ip_addresses": addresses}
    result = CertificateProvider().diff("1", {**NAMES, "not_after": FAR}, news)
    assert (result.changes, result.replaces) == (True, [])
    assert not CertificateProvider().check({}, news).failures


def test_bad_address_is_named_before_anything_is_made() -> None:
    (failure,) = CertificateProvider().check({}, {**NAMES, "ip_addresses": ["10.213.7"]}).failures
    assert failure.property == "ip_addresses"
    assert "'10.213.7'" in failure.reason


AUTHORITY = {"common_name": "authority", "days": 3650}


def authority_after(*steps: str | None) -> list[dict[str, Any]]:
    """What an authority is at first, and after a run that asks for each of `steps`."""
    provider = AuthorityProvider()
    states = [dict(provider.create(AUTHORITY).outs or {})]
    for step in steps:
        news = {**AUTHORITY, "rotation": step}
        before = states[-1]
        changes = provider.diff("1", before, news).changes
        after = dict(provider.update("1", before, news).outs or {}) if changes else before
        states.append(after)
    return states


def test_an_authority_is_followed_by_another_with_both_trusted_meanwhile() -> None:
    settled, trusted, issued, retired = authority_after("trust", "issue", "retire")
    old, new = settled["certificate"], issued["certificate"]
    assert old != new
    assert [state["certificate"] for state in (trusted, retired)] == [old, new]
    assert [state["private_key"] for state in (settled, issued)] == [
        trusted["private_key"], retired["private_key"],
    ]  # fmt: skip
    assert [settled["bundle"], retired["bundle"]] == [old, new]
    assert trusted["bundle"] == old + new
    assert issued["bundle"] == new + old
    assert [state["step"] for state in (settled, trusted, issued, retired)] == [
        None, "trust", "issue", None,
    ]  # fmt: skip
    assert [state["next"] is None for state in (settled, trusted, issued, retired)] == [
        True, False, True, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "steps", [("issue",), ("retire",), ("trust", "trust"), ("trust", "retire"), ("trust", None)]
)
def test_an_authority_takes_no_step_twice_and_none_out_of_turn(
    steps: tuple[str | None, ...],
) -> None:
    states = authority_after(*steps)
    assert states[-1] == states[-2]


def test_an_authority_near_its_end_trusts_the_next_one_and_replaces_nothing() -> None:
    provider = AuthorityProvider()
    (olds,) = authority_after()
    olds["not_after"] = NEAR
    result = provider.diff("1", olds, AUTHORITY)
    assert (result.changes, result.replaces) == (True, [])
    outs = provider.update("1", olds, AUTHORITY).outs
    assert outs is not None
    assert (outs["step"], outs["certificate"]) == ("trust", olds["certificate"])
    assert not provider.diff("1", outs, AUTHORITY).changes


def test_an_authority_of_before_there_were_bundles_gets_one() -> None:
    (olds,) = authority_after()
    for key in ("bundle", "step", "next"):
        del olds[key]
    assert AuthorityProvider().diff("1", olds, AUTHORITY).changes
    outs = AuthorityProvider().update("1", olds, AUTHORITY).outs
    assert outs is not None
    assert outs["bundle"] == outs["certificate"] == olds["certificate"]


def test_a_certificate_is_made_anew_once_for_each_rotation() -> None:
    olds = {**NAMES, "not_after": FAR, "authority_bundle": "PEM", "rotation": "first"}
    news = {**NAMES, "authority_bundle": "PEM"}

    def replaces(**changes: object) -> bool:
        return bool(CertificateProvider().diff("1", olds, {**news, **changes}).replaces)

    assert not replaces(rotation=None)
    assert not replaces(rotation="first")
    assert replaces(rotation="second")
    assert replaces(authority_bundle="PEM" * 2)


def test_two_logins_take_turns() -> None:
    provider = LoginProvider()
    base = {"login": "wedsync_app", "group": "comms_app"}
    first = dict(provider.create(base).outs or {})

    def asked(olds: dict[str, Any], step: str | None, token: str | None = None) -> dict[str, Any]:
        news = {**base, "rotation": {"step": step, "token": token} if step else None}
        if not provider.diff("1", olds, news).changes:
            return olds
        return dict(provider.update("1", olds, news).outs or {})

    both = asked(first, "issue", "1")
    assert (both["login"], both["previous"]["login"]) == ("wedsync_app_b", "wedsync_app")
    assert both["previous"]["password"] == first["password"] != both["password"]
    assert asked(both, "issue", "1") == asked(both, "issue", "2") == asked(both, None) == both
    alone = asked(both, "retire")
    assert (alone["login"], alone["previous"]) == ("wedsync_app_b", {})
    assert alone["retired"] == "wedsync_app"
    assert asked(alone, "retire") == asked(alone, None) == asked(alone, "issue", "1") == alone
    again = asked(alone, "issue", "2")
    assert (again["login"], again["previous"]["login"]) == ("wedsync_app", "wedsync_app_b")
    assert again["password"] not in (first["password"], both["password"])


def test_servers_are_told_whose_place_a_login_takes_and_which_one_is_out() -> None:
    previous = {"login": "a", "password": "secret", "verifier": "V1"}
    assert login_roles("a", "g", "V1", {}, "") == {"a": {"group": "g", "verifier": "V1"}}
    both = login_roles("a_b", "g", "V2", previous, "")
    assert both == {
        "a_b": {"group": "g", "verifier": "V2", "takes_over": "a"},
        "a": {"group": "g", "verifier": "V1"},
    }
    assert login_roles("a_b", "g", "V2", {}, "a")["a"] == {"group": "g", "verifier": None}


@pytest.mark.parametrize(
    "text",
    ['{"authority": "trusted"}', '{"cipher": "1"}', '{"logins": {"a": ["drop", "1"]}}', "{"],
)
def test_a_request_that_is_none_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=f"{VARIABLE}|column"):
        Rotation.requested({VARIABLE: text})


def test_without_a_request_nothing_rotates() -> None:
    assert Rotation.requested({}) == Rotation()


def test_secret_has_the_length_asked_for_and_is_never_the_same() -> None:
    outs = [SecretProvider().create({"length_bytes": 48.0}).outs for _ in range(2)]
    values = [out["value"] for out in outs if out]
    assert [len(value) for value in values] == [64, 64]
    assert values[0] != values[1]


def test_login_keeps_its_password_when_the_group_changes() -> None:
    provider = LoginProvider()
    olds = provider.create({"login": "wedsync_app", "group": "comms_app"}).outs
    assert olds is not None
    news = {"login": "wedsync_app", "group": "comms_worker"}
    result = provider.diff("1", olds, news)
    assert (result.changes, result.replaces) == (True, [])
    assert provider.update("1", olds, news).outs == {**olds, "group": "comms_worker"}


def test_login_verifier_belongs_to_its_password() -> None:
    outs = LoginProvider().create({"login": "wedsync_app", "group": "comms_app"}).outs
    assert outs is not None
    salt = outs["verifier"].split("$")[1].split(":")[1]
    assert scram_verifier(outs["password"], base64.b64decode(salt)) == outs["verifier"]


def test_unknowns_are_found_at_any_depth() -> None:
    assert has_unknown(as_planned({"machines": [{"address": rpc.UNKNOWN}]}))
    assert not has_unknown({"machines": [{"address": "10.213.7.11"}], "days": 3.0})


GIVEN = base64.urlsafe_b64encode(bytes(range(32))).decode()


def test_a_new_stack_takes_a_secret_from_escrow() -> None:
    wanted = {"length_bytes": 32, "value": None, "given": GIVEN}
    assert SecretProvider().check({}, wanted).failures == []
    made = SecretProvider().create(wanted).outs or {}
    assert made == {"length_bytes": 32, "value": GIVEN}
    assert not SecretProvider().diff("1", made, wanted).changes
    # The setting may go again: the secret is the stack's own now.
    assert not SecretProvider().diff("1", made, {"length_bytes": 32, "value": None}).changes


def test_a_stack_that_has_a_secret_takes_no_other() -> None:
    made = SecretProvider().create({"length_bytes": 32, "value": None}).outs or {}
    with pytest.raises(PlaceError, match=r"another one than guestcomms:escrow gives"):
        SecretProvider().diff("1", made, {"length_bytes": 32, "given": GIVEN})


@pytest.mark.parametrize("given", ["short", "not base64!", GIVEN + GIVEN])
def test_a_secret_of_another_form_is_refused(given: str) -> None:
    (failure,) = SecretProvider().check({}, {"length_bytes": 32, "given": given}).failures
    assert "32 bytes" in failure.reason
