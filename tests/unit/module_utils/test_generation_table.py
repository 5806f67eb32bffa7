"""A table of prompts: what it says, and that every mistake is named with its place."""

from __future__ import annotations

import pytest
from ansible.module_utils.opensora.generation_table import decode_table, read_requests, read_table

PICTURE = "b" * 64


def no_picture(_):
    return "", "can't be read: No such file or directory"


def requests_of(text, defaults=None, picture=no_picture):
    rows, problems = read_table(text, "p.csv")
    requests, found = read_requests(rows, "p.csv", defaults or {}, picture)
    return requests, problems + found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prompt\nraining\n", [(2, {"prompt": "raining"})]),
        ('prompt,seed\r\n"raining, sea",7\r\n', [(2, {"prompt": "raining, sea", "seed": "7"})]),
        ('prompt\n"a ""small"" boat"\n', [(2, {"prompt": 'a "small" boat'})]),
        ('prompt\n"two\nlines"\nnext\n', [(2, {"prompt": "two\nlines"}), (4, {"prompt": "next"})]),
        (" prompt , seed \nfog, \n\n  \nsea,2\n", [(2, {"prompt": "fog"}), (5, {"prompt": "sea", "seed": "2"})]),
        ("seed,prompt\n1,no end of line", [(2, {"seed": "1", "prompt": "no end of line"})]),
    ],
)
def test_reads(text, expected):
    rows, problems = read_table(text, "p.csv")
    assert problems == []
    assert [(row.line, dict(row.values)) for row in rows] == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("promt\nsea\n", ["p.csv:1", "'promt'", "prompt, name, seed"]),
        ("prompt;seed\nsea;1\n", ["p.csv:1", "'prompt;seed'"]),
        ("prompt,prompt\na,b\n", ["p.csv:1", "prompt twice"]),
        ("seed\n1\n", ["p.csv:1", "no column prompt"]),
        ("prompt,seed\nraining, sea,1\n", ["p.csv:2", "3 cells", "2"]),
        ("prompt,seed\nraining\n", ["p.csv:2", "1 cells"]),
        ('prompt\n"a "small" boat"\n', ["p.csv:2", "can't be read"]),
        ('prompt\n"no end\n', ["p.csv:", "can't be read"]),
        ("", ["p.csv", "no prompt"]),
        ("prompt\n\n", ["p.csv", "no prompt"]),
        ("prompt,seed\nsea,two\n", ["p.csv:2", "seed", "'two'"]),
        ("prompt,seed\n ,1\n", ["p.csv:2", "prompt"]),
        ("prompt,num_frames\nsea,20\n", ["p.csv:2", "num_frames", "4k+1"]),
        ("prompt\nsea\nfog\nsea\n", ["p.csv:4", "same video as p.csv:2"]),
        ("prompt,name\nsea,a\nfog,A\n", ["p.csv:3", "'A' of p.csv:2"]),
        ("prompt,image\nsea,gone.png\n", ["p.csv:2", "gone.png", "No such file"]),
        ("prompt,name\nsea,a/b\n", ["p.csv:2", "name", "'a/b'"]),
    ],
)
def test_refuses(text, words):
    _, problems = requests_of(text)
    assert len(problems) == 1
    assert all(word in problems[0].message for word in words), problems[0].message
    assert problems[0].next_action


def test_every_mistake_is_told():
    _, problems = requests_of("prompt,seed\nsea,x\nfog,y\n")
    assert [problem.message.split(" ")[0] for problem in problems] == ["p.csv:2:", "p.csv:3:"]


def test_a_row_wins_over_the_command_line():
    requests, problems = requests_of(
        "prompt,seed,config,image\nsea,7,,\nfog,,768px,one.png\n",
        {"seed": "3", "num_frames": "17"},
        lambda cell: (PICTURE, "") if cell == "one.png" else ("", "is another"),
    )
    assert problems == []
    assert [(r.seed, r.config, r.num_frames, r.picture, r.row) for r in requests] == [
        (7, "256px", 17, "", "p.csv:2"),
        (3, "768px", 17, PICTURE, "p.csv:3"),
    ]


def test_the_same_prompt_with_another_seed_is_another_video():
    requests, problems = requests_of("prompt,seed\nsea,1\nsea,2\n")
    assert (len(requests), problems) == (2, [])


@pytest.mark.parametrize(
    ("content", "text", "words"),
    [
        ("prompt\nsöa\n".encode(), "prompt\nsöa\n", ""),
        ("\ufeffprompt\nsea\n".encode(), "prompt\nsea\n", ""),
        ("prompt\nsöa\n".encode("latin-1"), "", "p.csv:2 is not UTF-8"),
        ("prompt\n".encode("utf-16"), "", "p.csv:1 is not UTF-8"),
        (b"x" * ((16 << 20) + 1), "", "larger than 16 MiB"),
    ],
)
def test_decodes(content, text, words):
    decoded, problems = decode_table(content, "p.csv")
    assert decoded == text
    assert [words in problem.message for problem in problems] == ([True] if words else [])
