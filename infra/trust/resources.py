"""The Pulumi resources over `certificates` and `scram`.

They exist in the state alone, so there is nothing to refresh or delete. Protect the ones that
must outlive everything else through `ResourceOptions(protect=True)`; make any of them anew
with `pulumi up --replace URN`.
"""

import base64
import datetime as dt
import ipaddress
import secrets
from collections.abc import Sequence

from pulumi import Input, Output, ResourceOptions
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    Resource,
    UpdateResult,
)

from infra.dynamic import Props, Provider, has_unknown, replacement
from infra.trust.certificates import KeyPair, make_authority, make_certificate, needs_renewal
from infra.trust.scram import scram_verifier

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 365
PASSWORD_BYTES = 24


def _sealed(opts: ResourceOptions | None, *outputs: str) -> ResourceOptions:
    """Add outputs to those the engine encrypts; an output that is not listed leaks."""
    return ResourceOptions.merge(opts, ResourceOptions(additional_secret_outputs=list(outputs)))


class SecretProvider(Provider):
    """Makes random values."""

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        return replacement(olds, news, ["length_bytes"])

    def create(self, props: Props) -> CreateResult:
        length = int(props["length_bytes"])
        value = base64.urlsafe_b64encode(secrets.token_bytes(length)).decode()
        return CreateResult(secrets.token_hex(4), {"length_bytes": length, "value": value})


class Secret(Resource, module="trust", name="Secret"):
    """Random bytes, as URL-safe base64 with padding (none if the length divides by three)."""

    value: Output[str]

    def __init__(self, name: str, length_bytes: int, opts: ResourceOptions | None = None) -> None:
        props = {"length_bytes": length_bytes, "value": None}
        super().__init__(SecretProvider(), name, props, _sealed(opts, "value"))


class AuthorityProvider(Provider):
    """Makes certificate authorities."""

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        return replacement(olds, news, ["common_name", "days"], also=_is_due(olds))

    def create(self, props: Props) -> CreateResult:
        pair = make_authority(props["common_name"], int(props["days"]))
        return CreateResult(pair.serial, {**props, **_outputs(pair)})


class Authority(Resource, module="trust", name="Authority"):
    """A certificate authority: EC P-256, self-signed, PEM."""

    certificate: Output[str]
    private_key: Output[str]
    not_after: Output[str]

    def __init__(
        self,
        name: str,
        common_name: str,
        days: int = AUTHORITY_DAYS,
        opts: ResourceOptions | None = None,
    ) -> None:
        props = {"common_name": common_name, "days": days, **_NO_OUTPUTS}
        super().__init__(AuthorityProvider(), name, props, _sealed(opts, "private_key"))


class CertificateProvider(Provider):
    """Makes machine certificates; a new one when names change or the end is near."""

    NAMES = ("common_name", "dns_names", "ip_addresses", "days", "authority_certificate")

    def check(self, _olds: Props, news: Props) -> CheckResult:
        addresses = [] if has_unknown(news["ip_addresses"]) else news["ip_addresses"]
        failures = [
            CheckFailure("ip_addresses", f"{address!r} is not an IP address such as 10.213.7.11")
            for address in addresses
            if not _is_ip_address(address)
        ]
        return CheckResult(news, failures)

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        return replacement(olds, news, self.NAMES, also=_is_due(olds))

    def create(self, props: Props) -> CreateResult:
        authority = KeyPair(props["authority_certificate"], props["authority_private_key"])
        names = props["dns_names"], props["ip_addresses"]
        pair = make_certificate(authority, props["common_name"], *names, int(props["days"]))
        kept = {name: props[name] for name in self.NAMES}
        return CreateResult(pair.serial, {**kept, **_outputs(pair)})


class Certificate(Resource, module="trust", name="Certificate"):
    """A machine's certificate for both sides of TLS: EC P-256, PEM.

    It is replaced when a name or the authority changes, and by any `pulumi up` in its last
    30 days.
    """

    certificate: Output[str]
    private_key: Output[str]
    not_after: Output[str]

    def __init__(
        self,
        name: str,
        authority: Authority,
        common_name: str,
        *,
        dns_names: Sequence[Input[str]],
        ip_addresses: Sequence[Input[str]],
        days: int = CERTIFICATE_DAYS,
        opts: ResourceOptions | None = None,
    ) -> None:
        props = {
            "authority_certificate": authority.certificate,
            "authority_private_key": authority.private_key,
            "common_name": common_name,
            "dns_names": list(dns_names),
            "ip_addresses": list(ip_addresses),
            "days": days,
            **_NO_OUTPUTS,
        }
        super().__init__(CertificateProvider(), name, props, _sealed(opts, "private_key"))


class LoginProvider(Provider):
    """Makes passwords and their verifiers; a changed group keeps both."""

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        result = replacement(olds, news, ["login"])
        result.changes = result.changes or olds["group"] != news["group"]
        return result

    def create(self, props: Props) -> CreateResult:
        password = secrets.token_urlsafe(PASSWORD_BYTES)
        made = {"password": password, "verifier": scram_verifier(password)}
        return CreateResult(props["login"], {**_identity(props), **made})

    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        made = {"password": olds["password"], "verifier": olds["verifier"]}
        return UpdateResult({**_identity(news), **made})


class Login(Resource, module="trust", name="Login"):
    """A database login: a random password, and the verifier that servers keep instead of it."""

    login: Output[str]
    group: Output[str]
    password: Output[str]
    verifier: Output[str]

    def __init__(
        self, name: str, login: str, group: str, opts: ResourceOptions | None = None
    ) -> None:
        props = {"login": login, "group": group, "password": None, "verifier": None}
        super().__init__(LoginProvider(), name, props, _sealed(opts, "password", "verifier"))


_NO_OUTPUTS = {"certificate": None, "private_key": None, "not_after": None}


def _identity(props: Props) -> Props:
    return {"login": props["login"], "group": props["group"]}


def _outputs(pair: KeyPair) -> Props:
    return {
        "certificate": pair.certificate,
        "private_key": pair.private_key,
        "not_after": pair.not_after,
    }


def _is_due(olds: Props) -> bool:
    return needs_renewal(olds["not_after"], dt.datetime.now(dt.UTC))


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
