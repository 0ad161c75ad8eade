#!/usr/bin/python3
"""Fetch what the place gives this machine: place file, secrets, agent; and mount its volumes.

Runs at each boot before user-data starts anything, and whenever the stack changes something. What
to fetch is told by the instance's tags, which the metadata service shows (IMDSv2); the instance
role is all that lets this machine read it. It prints JSON: what changed.
"""

import hashlib
import http.client
import json
import os
import re
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path
from typing import Any

import botocore.exceptions
import botocore.session

METADATA = urllib.parse.urlsplit(
    os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254")
)
"""Where the metadata service is; botocore asks the same variable for the role's credentials."""
FOLDER = Path("/etc/guestcomms")
SECRETS = FOLDER / "secrets"
AGENT = Path("/opt/guestcomms/agent.pyz")
START = Path("/usr/local/sbin/guestcomms-start")
UNITS = Path("/etc/systemd/system")
DISK = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{}"
GROUP = 128 << 20  # bytes: ext4's smallest step at blocks of 4 KiB
PAUSE = 5
PATIENCE = 300  # seconds: volumes are attached after the instance has started
SECRET_NAME = re.compile(r"[A-Za-z0-9._-]+")


class FetchError(Exception):
    """What the place gives could not be fetched; it may be a matter of time."""


def metadata(path: str) -> str:
    """What the metadata service says of this instance, by IMDSv2.

    Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
    """
    connection = http.client.HTTPConnection(METADATA.netloc, timeout=5)
    try:
        connection.request(
            "PUT", "/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "300"}
        )
        token = _answer(connection, "token")
        connection.request(
            "GET", f"/latest/meta-data/{path}", headers={"X-aws-ec2-metadata-token": token}
        )
        return _answer(connection, path)
    finally:
        connection.close()


def _answer(connection: http.client.HTTPConnection, what: str) -> str:
    answer = connection.getresponse()
    text = answer.read().decode()
    if answer.status != http.client.OK:
        raise FetchError(f"the metadata service answers {answer.status} for {what}")
    return text


def install(path: Path, content: bytes, mode: int) -> bool:
    """Write a file whole or not at all; tell whether it is another than before."""
    if path.is_file() and path.read_bytes() == content and path.stat().st_mode & 0o777 == mode:
        return False
    partial = path.with_name(f".{path.name}.new")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return True


def pinned_agent() -> str:
    """The sha256 of the agent that this machine's user-data wants."""
    found = re.search(r'echo "([0-9a-f]{64})  /opt/guestcomms/agent.pyz"', START.read_text())
    if found is None:
        raise SystemExit(f"{START} pins no agent: this is not user-data of guestcomms")
    return found[1]


def has_agent(sha256: str) -> bool:
    """Tell whether the agent on this machine is the pinned one."""
    return AGENT.is_file() and hashlib.sha256(AGENT.read_bytes()).hexdigest() == sha256


def fetch(region: str) -> list[str]:
    """Bring place file, secrets and agent to what they shall be; return what changed."""
    session = botocore.session.get_session()
    tag = "tags/instance/guestcomms:{}".format
    secret = metadata(tag("secret"))
    bucket, machine = metadata(tag("delivery")), metadata(tag("machine"))
    store: Any = session.create_client("s3", region_name=region)
    vault: Any = session.create_client("secretsmanager", region_name=region)

    files = {}
    for name, text in json.loads(vault.get_secret_value(SecretId=secret)["SecretString"]).items():
        if not SECRET_NAME.fullmatch(name):
            raise SystemExit(f"secret {name!r} cannot be the name of a file")
        files[SECRETS / name] = (text.encode(), 0o600)
    place = store.get_object(Bucket=bucket, Key=f"machines/{machine}/place.json")["Body"].read()
    json.loads(place)  # broken JSON must not replace what works
    files[FOLDER / "place.json"] = (place, 0o644)
    sha256 = pinned_agent()
    if not has_agent(sha256):
        agent = store.get_object(Bucket=bucket, Key=f"agent/{sha256}.pyz")["Body"].read()
        if hashlib.sha256(agent).hexdigest() != sha256:
            raise SystemExit(f"the delivered agent is not the pinned {sha256}")
        files[AGENT] = (agent, 0o755)

    FOLDER.mkdir(mode=0o755, exist_ok=True)
    SECRETS.mkdir(mode=0o700, exist_ok=True)
    AGENT.parent.mkdir(mode=0o755, exist_ok=True)
    changed = [str(path) for path, (data, mode) in files.items() if install(path, data, mode)]
    for path in SECRETS.iterdir():
        if path not in files:
            path.unlink()
            changed.append(str(path))
    return changed


def mount_unit(path: str, disk: str, check: str) -> str:
    """The unit that mounts a volume at each boot; nothing of ours starts without it.

    Parameters: `check`, the unit that looks through the disk's file system before.
    Source: systemd.mount(5).
    """
    return f"""\
[Unit]
Description=The volume at {path}, which outlives this machine
Before=guestcomms-prepare.service
Wants={check}
After={check}

[Mount]
What={disk}
Where={path}
Type=ext4
Options=noatime

[Install]
RequiredBy=guestcomms-prepare.service
"""


def mount(volumes: dict[str, str]) -> list[str]:
    """Mount the volumes, now and at every later boot; return what changed.

    A volume that holds nothing gets a file system first; one whose disk has grown grows its own.
    """
    disks = {path: DISK.format(volume.replace("-", "")) for path, volume in volumes.items()}
    wait_for(list(disks.values()))
    changed = []
    for path, disk in disks.items():
        Path(path).mkdir(parents=True, exist_ok=True)
        unit = _output("systemd-escape", "--path", "--suffix=mount", path)
        check = _output("systemd-escape", "--path", "--template=systemd-fsck@.service", disk)
        if install(UNITS / unit, mount_unit(path, disk, check).encode(), 0o644):
            _run("systemctl", "daemon-reload")
            _run("systemctl", "enable", unit)
        if not os.path.ismount(path):
            # Makes none where it finds the signature of anything.
            _run("/usr/lib/systemd/systemd-makefs", "ext4", disk)
            _run("systemctl", "start", unit)
            changed.append(path)
        if not os.path.ismount(path):
            raise SystemExit(f"{path} is not mounted; see `systemctl status {unit}`")
        if _has_grown(disk):
            _run("/usr/lib/systemd/systemd-growfs", path)
            changed.append(f"{path}: larger")
    return changed


def _has_grown(disk: str) -> bool:
    """Whether a disk has room for another group of blocks beyond its file system."""
    header = _output("dumpe2fs", "-h", disk)
    count, size = (int(re.search(f"^Block {what}: *([0-9]+)$", header, re.MULTILINE)[1])  # type: ignore[index]
                   for what in ("count", "size"))  # fmt: skip
    return int(_output("blockdev", "--getsize64", disk)) >= count * size + GROUP


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr)


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def wait_for(disks: list[str]) -> None:
    """Wait until volumes are attached, or end with those that are not."""
    give_up = time.monotonic() + PATIENCE
    while missing := [disk for disk in disks if not Path(disk).exists()]:
        if time.monotonic() > give_up:
            raise SystemExit(f"not attached after {PATIENCE} s: {', '.join(missing)}")
        time.sleep(1)


def bring() -> list[str]:
    """Fetch and mount; return what changed.

    Raises:
        FetchError: something could not be fetched.
    """
    try:
        changed = fetch(metadata("placement/region"))
    except (
        OSError,
        botocore.exceptions.BotoCoreError,
        botocore.exceptions.ClientError,
    ) as error:
        raise FetchError(f"cannot fetch: {error}") from error
    place = json.loads((FOLDER / "place.json").read_text())
    return changed + mount(place.get("volumes", {}))


def main(arguments: list[str]) -> int:
    """Bring everything and print what changed; with `--wait` try again for PATIENCE seconds.

    At boot a role may be too new for the services that it opens, and user-data starts nothing
    after this has failed once.
    """
    give_up = time.monotonic() + (PATIENCE if arguments == ["--wait"] else 0)
    while True:
        try:
            sys.stdout.write(json.dumps({"changed": bring()}) + "\n")
        except FetchError as error:
            if time.monotonic() > give_up:
                raise SystemExit(str(error)) from None
            sys.stderr.write(f"{error}; trying again\n")
            time.sleep(PAUSE)
        else:
            return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
