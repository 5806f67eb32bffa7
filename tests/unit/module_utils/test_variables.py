from __future__ import annotations

import pytest
from ansible.module_utils.opensora.variables import allowed_by, unknown_variables


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ({"type": "str", "choices": ["a", "b"]}, "one of a, b"),
        ({"type": "int"}, "a whole number"),
        ({}, "a string"),
        ({"type": "list", "elements": "int"}, "a list, each item a whole number"),
        (
            {"type": "list", "elements": "dict", "options": {"name": {"required": True}, "content": {}}},
            "a list, each item a mapping with the keys name (required), content",
        ),
    ],
)
def test_says_what_is_allowed(option: dict, text: str) -> None:
    assert allowed_by(option) == text


def test_finds_a_misspelled_variable_and_names_the_one_meant() -> None:
    names = ["opensora_service_gpu", "opensora_service_gpus", "opensora_service", "inventory_hostname"]
    problems = unknown_variables(names, ["opensora_service_gpus", "opensora_service_user"], "opensora_service_")
    assert [problem.message for problem in problems] == [
        "opensora_service_gpu is not a variable of the role opensora_service"
    ]
    assert "opensora_service_gpus?" in problems[0].next_action


def test_known_names_are_no_problem() -> None:
    assert unknown_variables(["x_a", "y_b"], ["x_a"], "x_") == []
