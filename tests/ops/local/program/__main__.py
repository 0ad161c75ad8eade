"""Two machines of the real cluster that start without the others."""

import json
from functools import partial
from pathlib import Path

import pulumi
from pulumi import Input, Output, ResourceOptions

from infra.local.image import Image
from infra.local.machine import Machine, MachineArgs
from infra.local.names import Owner
from infra.local.network import Network
from infra.local.ports import Port
from infra.local.volume import Volume
from infra.machine.render import FILES
from infra.trust import Authority, Certificate, Secret

SETTINGS = json.loads(Path("settings.json").read_text(encoding="utf-8"))
HOSTS = {"proxy-1": 6, "drill-1": 8, "pg-1": 11, "pg-2": 12, "pg-3": 13}
MADE = ("proxy-1", "drill-1")


def address_in(subnet: str, host: int) -> str:
    return subnet.replace("0/24", str(host))


def repository_keys() -> Output[str]:
    names = ("access_key", "secret_key", "cipher_passphrase")
    return Output.json_dumps({name: Secret(name, 30).value for name in names})


def place_facts(owner: Owner, addresses: dict[str, Output[str]]) -> dict[str, object]:
    repository = {
        "endpoint": "store-1",
        "host": "store-1",
        "port": SETTINGS["store_port"],
        "region": "us-east-1",
        "bucket": "wedsync-backups",
        "uri_style": "path",
    }
    return {
        "place": "local",
        "stack": owner.stack,
        "machines": addresses,
        "repository": repository,
        "settings": {},
    }


def main() -> None:
    owner = Owner(pulumi.get_stack(), SETTINGS["clone"])
    network = Network("network", owner)
    setup = {"setup.sh": FILES / "image" / "setup.sh"}
    base = Image("machine", "guestcomms-machine", SETTINGS["dockerfile"], setup)
    authority = Authority("authority", "test authority")
    addresses = {
        name: network.subnet.apply(partial(address_in, host=host)) for name, host in HOSTS.items()
    }
    secrets = {"key_encryption_key": Secret("key", 32).value, "repository.json": repository_keys()}
    for name in MADE:
        address = addresses[name]
        names = [name, "localhost"]
        ips: list[Input[str]] = [address, "127.0.0.1"]
        pair = Certificate(name, authority, name, dns_names=names, ip_addresses=ips)
        own = {"machine.crt": pair.certificate, "machine.key": pair.private_key}
        volume = Volume(f"{name}-data", owner, name, "data")
        ports = [Port("read_write", SETTINGS["port"], 5432)] if name == "proxy-1" else []
        args = MachineArgs(
            image=base.tag,
            network=network.network,
            address=address,
            user_data=SETTINGS["user_data"][name] + SETTINGS["comment"],
            place=place_facts(owner, addresses),
            secrets={"ca.crt": authority.certificate, **own, **secrets},
            agent=Path(SETTINGS["agent"]),
            agent_sha256=SETTINGS["agent_sha256"],
            memory_mib=SETTINGS["memory_mib"],
            cores=0.5,
            volumes={"/var/lib/kept": volume.volume},
            ports=ports,
        )
        Machine(name, owner, args, ResourceOptions(depends_on=[base]))


main()
