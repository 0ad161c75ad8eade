import base64
import configparser
import dataclasses
import hashlib
import hmac
import json

import pytest

from infra.agent import paths, prepare
from infra.agent.errors import AgentError
from infra.agent.facts import Machine, Place
from infra.agent.files import File

KEY = base64.urlsafe_b64encode(
    bytes(range(223, 255))
)  # has both letters that the alphabets differ in
SECRETS = {
    "ca.crt": b"CA\n",
    "machine.crt": b"CERT\n",
    "machine.key": b"KEY\n",
    "key_encryption_key": KEY.rstrip(b"="),
    "logins.json": b"{}",
    "repository.json": json.dumps(
        {"access_key": "AK", "secret_key": "SK", "cipher_passphrase": "CP"}
    ).encode(),
    "receivers.json": b'{"on-call": "https://hooks.example/s3cret"}',
    "s3.json": json.dumps(
        {n: {"access_key": f"{n}-a", "secret_key": f"{n}-s"} for n in ("admin", "backup", "drill")}
    ).encode(),
}


def _files(
    machine: Machine, place: Place, role: str, secrets: dict[str, bytes] = SECRETS
) -> dict[str, File]:
    machine = dataclasses.replace(machine, role=role)
    present = {paths.HOSTS: b"127.0.0.1 localhost\n"}
    made = prepare.files(machine, place, secrets.__getitem__, lambda path: present.get(path, b""))
    return {str(file.path): file for file in made}


def test_who_may_read_what_on_a_database_machine(machine: Machine, place: Place) -> None:
    files = _files(machine, place, "database")
    rights = {path: (f.owner, f.group, f"{f.mode:o}") for path, f in files.items()}
    assert rights["/etc/guestcomms/tls/machine.key"] == ("root", "ssl-cert", "640")
    assert rights["/etc/guestcomms/tls/machine.pem"] == ("root", "ssl-cert", "640")
    assert rights["/etc/pgbackrest/conf.d/repository.conf"] == ("postgres", "postgres", "600")
    assert rights["/etc/guestcomms/keys/key_encryption_key"] == ("postgres", "postgres", "400")
    assert rights["/etc/pgbouncer/userlist.txt"] == ("postgres", "postgres", "640")
    assert rights["/etc/guestcomms/keys/logins.json"] == ("postgres", "postgres", "400")
    assert files["/etc/guestcomms/tls/machine.pem"].content == b"CERT\nKEY\n"


@pytest.mark.parametrize("role", ["proxy", "monitor", "store", "drill"])
def test_no_machine_gets_secrets_of_another_role(machine: Machine, place: Place, role: str) -> None:
    files = _files(machine, place, role)
    assert ("/etc/pgbackrest/conf.d/repository.conf" in files) == (role == "drill")
    assert ("/etc/seaweedfs/s3.json" in files) == (role == "store")
    assert ("/etc/guestcomms/receivers/on-call" in files) == (role == "monitor")
    assert "/etc/guestcomms/keys/logins.json" not in files
    assert "/etc/pgbouncer/userlist.txt" not in files


def test_a_receiver_s_secret_is_a_file_that_only_prometheus_reads(
    machine: Machine, place: Place
) -> None:
    file = _files(machine, place, "monitor")["/etc/guestcomms/receivers/on-call"]
    assert (file.owner, file.group, f"{file.mode:o}") == ("root", "prometheus", "640")
    assert file.content == b"https://hooks.example/s3cret"


@pytest.mark.parametrize("said", [b'{"../x": "a"}', b'{"a": "two words"}', b'{"a": 1}'])
def test_a_strange_receiver_is_refused(machine: Machine, place: Place, said: bytes) -> None:
    with pytest.raises(AgentError, match=r"receivers\.json"):
        _files(machine, place, "monitor", {**SECRETS, "receivers.json": said})


def test_on_aws_the_machine_shows_its_role_and_no_key(machine: Machine, place: Place) -> None:
    there = dataclasses.replace(
        place.repository, keys="instance", endpoint="s3.eu-central-1.amazonaws.com"
    )
    copy = dataclasses.replace(there, region="eu-west-1", bucket="the-copy")
    keys = json.dumps({"cipher_passphrase": "CP"}).encode()
    content = _files(
        machine,
        dataclasses.replace(place, repository=there, repository_copy=copy),
        "drill",
        SECRETS | {"repository.json": keys},
    )["/etc/pgbackrest/conf.d/repository.conf"].content
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(content.decode())
    options = parser["global"]
    assert options["repo1-s3-key-type"] == options["repo2-s3-key-type"] == "auto"
    assert options["repo1-cipher-pass"] == options["repo2-cipher-pass"] == "CP"
    assert (options["repo2-s3-bucket"], options["repo2-s3-region"]) == ("the-copy", "eu-west-1")
    # AWS's certificate is public: our own authority must not be asked.
    assert not [key for key in options if key.endswith(("s3-key", "ca-file", "storage-host"))]
    assert options["repo1-storage-verify-tls"] == "y"


def test_the_repository_is_encrypted_and_its_store_verified(machine: Machine, place: Place) -> None:
    content = _files(machine, place, "database")["/etc/pgbackrest/conf.d/repository.conf"].content
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(content.decode())
    options = parser["global"]
    assert options["repo1-s3-key-secret"] == "SK"
    assert options["repo1-cipher-type"] == "aes-256-cbc"
    assert options["repo1-cipher-pass"] == "CP"
    assert options["repo1-storage-verify-tls"] == "y"
    assert options["repo1-storage-ca-file"] == "/etc/guestcomms/tls/ca.crt"
    assert options["repo1-storage-port"] == "8333"


def test_a_secret_cannot_add_a_line_to_the_configuration(machine: Machine, place: Place) -> None:
    keys = {"access_key": "AK", "secret_key": "SK\nrepo1-storage-verify-tls=n"}
    with pytest.raises(AgentError, match="secret_key") as refused:
        _files(machine, place, "database", SECRETS | {"repository.json": json.dumps(keys).encode()})
    assert "verify-tls=n" not in str(refused.value)


def test_the_key_is_standard_base64_whichever_alphabet_it_came_in(
    machine: Machine, place: Place
) -> None:
    content = _files(machine, place, "drill")["/etc/guestcomms/keys/key_encryption_key"].content
    assert base64.b64decode(content.strip(), validate=True) == base64.urlsafe_b64decode(KEY)


@pytest.mark.parametrize("key", [b"AAAA", b"not base64 at all", b""])
def test_a_key_that_is_none_is_refused(machine: Machine, place: Place, key: bytes) -> None:
    with pytest.raises(AgentError, match="key_encryption_key"):
        _files(machine, place, "database", SECRETS | {"key_encryption_key": key})


def test_the_store_gives_each_identity_its_least(machine: Machine, place: Place) -> None:
    content = _files(machine, place, "store")["/etc/seaweedfs/s3.json"].content
    identities = {i["name"]: i for i in json.loads(content)["identities"]}
    assert "Admin" in identities["admin"]["actions"]
    assert identities["backup"]["actions"] == [
        f"{action}:wedsync-backups" for action in ("Read", "Write", "List", "Tagging")
    ]
    assert identities["drill"]["actions"] == ["Read:wedsync-backups", "List:wedsync-backups"]
    assert identities["drill"]["credentials"] == [{"accessKey": "drill-a", "secretKey": "drill-s"}]


def test_hosts_keep_what_others_wrote_and_our_block_stays_one(place: Place) -> None:
    before = b"127.0.0.1 localhost\n10.9.9.9 printer\n"
    once = prepare.hosts_file(before, place.machines)
    assert once.startswith(before)
    assert b"10.0.0.11 pg-1\n10.0.0.12 pg-2\n" in once
    assert prepare.hosts_file(once, place.machines) == once
    moved = prepare.hosts_file(once, {"pg-1": "10.0.0.99"})
    assert b"10.0.0.99 pg-1" in moved
    assert b"10.0.0.11" not in moved


@pytest.mark.parametrize("before", [b"", b'"pgbouncer" ""\n', b'"pgbouncer" "secret"\n'])
def test_a_list_with_which_somebody_could_log_in_is_replaced_and_then_stays(before: bytes) -> None:
    made = prepare.pooler_users(before)
    assert made != before
    assert prepare.pooler_users(made) == made
    assert prepare.pooler_users(before) != made  # random each time: the same nowhere


@pytest.mark.parametrize("password", [b"", b"pgbouncer"])
def test_the_pooler_s_role_has_a_verifier_that_is_no_password_s(password: bytes) -> None:
    name, verifier = prepare.pooler_users(b"").decode().split()
    assert name == '"pgbouncer"'
    _, cost, keys = verifier.strip('"').split("$")
    iterations, salt = cost.split(":")
    salted = hashlib.pbkdf2_hmac("sha256", password, base64.b64decode(salt), int(iterations))
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = base64.b64encode(hashlib.sha256(client_key).digest()).decode()
    assert keys.split(":")[0] != stored_key
    assert len(base64.b64decode(keys.split(":")[0])) == len(base64.b64decode(stored_key))
