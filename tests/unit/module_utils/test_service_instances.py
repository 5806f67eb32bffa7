# Copyright: (c) 2026, the opensora-site authors
# SPDX-License-Identifier: MIT
"""Several services on one host."""

from __future__ import annotations

import jmespath
import pytest
from ansible.module_utils.opensora.service_instances import make_plans, read_instances

from tests.unit.module_utils.test_service_plan import GPU, HOST, IMAGE, SETTINGS

SECOND = {**GPU, "index": 1, "uuid": GPU["uuid"].replace("5f3c", "6f3c"), "pci_bus_id": "00000000:02:00.0"}
TWO = {**HOST, "gpus": [GPU, SECOND]}


def plans(wish, host=TWO):
    settings = {**SETTINGS, "image": IMAGE}
    return make_plans(settings, host, wish, jmespath.search, is_final=True, needs_image=True)


def test_one_service_by_the_variables_as_they_are():
    ((instance, plan),) = plans({}).services
    assert (instance.name, instance.project) == ("opensora", "opensora")
    assert plan.project["name"] == "opensora"
    assert instance.settings["directory"] == "/opt/opensora-site/service"


def test_two_services_have_folders_of_their_own():
    wish = {
        "small": {"gpus": "[0]", "environment_profile": "low_memory"},
        "large": {"gpus": "[1:]", "ports": ["80:8000"]},
    }
    found = plans(wish)
    assert not [problem for problem in found.problems if problem.severity == "error"]
    (large, large_plan), (small, small_plan) = found.services
    assert [large.project, small.project] == ["opensora-large", "opensora-small"]
    assert small.settings["directory"] == "/opt/opensora-site/service/small"
    assert small.settings["samples_directory"] == "/srv/opensora/samples/small"
    assert small.settings["cache_directory"] == "/srv/opensora/cache/small"
    assert small.settings["checkpoints_directory"] == "/srv/opensora/ckpts"
    assert small_plan.project["name"] == "opensora-small"
    assert [gpu.uuid for gpu in large_plan.gpus] == [SECOND["uuid"]]
    assert [str(port) for port in large_plan.ports] == ["127.0.0.1:80:8000"]


@pytest.mark.parametrize(
    ("wish", "code", "says"),
    [
        ({"a": {"gpus": "[*]"}, "b": {"gpus": "[1]"}}, "instances.same_gpu", SECOND["uuid"]),
        (
            {"a": {"gpus": "[0]", "ports": ["80"]}, "b": {"gpus": "[1]", "ports": ["80"]}},
            "instances.same_port",
            "port 80",
        ),
        (
            {"a": {"gpus": "[0]", "samples_directory": "/s"}, "b": {"gpus": "[1]", "samples_directory": "/s"}},
            "variable.invalid",
            "another folder than that of a",
        ),
        ({"a": {"gpu": "[0]"}}, "variable.invalid", "opensora_service_instances.a"),
        ({"a": {"directory": "/x"}}, "variable.invalid", "these keys"),
        ({"A b": {}}, "variable.invalid", "lower-case"),
        ({"a": "[0]"}, "variable.invalid", "a dictionary of"),
        (["a"], "variable.invalid", "a dictionary such as"),
        ({"a": {"gpus": "[7]"}}, "gpus.selection", "a: opensora_service_gpus"),
    ],
)
def test_wishes_that_can_not_be(wish, code, says):
    errors = [problem for problem in plans(wish).problems if problem.severity == "error"]
    assert [problem.code for problem in errors] == [code]
    assert says in errors[0].message


def test_nothing_of_an_instance_is_as_the_variables_say():
    instances, problems = read_instances(SETTINGS, {"a": None})
    assert (problems, instances[0].project) == ([], "opensora-a")


def test_a_service_without_a_gpu():
    ((_, plan),) = plans({"look": {"gpus": "none"}}).services
    definition = plan.project["services"]["opensora"]
    assert "deploy" not in definition
    assert definition["environment"]["NVIDIA_VISIBLE_DEVICES"] == "void"
    assert definition["environment"]["OPENSORA_EXPECTED_GPUS"] == "0"
