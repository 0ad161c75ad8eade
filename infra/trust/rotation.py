"""What a run of `pulumi up` is asked to make anew: `guestcomms rotate` says it in the environment.

A request names a rotation by its token. Resources keep the token of the last one they took part
in, so that the same request, made again after an interruption, changes nothing a second time, and
a run without a request leaves everything as it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VARIABLE = "GUESTCOMMS_ROTATE"
AUTHORITY_STEPS = ("trust", "issue", "retire")
LOGIN_STEPS = ("issue", "retire")


@dataclass(frozen=True)
class Rotation:
    """Nothing, unless a request says otherwise."""

    certificates: str | None = None
    """The token of a rotation of machine certificates."""
    authority: str | None = None
    """The step to which the authority's rotation shall go: one of AUTHORITY_STEPS."""
    logins: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Login's first name → step (one of LOGIN_STEPS) and token."""

    @classmethod
    def requested(cls, environment: Mapping[str, str] = os.environ) -> Rotation:
        """Return what the environment asks for.

        Raises:
            ValueError: the variable holds something else than a request.
        """
        text = environment.get(VARIABLE)
        return cls._parsed(json.loads(text)) if text else cls()

    @classmethod
    def _parsed(cls, request: Mapping[str, Any]) -> Rotation:
        if unknown := set(request) - {"certificates", "authority", "logins"}:
            raise ValueError(f"{VARIABLE} asks for {sorted(unknown)}, which cannot be rotated")
        authority = request.get("authority")
        if authority not in (None, *AUTHORITY_STEPS):
            raise ValueError(f"{VARIABLE}: authority is {authority!r}, not of {AUTHORITY_STEPS}")
        logins = {name: (step, token) for name, (step, token) in request.get("logins", {}).items()}
        if wrong := {step for step, _ in logins.values()} - set(LOGIN_STEPS):
            raise ValueError(f"{VARIABLE}: a login's step is {sorted(wrong)}, not of {LOGIN_STEPS}")
        return cls(request.get("certificates"), authority, logins)
