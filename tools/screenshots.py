"""Pictures of the console pages for the documentation: `make screenshots`.

Brings load on a stack that is up (applications that queue campaigns and read, workers that send
into a file), takes every page, kills the leader's container, takes the pages again, and starts the
container. Only for a stack of the place `local` whose data nobody needs.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
from guestcomms.health import ask
from guestcomms.stack import Stack
from PIL import Image
from psycopg.types.json import Jsonb

from infra.machine.panels import pages
from infra.spec import ClusterSpec
from tools.browser import Browser, browser
from tools.command import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

PICTURES = ROOT / "docs" / "images"
LOAD_MINUTES = 8
READERS = 6
CAMPAIGN = 500
COLOURS = 128


def main(arguments: list[str]) -> int:
    """Take all pictures; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", default="local")
    parser.add_argument("--minutes", type=float, default=LOAD_MINUTES, help="load before pictures")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    given = parser.parse_args(arguments)
    stack = Stack.load(given.stack)
    if not given.yes:
        question = f"Load stack {stack.name} with made-up data and kill its leader? [y/N] "
        if input(question).strip().lower() != "y":
            return 1
    PICTURES.mkdir(parents=True, exist_ok=True)
    prometheus = stack.endpoint("prometheus")
    ca = stack.outputs.ca_certificate
    with browser(prometheus.host, prometheus.port, ca) as window, load(stack):
        _tell(f"load for {given.minutes:g} minutes")
        time.sleep(60 * given.minutes)
        names = [page.name for page in pages(ClusterSpec(stack=stack.name))]
        for name in names:
            take(window, name, f"load-{name}")
        window.dark(on=True)
        take(window, "overview", "dark-overview")
        window.dark(on=False)
        with killed(str(ask(stack).leader), stack):
            time.sleep(75)
            for name in names:
                take(window, name, f"failover-{name}")
    return 0


def take(window: Browser, page: str, name: str) -> None:
    """One page as a small PNG."""
    window.open(page)
    picture = Image.open(io.BytesIO(window.picture())).convert("RGB")
    file = PICTURES / f"{name}.png"
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
    _tell(f"{file.relative_to(ROOT)}: {file.stat().st_size // 1024} KiB")


@contextmanager
def killed(machine: str, stack: Stack) -> Iterator[None]:
    """A machine that is dead for as long as this lasts."""
    container = stack.machine(machine).exec[-1]
    _tell(f"kill {container}")
    subprocess.run(["docker", "kill", container], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["docker", "start", container], check=True, capture_output=True)


@contextmanager
def load(stack: Stack) -> Iterator[None]:
    """Campaigns, workers and readers until this ends."""
    organization = _organization(stack)
    stop = threading.Event()
    jobs = [lambda: _campaigns(stack.dsn("app"), organization, stop)]
    jobs += [lambda: _reads(stack.dsn("app"), organization, stop)] * READERS
    threads = [threading.Thread(target=job, daemon=True) for job in jobs]
    worker = subprocess.Popen(
        [
            *(str(Path(sys.executable).with_name("guestcomms")), "--stack", stack.name),
            *("worker", "run", "--provider", "file:/dev/null?delay=0.005", "--processes", "2"),
        ],
        stdout=subprocess.DEVNULL,
    )
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        worker.terminate()
        worker.wait(timeout=60)
        for thread in threads:
            thread.join(timeout=60)


def _organization(stack: Stack) -> str:
    organization = str(uuid4())
    with psycopg.connect(stack.dsn("ops"), autocommit=True) as connection:
        connection.execute(
            "SELECT create_organization(%s, 'Screenshots', 'Europe/Rome', ARRAY[%s]::name[])",
            (organization, stack.login("app")),
        )
        connection.execute(
            "SELECT set_login_unrestricted(%s, true, 'sends for every organization')",
            (stack.login("worker"),),
        )
    return organization


def _campaigns(dsn: str, organization: str, stop: threading.Event) -> None:
    """Queue one campaign after the other, as an application does; go on after a failover."""
    while not stop.is_set():
        with suppress(psycopg.Error), psycopg.connect(dsn, autocommit=True) as app:
            guests = _guests(app, organization)
            while not stop.wait(3):
                _campaign(app, organization, guests)
        stop.wait(1)


def _guests(app: psycopg.Connection[Any], organization: str) -> list[str]:
    people = [
        {"external_id": f"g-{n}", "name": f"Guest {n}", "email": f"guest{n}@example.test"}
        for n in range(CAMPAIGN)
    ]
    rows = app.execute(
        "SELECT guest_id::text FROM upsert_guests(%s, %s)", (organization, Jsonb(people))
    )
    return [row[0] for row in rows]


def _campaign(app: psycopg.Connection[Any], organization: str, guests: list[str]) -> None:
    made = app.execute(
        "SELECT id FROM create_communication(%s, %s, 'email', 'wedding', p_subject => 'Hello',"
        " p_body => '<p>Dear {{guest_name}}</p>', p_sender_name => 'Us',"
        " p_sender_address => 'us@example.test')",
        (organization, f"Campaign {time.time():.0f}"),
    ).fetchone()
    app.execute(
        "SELECT bulk_send(%s, %s, p_recipients => %s)",
        (organization, made and made[0], Jsonb([{"guest_id": guest} for guest in guests])),
    )


def _reads(dsn: str, organization: str, stop: threading.Event) -> None:
    """Look at the first page of communications, again and again."""
    while not stop.is_set():
        with suppress(psycopg.Error), psycopg.connect(dsn, autocommit=True) as app:
            while not stop.wait(0.05):
                app.execute("SELECT * FROM list_communications(%s)", (organization,)).fetchall()
        stop.wait(1)


def _tell(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
