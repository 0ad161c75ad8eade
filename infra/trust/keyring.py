"""What a cluster trusts and keeps secret, whatever place it stands in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pulumi import Config, Input, Output, ResourceOptions

from infra.trust.resources import Authority, Certificate, Login, Secret

LOGIN_ROLES = ("app", "worker", "ops", "auditor", "report", "monitor", "migrator")


class Keyring:
    """Authority, repository cipher, key-encryption key and logins of one stack."""

    def __init__(
        self, stack: str, database: str, opts: ResourceOptions, receivers: Input[str] = "{}"
    ) -> None:
        """Make what is not there yet.

        Parameters: `database` begins the logins' names; `opts` of every resource made here;
        `receivers`, the secrets of who is told of alerts, see `infra.machine.alerts.secret_file`.
        """
        self._opts = opts
        self._receivers = receivers
        kept = ResourceOptions.merge(opts, ResourceOptions(protect=True))
        self.authority = Authority("authority", common_name=f"guestcomms {stack}", opts=opts)
        # Backups cannot be read without the first, stored fields not without the second.
        self.cipher = Secret("repository-cipher", 48, kept, _escrow("repository-cipher"))
        self.key_encryption_key = Secret(
            "key-encryption-key", 32, kept, _escrow("key-encryption-key")
        )
        self.logins = {
            role: Login(f"login-{role}", f"{database}_{role}", f"comms_{role}", opts)
            for role in LOGIN_ROLES
        }

    def certificate(
        self, machine: str, dns_names: Sequence[str], ip_addresses: Sequence[Input[str]]
    ) -> Certificate:
        """The certificate of a machine, which answers by these names and addresses."""
        return Certificate(
            machine,
            self.authority,
            common_name=machine,
            dns_names=dns_names,
            ip_addresses=ip_addresses,
            opts=self._opts,
        )

    def files(
        self,
        names: Iterable[str],
        certificate: Certificate,
        store_keys: Mapping[str, Input[str]],
    ) -> dict[str, Output[str]]:
        """Those of the secret files that a machine needs: name → content, all secret.

        Parameters: `store_keys`, by which the machine enters the backup store; none where the
        place knows the machine by itself.
        """
        made: dict[str, Input[str]] = {
            "ca.crt": self.authority.bundle,
            "machine.crt": certificate.certificate,
            "machine.key": certificate.private_key,
            "repository.json": Output.json_dumps(
                {**store_keys, "cipher_passphrase": self.cipher.value}
            ),
            "key_encryption_key": self.key_encryption_key.value,
            "logins.json": Output.json_dumps(
                Output.all(*(login.roles for login in self.logins.values())).apply(
                    lambda roles: {name: each for login in roles for name, each in login.items()}
                )
            ),
            "receivers.json": self._receivers,
        }
        return {name: Output.secret(made[name]) for name in names if name in made}


def _escrow(name: str) -> Output[str] | None:
    """What `guestcomms:escrow` brings along from the stack whose backups are to be read."""
    given = Config("guestcomms").get_object("escrow") or {}
    return Output.secret(str(given[name])) if name in given else None
