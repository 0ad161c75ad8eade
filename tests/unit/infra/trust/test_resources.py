"""The providers' decisions: what is replaced, what is kept, what stays undecided."""

import asyncio
import base64
import datetime as dt

import pytest
from pulumi.runtime import rpc

from infra.dynamic import has_unknown
from infra.trust.resources import (
    AuthorityProvider,
    CertificateProvider,
    LoginProvider,
    SecretProvider,
)
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


def test_authority_near_its_end_is_replaced() -> None:
    news = {"common_name": "authority", "days": 3650}
    assert AuthorityProvider().diff("1", {**news, "not_after": NEAR}, news).replaces
    assert not AuthorityProvider().diff("1", {**news, "not_after": FAR}, news).replaces


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
