"""Templates under files/<component>/, laid out as on the target, rendered with Jinja."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import jinja2

from infra.machine.model import File

FILES = Path(__file__).parent / "files"

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(FILES),
    undefined=jinja2.StrictUndefined,  # a forgotten value is an error, not an empty line
    keep_trailing_newline=True,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,  # configuration files, not HTML  # noqa: S701
)


# PromQL and Prometheus' own templates are full of braces.
_RULES = _ENVIRONMENT.overlay(
    block_start_string="[%", block_end_string="%]",
    variable_start_string="[[", variable_end_string="]]",
    comment_start_string="[#", comment_end_string="#]",
)  # fmt: skip


def render(template: str, values: Mapping[str, object]) -> str:
    """Render files/<template> with `values`.

    Raises:
        jinja2.UndefinedError: the template names a value that was not given.
    """
    return _ENVIRONMENT.get_template(template).render(values)


def render_rules(template: str, values: Mapping[str, object]) -> str:
    """Render files/<template>, which says `[[ value ]]` instead of `{{ value }}`.

    Raises:
        jinja2.UndefinedError: the template names a value that was not given.
    """
    return _RULES.get_template(template).render(values)


def file(
    component: str,
    path: str,
    values: Mapping[str, object] | None = None,
    mode: str = "0644",
    owner: str = "root:root",
) -> File:
    """The file `path` on the target, from the template files/<component>/<path>."""
    return File(path, render(f"{component}{path}", values or {}), mode, owner)
