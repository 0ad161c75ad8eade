"""AWS as a machine of the simulation sees it: metadata service, S3, Secrets Manager, SNS.

Runs in a container beside the machines, with Python's standard library alone. It reads the world
that the provider keeps. Each call is judged by the role of the instance that makes it: what its
policy does not allow is answered 403 and written down. Signatures are not checked: an instance is
known by the key and the session token that the metadata service has given to it.
"""

from __future__ import annotations

import fnmatch
import functools
import hashlib
import html
import http.client
import json
import re
import ssl
import subprocess
import threading
import urllib.parse
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

FOLDER = Path("/world")
CALLS, DENIED, PUBLISHED = (FOLDER / f"{name}.jsonl" for name in ("machine-calls", "denied", "sns"))
WEED = "127.0.0.1:8333"
METADATA = "169.254.169.254"
LOCK = threading.Lock()

Item = dict[str, Any]
Want = tuple[str, str]
"""An action and the resource that it is done to."""


class DeniedError(Exception):
    """The role of the instance does not allow what it asks for."""


class NotThereError(Exception):
    """What is asked for does not exist."""


def items(*names: str) -> list[Item]:
    """The things of the world of some types, by the last part of their tokens."""
    changed = (FOLDER / "world.json").stat().st_mtime_ns
    return [item for item in everything(changed) if item["token"].rpartition(":")[2] in names]


@functools.lru_cache(maxsize=1)
def everything(_changed: int) -> list[Item]:
    """The world as it was written last: each call asks for it several times."""
    return list(json.loads((FOLDER / "world.json").read_text())["items"].values())


def get(item: Item, name: str) -> Any:
    """A property of a thing."""
    return item["outputs"].get(name, item["inputs"].get(name))


def find(kind: str, name: str, value: str) -> Item:
    """The thing of a type whose property has a value."""
    for item in items(kind):
        if (item["id"] if name == "id" else get(item, name)) == value:
            return item
    raise NotThereError(f"no {kind} with {name} {value}")


def note(file: Path, **line: Any) -> None:
    """Write a line down."""
    with LOCK, file.open("a") as target:
        target.write(json.dumps(line) + "\n")


def credentials(instance: str) -> dict[str, str]:
    """The credentials of an instance's role, always the same."""
    digest = hashlib.sha256(instance.encode()).hexdigest()
    return {
        "Code": "Success",
        "LastUpdated": "2026-01-01T00:00:00Z",
        "Type": "AWS-HMAC",
        "AccessKeyId": f"ASIA{digest[:16].upper()}",
        "SecretAccessKey": digest[16:56],
        "Token": digest,
        "Expiration": "2036-01-01T00:00:00Z",
    }


def statements(instance: Item) -> Iterator[dict[str, Any]]:
    """What the role of an instance allows."""
    profile = find("InstanceProfile", "id", get(instance, "iamInstanceProfile"))
    role = get(profile, "role")
    for policy in items("RolePolicy"):
        if get(policy, "role") == role:
            yield from json.loads(get(policy, "policy"))["Statement"]


def is_allowed(instance: Item, want: Want) -> bool:
    """Whether the role of an instance allows an action on a resource."""

    def matches(patterns: Any, value: str) -> bool:
        listed = patterns if isinstance(patterns, list) else [patterns]
        return any(fnmatch.fnmatchcase(value.lower(), each.lower()) for each in listed)

    return any(
        each["Effect"] == "Allow"
        and matches(each["Action"], want[0])
        and matches(each["Resource"], want[1])
        for each in statements(instance)
    )


def allow(instance: Item, wants: list[Want]) -> None:
    """Let a call pass. Raises `DeniedError` where the role does not allow it."""
    name = get(instance, "tagsAll")["guestcomms:machine"]
    for action, resource in wants:
        allowed = is_allowed(instance, (action, resource))
        note(CALLS if allowed else DENIED, machine=name, action=action, resource=resource)
        if not allowed:
            raise DeniedError(f"{name} may not {action} on {resource}")


@functools.cache
def make_bucket(bucket: str) -> None:
    """Make a bucket of the world in SeaweedFS as well; one that is there stays."""
    behind = http.client.HTTPConnection(WEED, timeout=120)
    behind.request("PUT", f"/{bucket}")
    behind.getresponse().read()
    behind.close()


class Handler(BaseHTTPRequestHandler):
    """What both doors have in common."""

    protocol_version = "HTTP/1.1"

    def answer(self, status: int, body: bytes | str = b"", **headers: str) -> None:
        """Send an answer whole."""
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing: what matters is written down."""


class Metadata(Handler):
    """The metadata service, version 2: nothing is told to who shows no token.

    cloud-init alone is believed without one: it asks for a token only where the firmware says that
    the machine is one of AWS's, and a container has none.
    """

    def do_PUT(self) -> None:
        lasts = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        self.answer(200 if lasts else 400, "token", X_aws_ec2_metadata_token_ttl_seconds="300")

    def do_GET(self) -> None:
        is_boot = (self.headers.get("User-Agent") or "").startswith("Cloud-Init/")
        if self.headers.get("X-aws-ec2-metadata-token") != "token" and not is_boot:
            self.answer(401)
            return
        instance = find("Instance", "privateIp", self.client_address[0])
        _, _, path = self.path.lstrip("/").partition("/")
        if path == "user-data":
            self.answer(200, (FOLDER / "user-data" / instance["id"]).read_bytes())
            return
        told = self._told(instance)
        if path.rstrip("/") in told:
            self.answer(200, told[path.rstrip("/")])
            return
        below = sorted({
            rest.partition("/")[0] + ("/" if "/" in rest else "")
            for key in told
            if (rest := key.removeprefix(path.rstrip("/") + "/")) != key
        })  # fmt: skip
        self.answer(200 if below else 404, "\n".join(below))

    @staticmethod
    def _told(instance: Item) -> dict[str, str]:
        zone, role = get(instance, "availabilityZone"), get(instance, "iamInstanceProfile")
        document = {"instanceId": instance["id"], "region": instance["region"]}
        facts = {
            "ami-id": get(instance, "ami"),
            "instance-id": instance["id"],
            "instance-type": get(instance, "instanceType"),
            "local-hostname": get(instance, "privateDns"),
            "local-ipv4": get(instance, "privateIp"),
            "placement/availability-zone": zone,
            "placement/region": instance["region"],
            "iam/security-credentials/" + role: json.dumps(credentials(instance["id"])),
            **{f"tags/instance/{key}": value for key, value in get(instance, "tagsAll").items()},
        }
        told = {f"meta-data/{key}": str(value) for key, value in facts.items()}
        return {**told, "dynamic/instance-identity/document": json.dumps(document)}


class Services(Handler):
    """AWS's services behind TLS, told apart by the names they are called by."""

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        host = (self.headers.get("Host") or "").partition(":")[0]
        try:
            instance = self._caller()
            if ".s3." in host:
                self._s3(instance, host.partition(".")[0], body)
            elif host.startswith("secretsmanager."):
                self._secret(instance, json.loads(body))
            elif host.startswith("sns."):
                self._publish(instance, dict(urllib.parse.parse_qsl(body.decode())))
            else:
                self._refuse(404, "NoSuchService", NotThereError(f"no service answers by {host}"))
        except DeniedError as error:
            self._refuse(403, "AccessDenied", error)
        except NotThereError as error:
            self._refuse(404, "NoSuchKey", error)

    def _refuse(self, status: int, code: str, error: Exception) -> None:
        self.answer(
            status, f"<Error><Code>{code}</Code><Message>{error}</Message></Error>",
            Content_Type="application/xml",
        )  # fmt: skip

    def _caller(self) -> Item:
        shown = re.search(r"Credential=(\w+)/", self.headers.get("Authorization") or "")
        token = self.headers.get("X-Amz-Security-Token")
        for instance in items("Instance"):
            own = credentials(instance["id"])
            if shown and (shown[1], token) == (own["AccessKeyId"], own["Token"]):
                return instance
        raise DeniedError("nobody of this account shows these credentials")

    def _s3(self, instance: Item, bucket: str, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        key, asked = urllib.parse.unquote(path.lstrip("/")), urllib.parse.parse_qs(query, True)
        arn = f"arn:aws:s3:::{bucket}"
        action = self._s3_action(key, asked)
        keys = deleted_keys(body) if self.command == "POST" and "delete" in asked else [key]
        wants = [(action, f"{arn}/{each}" if action in OF_OBJECTS else arn) for each in keys]
        key_arn = self._key_of(bucket)
        if key_arn and action == "s3:GetObject":
            wants.append(("kms:Decrypt", key_arn))
        elif key_arn and action == "s3:PutObject":
            wants.append(("kms:GenerateDataKey", key_arn))
        allow(instance, wants)
        own = FOLDER / "objects" / bucket / key
        if action == "s3:GetObject" and key and own.is_file():
            self.answer(200, own.read_bytes())
            return
        self._pass_on(bucket, body)

    def _s3_action(self, key: str, asked: dict[str, list[str]]) -> str:
        verb = self.command
        if not key:
            if verb == "POST" and "delete" in asked:
                return "s3:DeleteObject"
            return "s3:GetBucketLocation" if "location" in asked else "s3:ListBucket"
        if verb == "DELETE" and "uploadId" in asked:
            return "s3:AbortMultipartUpload"
        if verb == "DELETE":
            return "s3:DeleteObjectVersion" if "versionId" in asked else "s3:DeleteObject"
        return "s3:GetObject" if verb in {"GET", "HEAD"} else "s3:PutObject"

    @staticmethod
    def _key_of(bucket: str) -> str | None:
        for setting in items("BucketServerSideEncryptionConfiguration"):
            if get(setting, "bucket") == bucket:
                rule = get(setting, "rules")[0]["applyServerSideEncryptionByDefault"]
                return str(rule["kmsMasterKeyId"])
        raise NotThereError(f"there is no bucket {bucket}")

    def _pass_on(self, bucket: str, body: bytes) -> None:
        """Let SeaweedFS do it, which asks nobody who they are."""
        make_bucket(bucket)
        hop = {"host", "authorization", "x-amz-security-token", "connection", "content-length"}
        headers = {k: v for k, v in self.headers.items() if k.lower() not in hop}
        behind = http.client.HTTPConnection(WEED, timeout=120)
        behind.request(self.command, f"/{bucket}{self.path}", body=body, headers=headers)
        found = behind.getresponse()
        data = found.read()
        self.send_response(found.status)
        for name, value in found.getheaders():
            if name.lower() not in {"connection", "transfer-encoding", "content-length", "date"}:
                self.send_header(name, value)
        length = found.getheader("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        behind.close()

    def _secret(self, instance: Item, asked: dict[str, str]) -> None:
        if self.headers["X-Amz-Target"] != "secretsmanager.GetSecretValue":
            raise NotThereError(f"the simulation has no {self.headers['X-Amz-Target']}")
        secret = find("Secret", "arn", asked["SecretId"])
        arn = get(secret, "arn")
        wants = [("secretsmanager:GetSecretValue", arn), ("kms:Decrypt", get(secret, "kmsKeyId"))]
        allow(instance, wants)
        version = find("SecretVersion", "secretId", secret["id"])
        body = {
            "ARN": arn,
            "Name": get(secret, "name"),
            "SecretString": get(version, "secretString"),
        }
        self.answer(200, json.dumps(body), Content_Type="application/x-amz-json-1.1")

    def _publish(self, instance: Item, asked: dict[str, str]) -> None:
        if asked.get("Action") != "Publish":
            raise NotThereError(f"the simulation has no sns:{asked.get('Action')}")
        topic = find("Topic", "arn", asked["TopicArn"])
        arn, key_arn = get(topic, "arn"), get(topic, "kmsMasterKeyId")
        wants = [("sns:Publish", arn), ("kms:GenerateDataKey", key_arn), ("kms:Decrypt", key_arn)]
        allow(instance, wants)
        note(
            PUBLISHED,
            topic=get(topic, "name"),
            subject=asked.get("Subject"),
            message=asked["Message"],
        )
        self.answer(
            200,
            '<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult>'
            f"<MessageId>{uuid.uuid4()}</MessageId></PublishResult><ResponseMetadata>"
            f"<RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata></PublishResponse>",
            Content_Type="text/xml",
        )


def deleted_keys(body: bytes) -> list[str]:
    """The objects that a call deletes together.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
    """
    return [html.unescape(each) for each in re.findall("<Key>(.*?)</Key>", body.decode())]


OF_OBJECTS = {
    "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion",
    "s3:AbortMultipartUpload",
}  # fmt: skip


class Server(ThreadingHTTPServer):
    """One door."""

    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    """Open both doors, and SeaweedFS behind them."""
    subprocess.run(["ip", "address", "add", f"{METADATA}/32", "dev", "lo"], check=True)
    Path("/data").mkdir(exist_ok=True)
    weed = subprocess.Popen(
        [
            "/usr/local/bin/weed", "server", "-dir=/data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            "-master.telemetry=false", "-master.volumeSizeLimitMB=256", "-volume.max=0", "-s3",
            "-s3.ip.bind=127.0.0.1", "-s3.port=8333", "-s3.port.lance=0", "-s3.port.iceberg=0",
            "-s3.iam=false",
        ],
        cwd="/data", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    metadata = Server((METADATA, 80), Metadata)
    threading.Thread(target=metadata.serve_forever, daemon=True).start()
    services = Server(("", 443), Services)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain("/endpoints.pem")
    # The handshake belongs to each connection's own thread: one that hangs stops no other.
    services.socket = tls.wrap_socket(
        services.socket, server_side=True, do_handshake_on_connect=False
    )
    services.serve_forever()
    weed.wait()


if __name__ == "__main__":
    main()
