"""`serve`: placeholder until written below."""

import threading
from infra.agent.facts import Machine


def serve(machine: Machine, stop: threading.Event) -> None:
    raise NotImplementedError
