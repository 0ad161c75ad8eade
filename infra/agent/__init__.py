"""The node agent: what runs on a machine beyond Debian's packages.

One zipapp (`build.py`), delivered to every machine as /opt/guestcomms/agent.pyz, with enumerated
verbs (`cli.py`). It runs on Debian 13's Python 3.13 with the standard library and python3-psycopg,
and imports nothing of the rest of the project, so that a machine needs nothing but this file and
its packages.

Every value that comes from the database, from a file or from another program is checked against an
enumeration or a strict pattern before it is used; commands are argument lists, never a shell.
"""
