from __future__ import annotations

import pytest
from ansible.module_utils.opensora.connection import unreadable_host


@pytest.mark.parametrize(
    ("result", "code"),
    [
        ({"module_stderr": "SyntaxError: future feature annotations is not defined"}, "connection.python_too_old"),
        ({"msg": "ansible-core requires a minimum of Python version 3.8"}, "connection.python_too_old"),
        ({"msg": "/bin/sh: 1: /usr/bin/python3: not found"}, "connection.python_missing"),
        ({"msg": "sudo: sorry, you must have a tty to run sudo"}, "connection.requiretty"),
        ({"msg": "Missing sudo password"}, "connection.sudo_password"),
        ({"msg": "Failed: root@h: Permission denied (publickey)."}, "connection.unreachable"),
        ({"msg": "ssh: connect to host h port 22: Connection refused"}, "connection.unreachable"),
        ({"unreachable": True}, "connection.unreachable"),
        ({"msg": "KeyError: 'x'"}, "connection.unreadable"),
    ],
)
def test_names_the_cause(result: dict, code: str) -> None:
    problem = unreadable_host(result)
    assert problem.code == code
    assert problem.severity == "error"


def test_shows_the_last_lines_only() -> None:
    problem = unreadable_host({"msg": "\n".join(f"line {number}" for number in range(50))})
    assert problem.evidence == tuple(f"line {number}" for number in range(44, 50))
