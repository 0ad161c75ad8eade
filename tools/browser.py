"""A headless Chromium that looks at the console pages of a stack: Debian's packages, Selenium."""

from __future__ import annotations

import base64
import hashlib
import shutil
import socket
import ssl
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH, HEIGHT = 1366, 768
DRAW_SECONDS = 30


def public_key_pin(host: str, port: int, ca: str) -> str:
    """The pin of a server's key, after its certificate was verified against the authority `ca`.

    Chromium reads no file of authorities; a pin of the verified key is as good.
    """
    context = ssl.create_default_context(cadata=ca)
    with (
        socket.create_connection((host, port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        certificate = x509.load_der_x509_certificate(
            connection.getpeercert(binary_form=True) or b""
        )
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


class Browser:
    """One window of a laptop's size."""

    def __init__(self, driver: webdriver.Chrome, address: str) -> None:
        self._driver = driver
        self._address = address

    def open(self, page: str, span: str = "15m") -> None:
        """Load a console page and wait until it has drawn everything once."""
        self._resize(HEIGHT)
        self._driver.get(f"{self._address}/consoles/{page}.html?range={span}")
        drawn = "return document.body.dataset.drawn"
        WebDriverWait(self._driver, DRAW_SECONDS).until(lambda driver: driver.execute_script(drawn))

    def ask(self, script: str) -> Any:
        """The value of a JavaScript expression on the page."""
        return self._driver.execute_script(f"return {script}")

    def complaints(self) -> list[str]:
        """What the browser's console was told since the last look."""
        return [entry["message"] for entry in self._driver.get_log("browser")]  # type: ignore[no-untyped-call]

    def dark(self, on: bool) -> None:
        """Prefer dark colours, or light ones."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if on else "light"}
        self._driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def picture(self) -> bytes:
        """The whole page as PNG, however long it is."""
        self._resize(int(self.ask("document.documentElement.scrollHeight")))
        time.sleep(0.7)  # the page draws again when its size changes, 0.2 s later
        return self._driver.get_screenshot_as_png()

    def _resize(self, height: int) -> None:
        size = {"width": WIDTH, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


@contextmanager
def browser(host: str, port: int, ca: str) -> Iterator[Browser]:
    """A browser for the Prometheus at `host`:`port`, whose certificate `ca` (PEM) has signed."""
    options = Options()
    options.binary_location = shutil.which("chromium") or ""
    for argument in (
        "--headless=new",
        "--no-sandbox",  # root has no other way; it opens nothing but our own pages
        "--hide-scrollbars",
        "--disable-dev-shm-usage",
        f"--ignore-certificate-errors-spki-list={public_key_pin(host, port, ca)}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # Named, so that Selenium looks for no driver on the internet.
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield Browser(driver, f"https://{host}:{port}")
    finally:
        driver.quit()
