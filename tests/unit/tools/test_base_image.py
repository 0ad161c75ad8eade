from __future__ import annotations

from typing import TYPE_CHECKING

from tools import base_image

if TYPE_CHECKING:
    from pathlib import Path

# origin|label|address, as `apt-get indextargets` answers on a Debian 12 with other archives
TARGETS = """\
Example Cloud|Example Cloud|https://packages.cloud.example/apt/
Debian|Debian|http://mirror.example/debian/
Debian|Debian|http://second.example/debian/
Debian|Debian-Security|http://mirror.example/debian-security/
|nothing fetched yet|http://unknown.example/
"""


def test_the_mirrors_are_those_of_debian_itself() -> None:
    assert base_image.mirrors(TARGETS) == (
        "http://mirror.example/debian",
        "http://mirror.example/debian-security",
    )


def test_the_image_gets_updates_and_security_of_its_own_release() -> None:
    assert base_image.sources(base_image.mirrors(TARGETS)) == (
        "deb http://mirror.example/debian trixie main\n"
        "deb http://mirror.example/debian trixie-updates main\n"
        "deb http://mirror.example/debian-security trixie-security main\n"
    )


def test_a_machine_without_a_security_archive_gives_none() -> None:
    found = base_image.mirrors("Debian|Debian|http://mirror.example/debian/\n")
    assert found.security is None
    assert "security" not in base_image.sources(found)


def test_nothing_is_known_before_the_lists_are_fetched() -> None:
    assert base_image.mirrors("||http://mirror.example/debian/\n") == (None, None)
    assert base_image.mirrors("") == (None, None)


def test_a_mirror_list_is_followed_to_its_first_address(tmp_path: Path) -> None:
    listing = tmp_path / "debian.list"
    listing.write_text("\nhttp://near.example/debian\tpriority:1\nhttp://far.example\n", "utf-8")
    assert base_image.resolve(f"mirror+file:{listing}") == "http://near.example/debian"
    assert base_image.resolve("mirror+file:///no/such/list") is None
    assert base_image.resolve("http://mirror.example/debian") == "http://mirror.example/debian"
