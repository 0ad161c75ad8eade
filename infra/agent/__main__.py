"""Lets `python -m infra.agent` run the same program as the zipapp."""

from infra.agent.cli import main

raise SystemExit(main())
