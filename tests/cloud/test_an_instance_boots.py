"""One instance of the simulated EC2 boots as a container, with all that AWS gives to an instance.

Its user-data comes from the metadata service, place file, agent and secrets from S3 and Secrets
Manager with the rights of its role, its volume is a block device that outlives it.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from docker.models.containers import Container

from tests.fake_aws.hosts import site
from tests.fake_aws.hosts.machines import ATTACHMENT, Hosts
from tests.fake_aws.kinds.names import BUCKET, INSTANCE, INSTANCE_PROFILE, SECRET, VOLUME, token
from tests.fake_aws.world import Item, World
from tests.waiting import wait_until

REGION, NETWORK, ADDRESS = "eu-central-1", "10.214.0.0/20", "10.214.1.11"
BUCKETS = ("delivery", "backups")
KEY_ARN, SECRET_ARN = "arn:aws:kms:key", "arn:aws:secretsmanager:secret"
AGENT = b"#!/bin/sh\n"
PIN = hashlib.sha256(AGENT).hexdigest()
USER_DATA = f"""#cloud-config
write_files:
  - path: /usr/local/sbin/guestcomms-start
    permissions: "0755"
    content: |
      #!/bin/sh
      set -eu
      echo "{PIN}  /opt/guestcomms/agent.pyz" | sha256sum --check --strict --quiet
      findmnt /var/lib/etcd
      touch /var/lib/started
runcmd: [[/usr/local/sbin/guestcomms-start]]
"""
PLACE = {"volumes": {"/var/lib/etcd": "vol-0abc"}}
ALLOWED = [
    (["s3:GetObject"], ["arn:aws:s3:::delivery/machines/pg-1/*", "arn:aws:s3:::delivery/agent/*"]),
    (["s3:ListBucket"], ["arn:aws:s3:::backups"]),
    (["s3:GetObject", "s3:PutObject"], ["arn:aws:s3:::backups/wedsync/*"]),
    (["secretsmanager:GetSecretValue"], [SECRET_ARN]),
    (["kms:Decrypt", "kms:GenerateDataKey"], [KEY_ARN]),
]
PGBACKREST = (
    f"pgbackrest --repo1-type=s3 --repo1-path=/wedsync --repo1-s3-bucket=backups"
    f" --repo1-s3-endpoint=s3.{REGION}.amazonaws.com --repo1-s3-region={REGION}"
    " --repo1-s3-uri-style=host --repo1-s3-key-type=auto --log-level-file=off"
)
"""As the agent writes it into pgbackrest.conf on AWS."""


def setting(kind: str, ident: str, inputs: dict[str, Any], **outputs: Any) -> Item:
    return Item(kind, ident, REGION, inputs, outputs)


def instance(ident: str) -> Item:
    tags = {
        "guestcomms:machine": "pg-1",
        "guestcomms:delivery": "delivery",
        "guestcomms:secret": SECRET_ARN,
    }
    user_data = base64.b64encode(gzip.compress(USER_DATA.encode())).decode()
    given = {"userDataBase64": user_data, "iamInstanceProfile": "pg-1", "ami": "ami-1"}
    return setting(
        INSTANCE, ident, given, privateIp=ADDRESS, privateDns="ip-10-214-1-11.internal",
        availabilityZone=f"{REGION}a", instanceType="m7g.large", tagsAll=tags,
    )  # fmt: skip


@pytest.fixture(scope="module")
def hosts(machine_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """An account with what the machine pg-1 needs, and the place where instances boot."""
    folder = tmp_path_factory.mktemp("world")
    policy = {
        "Statement": [
            {"Effect": "Allow", "Action": actions, "Resource": resources}
            for actions, resources in ALLOWED
        ]
    }
    rule = {"applyServerSideEncryptionByDefault": {"kmsMasterKeyId": KEY_ARN}}
    encryption = token("s3", "BucketServerSideEncryptionConfiguration")
    with World.changing(folder) as world:
        for item in (
            *(setting(BUCKET, name, {"bucket": name}) for name in BUCKETS),
            *(setting(encryption, name, {"bucket": name, "rules": [rule]}) for name in BUCKETS),
            setting(INSTANCE_PROFILE, "pg-1", {"name": "pg-1", "role": "pg-1"}),
            setting(
                token("iam", "RolePolicy"), "pg-1", {"role": "pg-1", "policy": json.dumps(policy)}
            ),
            setting(SECRET, SECRET_ARN, {"kmsKeyId": KEY_ARN}, arn=SECRET_ARN),
            setting(
                token("secretsmanager", "SecretVersion"), "1",
                {"secretId": SECRET_ARN, "secretString": json.dumps({"machine.key": "secret"})},
            ),
            setting(VOLUME, "vol-0abc", {"size": 1}),
        ):  # fmt: skip
            world.add(item)
    for key, content in (
        ("machines/pg-1/place.json", json.dumps(PLACE).encode()),
        ("machines/pg-2/place.json", b"{}"),
        (f"agent/{PIN}.pyz", AGENT),
    ):
        file = folder / "objects" / "delivery" / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    with site.opened(folder, machine_image, NETWORK, (REGION,)) as name:
        yield Hosts(folder, name)


def on(container: Container, command: str) -> tuple[int, str]:
    """Exit code and output of a shell command."""
    code, output = cast("Any", container.exec_run(["sh", "-c", command]))
    return code, str(output, errors="replace").strip()


def booted(hosts: Hosts, ident: str) -> Container:
    """Run an instance with its volume, and wait until its user-data has done everything."""
    with World.changing(hosts.folder) as world:
        world.add(instance(ident))
    hosts.made(instance(ident))
    hosts.made(attachment(ident))
    container = hosts.container(ident)
    assert container is not None

    def status() -> str:
        return on(container, "cloud-init status --wait=false 2>/dev/null || cloud-init status")[1]

    wait_until(
        lambda: "done" in status() or "error" in status(), 240,
        lambda: on(container, "cloud-init status --long; systemctl status guestcomms-fetch")[1],
        poll_seconds=2,
    )  # fmt: skip
    return container


def attachment(ident: str) -> Item:
    return setting(ATTACHMENT, f"vai-{ident}", {"instanceId": ident, "volumeId": "vol-0abc"})


def lines(hosts: Hosts, name: str) -> list[dict[str, str]]:
    file = Path(hosts.folder) / f"{name}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_an_instance_boots_and_its_volume_outlives_it(hosts: Hosts) -> None:
    first = booted(hosts, "i-0aaa")
    assert on(first, "test -e /var/lib/started") == (0, ""), on(
        first, "journalctl -b --no-pager -u guestcomms-fetch -u cloud-final | tail -30"
    )
    assert on(first, "stat -c '%a %U' /etc/guestcomms/secrets/machine.key") == (0, "600 root")
    code, source = on(first, "findmnt --noheadings --output SOURCE,FSTYPE /var/lib/etcd")
    assert (code, source.split()[-1]) == (0, "ext4")
    assert source.startswith("/dev/loop")
    assert on(first, "/usr/local/sbin/guestcomms-fetch") == (0, '{"changed": []}')
    assert on(first, "ip route show default") == (0, "")
    assert lines(hosts, "denied") == []
    assert on(first, "echo kept > /var/lib/etcd/file; sync")[0] == 0

    hosts.ends(attachment("i-0aaa"))
    hosts.ends(instance("i-0aaa"))
    with World.changing(hosts.folder) as world:
        world.remove(instance("i-0aaa"))
    second = booted(hosts, "i-0bbb")
    assert on(second, "cat /var/lib/etcd/file") == (0, "kept")


def test_pgbackrest_gets_the_roles_credentials_by_imdsv2(hosts: Hosts) -> None:
    # The metadata service tells nothing to a program that shows no token: the test below.
    machine = hosts.container("i-0bbb")
    assert machine is not None
    assert on(machine, f"printf kept | {PGBACKREST} repo-put file") == (0, "")
    assert on(machine, f"{PGBACKREST} repo-get file") == (0, "kept")
    file = "arn:aws:s3:::backups/wedsync/file"
    calls = {(line["action"], line["resource"]) for line in lines(hosts, "machine-calls")}
    assert {("s3:PutObject", file), ("s3:GetObject", file)} <= calls
    elsewhere = PGBACKREST.replace("/wedsync", "/others")
    code, said = on(machine, f"printf x | {elsewhere} repo-put file")
    assert code != 0
    assert "may not s3:PutObject on arn:aws:s3:::backups/others/file" in said


def test_what_the_role_does_not_allow_is_refused(hosts: Hosts) -> None:
    machine = hosts.container("i-0bbb")
    assert machine is not None
    code, said = on(
        machine,
        "python3 -c 'import botocore.session as s;"
        f' s.get_session().create_client("s3", region_name="{REGION}").get_object('
        'Bucket="delivery", Key="machines/pg-2/place.json")\'',
    )
    assert code != 0
    assert "may not s3:GetObject on arn:aws:s3:::delivery/machines/pg-2/place.json" in said
    assert on(machine, "curl -s -o /dev/null -w '%{http_code}' http://169.254.169.254/latest/") == (
        0,
        "401",
    )
