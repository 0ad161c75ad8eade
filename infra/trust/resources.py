"""The Pulumi resources over `certificates` and `scram`.

They exist in the state alone, so there is nothing to refresh or delete. Protect the ones that
must outlive everything else through `ResourceOptions(protect=True)`; make any of them anew
with `guestcomms rotate`.
"""

import base64
import datetime as dt
import ipaddress
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from pulumi import Input, Output, ResourceOptions
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    Resource,
    UpdateResult,
)

from infra.dynamic import PlaceError, Props, Provider, has_unknown, replacement
from infra.trust.certificates import KeyPair, make_authority, make_certificate, needs_renewal
from infra.trust.rotation import Rotation
from infra.trust.scram import scram_verifier

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 365
PASSWORD_BYTES = 24


def _sealed(opts: ResourceOptions | None, *outputs: str) -> ResourceOptions:
    """Add outputs to those the engine encrypts; an output that is not listed leaks."""
    return ResourceOptions.merge(opts, ResourceOptions(additional_secret_outputs=list(outputs)))


class SecretProvider(Provider):
    """Makes random values, or takes those that another stack had."""

    def check(self, _olds: Props, news: Props) -> CheckResult:
        given, length = news.get("given"), int(news["length_bytes"])
        if given and not _is_base64_of(given, length):
            reason = f"what comes from escrow is no URL-safe base64 of {length} bytes"
            return CheckResult(news, [CheckFailure("given", reason)])
        return CheckResult(news, [])

    def diff(self, id_: str, olds: Props, news: Props) -> DiffResult:
        if news.get("given") not in (None, olds["value"]):
            raise PlaceError(
                f"secret {id_} is another one than guestcomms:escrow gives, and what the stack"
                " holds needs it: take the setting away, or bring up a new stack"
            )
        return replacement(olds, news, ["length_bytes"])

    def create(self, props: Props) -> CreateResult:
        length = int(props["length_bytes"])
        if given := props.get("given"):
            return CreateResult(secrets.token_hex(4), {"length_bytes": length, "value": given})
        value = base64.urlsafe_b64encode(secrets.token_bytes(length)).decode()
        return CreateResult(secrets.token_hex(4), {"length_bytes": length, "value": value})


class Secret(Resource, module="trust", name="Secret"):
    """Random bytes, as URL-safe base64 with padding (none if the length divides by three)."""

    value: Output[str]

    def __init__(
        self,
        name: str,
        length_bytes: int,
        opts: ResourceOptions | None = None,
        given: Input[str] | None = None,
    ) -> None:
        """Parameters: `given`, the value to begin with instead of a new one."""
        props: dict[str, Any] = {"length_bytes": length_bytes, "value": None}
        if given is not None:
            props["given"] = Output.secret(given)
        super().__init__(SecretProvider(), name, props, _sealed(opts, "value", "given"))


def _is_base64_of(text: str, length: int) -> bool:
    try:
        return len(base64.b64decode(text, altchars=b"-_", validate=True)) == length
    except ValueError:
        return False


class AuthorityProvider(Provider):
    """Makes certificate authorities, and replaces one by the next with both trusted meanwhile.

    A rotation has three steps, each a `pulumi up` of its own, because every machine must have
    taken one before the first takes the next: `trust` puts a new authority beside the old one,
    `issue` signs with the new one, `retire` trusts the new one alone. In its last 30 days an
    authority takes the first step by itself: nothing breaks by that.
    """

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        result = replacement(olds, news, ["common_name", "days"])
        result.changes = result.changes or self._after(olds, news) != _step(olds)
        result.changes = result.changes or "bundle" not in olds
        return result

    def create(self, props: Props) -> CreateResult:
        pair = make_authority(props["common_name"], int(props["days"]))
        made = {**_authority_identity(props), **_outputs(pair)}
        return CreateResult(pair.serial, {**made, "bundle": pair.certificate, **_SETTLED})

    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        before, after = _step(olds), self._after(olds, news)
        kept = {key: olds[key] for key in _NO_OUTPUTS}
        outs = {**_authority_identity(news), **kept, "bundle": olds["certificate"], **_SETTLED}
        if before == after:
            return UpdateResult(
                {**outs, **{k: olds[k] for k in ("bundle", *_SETTLED) if k in olds}}
            )
        if after == "trust":
            pair = make_authority(news["common_name"], int(news["days"]))
            outs |= {"next": _outputs(pair), "bundle": olds["certificate"] + pair.certificate}
        elif after == "issue":
            coming = olds["next"]
            outs |= {**coming, "bundle": coming["certificate"] + olds["certificate"]}
        return UpdateResult({**outs, "step": after if after != "retire" else None})

    @staticmethod
    def _after(olds: Props, news: Props) -> str | None:
        """The step after this run; a request that is not the next step changes nothing."""
        step, wanted = _step(olds), news.get("rotation")
        if step is None and (wanted == "trust" or _is_due(olds)):
            return "trust"
        follows = {"trust": "issue", "issue": "retire"}
        return wanted if step is not None and wanted == follows[step] else step


class Authority(Resource, module="trust", name="Authority"):
    """A certificate authority: EC P-256, self-signed, PEM.

    `certificate` and `private_key` sign; `bundle` is what everybody trusts: one certificate, or
    two while one follows the other.
    """

    certificate: Output[str]
    private_key: Output[str]
    not_after: Output[str]
    bundle: Output[str]
    step: Output[str | None]
    """The last step of a rotation that is under way, or None."""

    def __init__(
        self,
        name: str,
        common_name: str,
        days: int = AUTHORITY_DAYS,
        opts: ResourceOptions | None = None,
    ) -> None:
        props = {
            "common_name": common_name,
            "days": days,
            "rotation": Rotation.requested().authority,
            "bundle": None,
            **_SETTLED,
            **_NO_OUTPUTS,
        }
        super().__init__(AuthorityProvider(), name, props, _sealed(opts, "private_key", "next"))


class CertificateProvider(Provider):
    """Makes machine certificates; a new one when names change or the end is near."""

    NAMES = ("common_name", "dns_names", "ip_addresses", "days", "authority_certificate")
    # Patroni reads the authorities it trusts anew only with another certificate of its own.
    TRUST = "authority_bundle"

    def check(self, _olds: Props, news: Props) -> CheckResult:
        addresses = [] if has_unknown(news["ip_addresses"]) else news["ip_addresses"]
        failures = [
            CheckFailure("ip_addresses", f"{address!r} is not an IP address such as 10.213.7.11")
            for address in addresses
            if not _is_ip_address(address)
        ]
        return CheckResult(news, failures)

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        asked = news.get("rotation") not in (None, olds.get("rotation"))
        # A state of before there were bundles has none: its certificates trust what they trusted.
        olds = {self.TRUST: olds["authority_certificate"], **olds}
        news = {self.TRUST: news["authority_certificate"], **news}
        names = (*self.NAMES, self.TRUST)
        return replacement(olds, news, names, also=asked or _is_due(olds))

    def create(self, props: Props) -> CreateResult:
        authority = KeyPair(props["authority_certificate"], props["authority_private_key"])
        names = props["dns_names"], props["ip_addresses"]
        pair = make_certificate(authority, props["common_name"], *names, int(props["days"]))
        kept = {name: props[name] for name in self.NAMES}
        kept |= {name: props.get(name) for name in (self.TRUST, "rotation")}
        return CreateResult(pair.serial, {**kept, **_outputs(pair)})


class Certificate(Resource, module="trust", name="Certificate"):
    """A machine's certificate for both sides of TLS: EC P-256, PEM.

    It is replaced when a name or an authority changes, by a request of `guestcomms rotate`, and
    by any `pulumi up` in its last 30 days.
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
            "authority_bundle": authority.bundle,
            "rotation": Rotation.requested().certificates,
            "common_name": common_name,
            "dns_names": list(dns_names),
            "ip_addresses": list(ip_addresses),
            "days": days,
            **_NO_OUTPUTS,
        }
        super().__init__(CertificateProvider(), name, props, _sealed(opts, "private_key"))


class LoginProvider(Provider):
    """Makes passwords and their verifiers; a changed group keeps both.

    PostgreSQL knows one password of a role. So that programs can change over at their own time,
    a rotation makes a second login beside the first (`issue`) and takes the first one away when
    nobody uses it any more (`retire`); the next rotation goes back to the first name.
    """

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        result = replacement({**olds, "login": _first_name(olds)}, news, ["login"])
        result.changes = (
            result.changes
            or olds["group"] != news["group"]
            or self._asks(olds, news) is not None
            or olds.get("previous") is None  # made before logins took turns
        )
        return result

    def create(self, props: Props) -> CreateResult:
        made = {"first_name": props["login"], "token": None, **_new_login(props["login"])}
        return CreateResult(props["login"], {**made, "group": props["group"], **_ALONE})

    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        first, step = _first_name(olds), self._asks(olds, news)
        outs = {"token": None, **olds, "first_name": first, "group": news["group"]}
        outs |= {key: olds.get(key) or empty for key, empty in _ALONE.items()}
        outs.pop("rotation", None)
        if step is None:
            return UpdateResult(outs)
        if step == "retire":
            gone = olds["previous"]["login"]
            return UpdateResult({**outs, "previous": {}, "retired": gone})
        present = {key: olds[key] for key in ("login", "password", "verifier")}
        name = first if olds["login"] != first else first + SECOND
        made = {**_new_login(name), "token": news["rotation"]["token"]}
        return UpdateResult({**outs, **made, "previous": present, "retired": ""})

    @staticmethod
    def _asks(olds: Props, news: Props) -> str | None:
        """The step that is asked for and not taken yet."""
        request, previous = news.get("rotation"), olds.get("previous")
        if not request:
            return None
        if request["step"] == "retire":
            return "retire" if previous else None
        fresh = request["token"] != olds.get("token")
        return "issue" if fresh and not previous else None


class Login(Resource, module="trust", name="Login"):
    """A database login: a random password, and the verifier that servers keep instead of it.

    `login` is the name to use now; `previous` the one that still works, with its password, and
    `retired` the one that must not. The latter two are empty where there is none.
    """

    login: Output[str]
    group: Output[str]
    password: Output[str]
    verifier: Output[str]
    previous: Output[dict[str, str]]
    retired: Output[str]

    def __init__(
        self, name: str, login: str, group: str, opts: ResourceOptions | None = None
    ) -> None:
        step, token = Rotation.requested().logins.get(login, (None, None))
        props = {
            "login": login,
            "group": group,
            "rotation": {"step": step, "token": token} if step else None,
            "password": None,
            "verifier": None,
            "token": None,
            "first_name": None,
            "previous": None,
            "retired": None,
        }
        sealed = _sealed(opts, "password", "verifier", "previous")
        super().__init__(LoginProvider(), name, props, sealed)

    @property
    def roles(self) -> Output[dict[str, dict[str, Any]]]:
        """What the servers shall know: login → group, verifier, whose place it takes.

        A login without a verifier is one that must not get in any more.
        """
        return Output.all(self.login, self.group, self.verifier, self.previous, self.retired).apply(
            lambda known: login_roles(*known)
        )


def login_roles(
    login: str,
    group: str,
    verifier: str,
    previous: Mapping[str, str],
    retired: str,
) -> dict[str, dict[str, Any]]:
    """Return the entries of one login for the agent's `logins.json`; see `Login.roles`."""
    other = previous["login"] if previous else retired
    roles: dict[str, dict[str, Any]] = {login: {"group": group, "verifier": verifier}}
    if other:
        roles[login]["takes_over"] = other
        kept = previous["verifier"] if previous else None
        roles[other] = {"group": group, "verifier": kept}
    return roles


SECOND = "_b"
"""What the second of two alternating logins has behind the first one's name."""
_ALONE: Props = {"previous": {}, "retired": ""}
"""Empty, not None: what is null is unknown in a preview, and would look like a change."""
_SETTLED = {"step": None, "next": None}
_NO_OUTPUTS = {"certificate": None, "private_key": None, "not_after": None}


def _authority_identity(props: Props) -> Props:
    return {"common_name": props["common_name"], "days": props["days"]}


def _step(authority: Props) -> str | None:
    step = authority.get("step")
    return None if step is None else str(step)


def _new_login(name: str) -> Props:
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    return {"login": name, "password": password, "verifier": scram_verifier(password)}


def _first_name(login: Props) -> str:
    return str(login.get("first_name") or login["login"])


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
