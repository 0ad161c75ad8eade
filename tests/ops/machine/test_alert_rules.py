"""Every alert fires when it should and is quiet when it should be, says promtool itself."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import docker
import pytest
import yaml
from docker.models.containers import Container

from infra.machine.alerts import alertmanager, rule_files
from infra.spec import ClusterSpec

SPEC = ClusterSpec.load("local", {})
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for file in rule_files(SPEC)
    for group in yaml.safe_load(file.content)["groups"]
    for rule in group["rules"]
}
CASES: dict[str, dict[str, Any]] = {
    name: cases
    for path in sorted(Path(__file__).with_name("alerts").glob("*.yml"))
    for name, cases in yaml.safe_load(path.read_text(encoding="utf-8")).items()
}
RECEIVERS: list[dict[str, Any]] = [
    {"kind": "webhook", "name": "chat", "severities": ["warning"]},
    {"kind": "email", "name": "mail", "to": "db@example.org", "sender": "monitor@example.org",
     "smarthost": "smtp.example.org:587", "username": "monitor"},
    {"kind": "pagerduty", "name": "on-call"},
    {"kind": "sns", "name": "topic", "topic_arn": "arn:aws:sns:eu-central-1:123456789012:alerts"},
    {"kind": "heartbeat", "name": "outside"},
]  # fmt: skip


def promtool_files(folder: str, cases: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    """A rule file and a test file for each alert: promtool runs every rule of a file in every test.

    Source: https://prometheus.io/docs/prometheus/2.53/configuration/unit_testing_rules/
    """
    files = {}
    for name, case in cases.items():
        tests = [
            _test(name, case[kind], fires=kind == "fires")
            for kind in ("fires", "quiet")
            if case[kind] != "never"  # the dead-man's switch is never quiet
        ]
        groups = [{"name": name, "rules": [RULES[name]]}]
        files[f"{folder}/rules/{name}.yml"] = yaml.safe_dump({"groups": groups}, width=1000)
        files[f"{folder}/tests/{name}.yml"] = yaml.safe_dump(
            {"rule_files": [f"../rules/{name}.yml"], "tests": tests}, width=1000
        )
    return files


def _test(name: str, case: dict[str, Any], *, fires: bool) -> dict[str, Any]:
    rule = RULES[name]
    expected = {
        "exp_labels": {**rule["labels"], **case.get("labels", {})},
        "exp_annotations": {**rule["annotations"], "description": case.get("description")},
    }
    return {
        "name": f"{name} {'fires' if fires else 'is quiet'}",
        "interval": "1m",
        "input_series": [
            {"series": metric.strip(), "values": values}
            for metric, values in map(_series, case["series"])
        ],
        "alert_rule_test": [
            {
                "eval_time": case.get("at", "30m"),
                "alertname": name,
                "exp_alerts": [expected] if fires else [],
            }
        ],
    }


def _series(text: str) -> tuple[str, str]:
    """A metric with its labels, and its values, which have spaces between them only."""
    end = text.rindex("}") + 1 if "{" in text else text.index(" ")
    return text[:end], text[end:].strip()


@pytest.fixture(scope="module")
def monitor(machine_image: str) -> Iterator[Container]:
    client = docker.from_env()
    container = client.containers.run(
        machine_image, ["sleep", "300"], detach=True, network_mode="none",
        labels={"guestcomms.stack": "test-alert-rules"},
    )  # fmt: skip
    yield container
    container.remove(force=True)
    client.close()


def put(container: Container, files: Mapping[str, str]) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, text in files.items():
            info = tarfile.TarInfo(path.lstrip("/"))
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    container.put_archive("/", buffer.getvalue())


def run(container: Container, command: str) -> tuple[int, str]:
    code, output = cast("Any", container.exec_run(["sh", "-c", f"{command} 2>&1"]))
    return code, output.decode()


def test_every_alert_has_both_cases() -> None:
    assert CASES.keys() == RULES.keys()
    for name, case in CASES.items():
        assert case.keys() == {"fires", "quiet"}, name
        assert case["quiet"] != "never" or name == "Watchdog"


def test_every_case_does_as_it_says(monitor: Container) -> None:
    put(monitor, promtool_files("/cases", CASES))
    code, output = run(monitor, "promtool test rules /cases/tests/*.yml")
    assert code == 0, output
    assert output.count("SUCCESS") == len(RULES)


def test_the_cases_can_fail(monitor: Container) -> None:
    """Each alone, with its two series swapped: promtool has to object to every one."""
    swapped = {
        name: {
            "fires": {**case["quiet"], **{k: v for k, v in case["fires"].items() if k != "series"}},
            "quiet": {"series": case["fires"]["series"], "at": case["fires"].get("at", "30m")},
        }
        for name, case in CASES.items()
        if case["quiet"] != "never"
    }
    put(monitor, promtool_files("/swapped", swapped))
    code, output = run(monitor, "promtool test rules /swapped/tests/*.yml")
    assert code != 0
    for name in swapped:
        assert output.count(f"alertname: {name},") == 2, name


def test_receivers_of_every_kind_make_a_configuration_that_alertmanager_reads(
    monitor: Container,
) -> None:
    spec = ClusterSpec.load("local", {"receivers": RECEIVERS})
    put(monitor, {"/alertmanager.yml": alertmanager(spec).content})
    code, output = run(monitor, "amtool check-config /alertmanager.yml")
    assert code == 0, output
    assert f"{len(RECEIVERS) + 2} receivers" in output
    routed = {
        "alertname=NoPrimary severity=critical": "record,mail,on-call,topic",
        "alertname=DeadLetters severity=warning": "record,chat,mail,topic",
        "alertname=Watchdog severity=none": "outside,nobody",
    }
    for labels, receivers in routed.items():
        _, said = run(
            monitor, f"amtool config routes test --config.file=/alertmanager.yml {labels}"
        )
        assert said.splitlines()[-1] == receivers, labels
