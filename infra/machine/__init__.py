"""Pure functions from a ClusterSpec to machines: one cloud-init user-data each.

A machine is Debian 13 with systemd, described completely by its user-data; the same text
boots an EC2 instance and a container. What differs between places is in place.json, what
is secret comes as files: both are delivered by the place and set up by `agent prepare`.
"""

from __future__ import annotations

import json

import yaml

from infra.machine import components
from infra.machine.model import USER_DATA_LIMIT, Component, File, Machine, Role
from infra.machine.postgres import dynamic_configuration
from infra.machine.render import file
from infra.spec import DATABASE, SCOPE, STANZA, ClusterSpec, MachineSize

DRILL_DIRECTORY = "/var/lib/postgresql/drill"


def machines(spec: ClusterSpec, agent_sha256: str) -> tuple[Machine, ...]:
    """Every machine of the cluster, the store first if there is one, in the order of creation.

    Parameters:
        spec: the cluster.
        agent_sha256: hex digest of the agent that the place will deliver; user-data pins it.
    """
    sizes = spec.machines
    node = components.exporters("node")

    def make(name: str, role: Role, size: MachineSize, *parts: Component) -> Machine:
        user_data = _user_data(spec, name, role, agent_sha256, parts)
        settings = dynamic_configuration(spec) if role is Role.DATABASE else {}
        return _machine(name, role, size, parts, user_data=user_data, settings=settings)

    stores = (make("store-1", Role.STORE, sizes.store, components.store(spec), node),)
    return (
        *(stores if spec.has_store else ()),
        *(
            make(
                name,
                Role.DATABASE,
                sizes.database,
                components.etcd(name),
                components.patroni(name),
                components.pgbouncer(spec, name),
                components.pgbackrest(spec, name),
                components.agent(spec),
                components.exporters(*components.DATABASE_EXPORTERS),
            )
            for name in spec.database_names
        ),
        *(
            make(name, Role.PROXY, sizes.proxy, components.proxy(spec), node)
            for name in spec.proxy_names
        ),
        make("monitor-1", Role.MONITOR, sizes.monitor, components.monitor(spec), node),
        make(
            "drill-1",
            Role.DRILL,
            sizes.drill,
            components.pgbackrest(spec, "drill-1", DRILL_DIRECTORY),
            components.drill(),
            node,
        ),
    )


def _machine(
    name: str,
    role: Role,
    size: MachineSize,
    parts: tuple[Component, ...],
    *,
    user_data: str,
    settings: dict[str, object],
) -> Machine:
    machine = Machine(
        name=name,
        role=role,
        user_data=user_data,
        volumes=tuple(volume for part in parts for volume in part.volumes),
        ports=tuple(port for part in parts for port in part.ports),
        secrets=(
            *components.MACHINE_TLS,
            *(secret for part in parts for secret in part.secrets),
        ),
        memory_mib=size.memory_mib,
        cores=size.cores,
        image="store" if role is Role.STORE else "machine",
        settings=settings,
        files={item.path: item.content for part in parts for item in part.delivered},
    )
    if machine.user_data_size > USER_DATA_LIMIT:
        raise ValueError(
            f"user-data of {name} is {machine.user_data_size} bytes gzipped;"
            f" EC2 accepts {USER_DATA_LIMIT}"
        )
    return machine


class _Dumper(yaml.SafeDumper):
    """Writes files as literal blocks, so that user-data can be read by a person."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)


def _user_data(
    spec: ClusterSpec, name: str, role: Role, agent_sha256: str, parts: tuple[Component, ...]
) -> str:
    units = [unit for part in parts for unit in part.units]
    files = (
        _facts(spec, name, role, parts),
        file("agent", "/etc/systemd/system/guestcomms-prepare.service"),
        file(
            "agent",
            "/usr/local/sbin/guestcomms-start",
            {"agent_sha256": agent_sha256, "units": units},
            "0755",
        ),
        *(item for part in parts for item in part.files),
    )
    document = {
        "hostname": name,
        "manage_etc_hosts": False,
        "ssh_deletekeys": False,
        "package_update": False,
        "write_files": [_write_file(item) for item in files],
        "runcmd": [["/usr/local/sbin/guestcomms-start"]],
    }
    return "#cloud-config\n" + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=1000)


def _facts(spec: ClusterSpec, name: str, role: Role, parts: tuple[Component, ...]) -> File:
    """/etc/guestcomms/machine.json: what the agent has to know of this machine."""
    facts = {
        "name": name,
        "role": role.value,
        "database": DATABASE,
        "stanza": STANZA,
        "scope": SCOPE,
        # Only who needs to know these is made anew when they change.
        "bootstrap": spec.bootstrap if role is Role.DATABASE else "new",
        "directories": [vars(item) for part in parts for item in part.directories],
        "listens": [port for part in parts for port in part.listens],
    }
    return File("/etc/guestcomms/machine.json", json.dumps(facts, indent=1) + "\n")


def _write_file(item: File) -> dict[str, str]:
    return {
        "path": item.path,
        "content": item.content,
        "permissions": item.mode,
        "owner": item.owner,
    }
