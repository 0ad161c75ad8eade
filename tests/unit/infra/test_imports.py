"""The program of a local stack loads nothing of AWS: its libraries alone would take seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

from tools.command import ROOT

PROGRAM = """
import json, runpy, sys
import pulumi

class Mocks(pulumi.runtime.Mocks):
    def new_resource(self, args):
        return f"{args.name}-id", {"subnet": "10.213.7.0/24", **args.inputs}
    def call(self, args):
        return {}

config = json.loads(sys.argv[1])
pulumi.runtime.set_mocks(Mocks(), project="guestcomms", stack="local")
pulumi.runtime.set_all_config(config)
runpy.run_path("__main__.py", run_name="__main__")
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""
OF_AWS = {"pulumi_aws", "boto3", "botocore"}


def test_the_program_of_the_local_stack_imports_nothing_of_aws(tmp_path: Path) -> None:
    stack = yaml.safe_load((ROOT / "infra/stacks/Pulumi.local.yaml").read_text(encoding="utf-8"))
    config = {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in stack["config"].items()
    }
    (tmp_path / "weed").touch(mode=0o755)  # found on PATH, and never run: nothing is made
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(config)],
        cwd=ROOT / "infra", capture_output=True, text=True, check=False,
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
             "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert "infra" in loaded
    assert "docker" in loaded
    assert not OF_AWS & loaded
