"""`alerts`: writes down every message of Alertmanager, so that anybody can read what people got.

It listens on the loopback only: Alertmanager runs on the same machine. One line of JSON per alert
and message; the file is turned over once, so the record keeps between one and two times its size.
"""

import http.server
import json
import logging
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.agent import checks
from infra.agent.errors import AgentError

TURN_OVER_BYTES = 5_000_000
LARGEST_MESSAGE = 4_000_000

log = logging.getLogger(__name__)


class Record:
    """The file, and the one before it (`.1`)."""

    def __init__(self, path: Path, turn_over_bytes: int = TURN_OVER_BYTES) -> None:
        self._path = path
        self._limit = turn_over_bytes
        self._lock = threading.Lock()

    def write(self, lines: list[dict[str, Any]]) -> None:
        """Append lines; a full file becomes the one before."""
        text = "".join(json.dumps(line) + "\n" for line in lines)
        with self._lock:
            if self._path.exists() and self._path.stat().st_size + len(text) > self._limit:
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            with self._path.open("ab", buffering=0) as stream:
                stream.write(text.encode())  # in one piece: a reader never sees half a line


def lines_of(message: bytes, received_at: datetime) -> list[dict[str, Any]]:
    """Return what is written down of one message: a line for each alert in it.

    Source: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config

    Raises:
        AgentError: it is not Alertmanager's JSON.
    """
    try:
        said = checks.mapping(json.loads(message), "message")
    except ValueError as error:
        raise AgentError(f"the message is not JSON: {error}") from error
    alerts = [
        checks.mapping(each, "alerts") for each in checks.sequence(said.get("alerts"), "alerts")
    ]
    return [
        {
            "received_at": received_at.isoformat(timespec="milliseconds"),
            "status": alert.get("status"),
            "labels": alert.get("labels"),
            "annotations": alert.get("annotations"),
            "starts_at": alert.get("startsAt"),
            "ends_at": alert.get("endsAt") if alert.get("status") == "resolved" else None,
        }
        for alert in alerts
    ]


def serve(port: int, path: Path, stop: threading.Event) -> None:
    """Take messages on the loopback until `stop` is set."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), _handler(Record(path)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    log.info("writing alerts down in %s", path)
    stop.wait()
    server.shutdown()
    server.server_close()


def _handler(record: Record) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 10  # seconds of silence after which a connection is given up

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            if length > LARGEST_MESSAGE:
                self.send_error(413)
                return
            try:
                record.write(lines_of(self.rfile.read(length), datetime.now(UTC)))
            except AgentError as error:
                self.send_error(400, str(error))
                return
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            log.debug(format, *args)

    return Handler
