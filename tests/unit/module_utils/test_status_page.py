"""The page, without a browser: whole HTML, nothing from outside, every text escaped, contrast enough for everyone."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from ansible.module_utils.opensora.status_page import page_data, render_page
from ansible.module_utils.opensora.status_report import HostStatus, make_host

from tests.unit.module_utils import status_examples as examples

VOID = {"meta", "link", "br", "hr", "img", "input"}
# Attributes by which a page loads something or leads away.
LOADING = {"src", "href", "srcset", "action", "data", "poster", "xlink:href", "background", "formaction"}
AA = 4.5
AA_GRAPHICS = 3.0


class Page(HTMLParser):
    """Reads a page strictly: what is opened is closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.faults: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        if len(names) != len(set(names)):
            self.faults.append(f"an attribute of <{tag}> stands twice")
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> closes something else")

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page(hosts: list[HostStatus], history: list[dict[str, Any]] | None = None) -> str:
    return render_page(examples.TEMPLATE, hosts, history or [], examples.NOW)


def hostile() -> list[HostStatus]:
    """A host all of whose texts try to break out."""
    bad = examples.HOSTILE
    status = examples.status(1, 1)
    status["gpus"][0] |= {
        "name": bad,
        "uuid": bad,
        "mig_enabled": True,
        "mig_devices": [bad],
        "utilization_percent": None,
    }
    status["gpus"][0]["unknown"] = {"utilization_percent": bad}
    status["driver"]["version"] = bad
    status["engine"] |= {"kind": bad, "version": bad}
    status["services"][0] |= dict.fromkeys(("name", "health", "image", "profile", "error"), bad)
    status["services"][0]["gpus"] = [bad]
    status["services"][0]["last_generation"] |= {"prompt": bad, "config": bad, "id": bad}
    status["disks"][0] |= {"mount": bad, "path": bad}
    absent = examples.status(1, 1, gpus=[], driver={"version": None, "error": bad}, services=[])
    return [
        make_host(bad, {"status": status}),
        make_host(f"{bad}2", {"status": absent}),
        make_host(f"{bad}3", {"unreachable": True, "msg": bad}),
    ]


EVERY = {
    "one": (examples.one_host(), examples.history(examples.one_host())),
    "first": (examples.one_host(), []),
    "six": (examples.six_hosts(), examples.history(examples.six_hosts())),
    "hostile": (hostile(), []),
    "none": ([], []),
}


@pytest.mark.parametrize("name", EVERY)
def test_it_is_whole(name: str) -> None:
    parsed = Page(page(*EVERY[name]))
    assert parsed.faults == []
    assert parsed.open == []
    identifiers = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    assert parsed.all("html")[0]["lang"] == "en"
    # What points somewhere, points to something.
    for attributes in parsed.all("a"):
        assert str(attributes["href"]).removeprefix("#") in identifiers
    for attributes in parsed.all("section"):
        assert attributes["aria-labelledby"] in identifiers


@pytest.mark.parametrize("name", EVERY)
def test_it_needs_nothing_from_outside(name: str) -> None:
    text = page(*EVERY[name])
    parsed = Page(text)
    assert {tag for tag, _ in parsed.tags} & {"script", "iframe", "object", "embed", "img", "form", "base"} == set()
    loaded = [value for _, attributes in parsed.tags for key, value in attributes.items() if key in LOADING]
    assert [value for value in loaded if not str(value).startswith("#") and value != "data:,"] == []
    assert not [key for _, attributes in parsed.tags for key in attributes if key.startswith("on")]
    assert re.search(r"@import|url\(|https?:|//\w", text) is None
    policy = next(entry["content"] for entry in parsed.all("meta") if entry.get("http-equiv"))
    assert str(policy).startswith("default-src 'none'")


def test_nothing_breaks_out() -> None:
    text = page(hostile())
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert [char for char in text if not char.isprintable() and char != "\n"] == []
    # The quote would end an attribute: each of these titles is there as a whole.
    titles = [str(attributes["title"]) for _, attributes in Page(text).tags if "title" in attributes]
    assert "<script>alert(1)</script>\"'& [31m" in titles


def test_the_hosts_and_what_is_wrong_with_them() -> None:
    text = Page(page(*EVERY["six"])).text
    for words in (
        "6 hosts, 4 need attention, 1 not readable",
        "The driver reports a fault of GPU 5",
        "No GPU answers, 1 on the bus",
        "couldn't communicate with the NVIDIA driver",
        "MIG: 2 × 3g.40gb",  # noqa: RUF001
        "Use: nvidia-smi says [N/A]",
        "opensora-opensora-1 is unhealthy",
        "The host can't be reached over SSH",
        "There is no container engine",
        "no video yet",
        "11 GiB free of 894 GiB",
    ):
        assert words in text, words


def test_what_is_not_known_is_a_dash_and_has_no_chart() -> None:
    (host,) = page_data([make_host("gpu03", {"status": examples.mig()})], [], examples.NOW)["hosts"]
    (gpu,) = host["gpus"]
    assert (gpu["use"]["text"], gpu["processes"]["text"]) == ("–", "–")  # noqa: RUF001
    assert gpu["use"]["chart"] == {"lines": (), "areas": (), "last": None, "label": "GPU 0, use: not known"}
    assert gpu["memory"]["chart"]["lines"]


def test_every_chart_says_in_words_what_it_shows() -> None:
    parsed = Page(page(*EVERY["one"]))
    charts = [attributes for attributes in parsed.all("svg") if attributes.get("role") == "img"]
    spark = [attributes["aria-label"] for attributes in charts if attributes["class"] == "spark"]
    assert len(spark) == 6
    assert spark[0] == "GPU 0, use: 2 to 96 %, last 95 %, 112 values"
    assert all(attributes.get("aria-label") or attributes.get("aria-hidden") for attributes in parsed.all("svg"))


@pytest.mark.parametrize(
    ("runs", "caption", "values"),
    [
        (0, "Charts: 3 samples of this run", 3),
        (1, "Charts: 3 samples of this run", 3),
        (2, "Charts: 2 runs since 16:55 UTC", 2),
        (120, "Charts: 120 runs since 07:05 UTC", 112),
        (400, "Charts: 400 runs since 24 Nov, 07:45 UTC", 392),
    ],
)
def test_the_charts_show_the_history_once_there_is_one(runs: int, caption: str, values: int) -> None:
    hosts = examples.one_host()
    (host,) = page_data(hosts, examples.history(hosts, runs), examples.NOW)["hosts"]
    assert host["caption"] == caption
    assert host["gpus"][0]["memory"]["chart"]["label"].endswith(f", {values} values")


def test_figures_leave_out_what_is_not_known() -> None:
    figures = page_data([make_host("gpu03", {"status": examples.mig()})], [], examples.NOW)["figures"]
    assert [figure["value"] for figure in figures] == ["1", "–", "38 %", "2 of 2"]  # noqa: RUF001
    assert [figure["value"] for figure in page_data([], [], examples.NOW)["figures"]] == ["0", "–", "–", "0"]  # noqa: RUF001


# --- colours


def palettes() -> dict[str, dict[str, str]]:
    """Return the colours by scheme."""
    light, dark = re.findall(r":root \{([^}]*--ground[^}]*)\}", examples.TEMPLATE)
    return {
        name: dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))
        for name, block in (("light", light), ("dark", dark))
    }


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_computed_right() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(scheme: str) -> None:
    colours = palettes()[scheme]
    assert len(colours) == 8
    pairs = [(text, ground) for text in ("text", "muted") for ground in ("ground", "card", "problem-ground")]
    pairs += [("problem", ground) for ground in ("ground", "card", "problem-ground")]
    assert {
        pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in pairs if contrast(*map(colours.get, pair)) < AA
    } == {}
    for ground in ("ground", "card", "line"):
        assert contrast(colours["accent"], colours[ground]) >= AA_GRAPHICS
        assert contrast(colours["problem"], colours[ground]) >= AA_GRAPHICS


def test_colours_stand_in_the_palettes_alone() -> None:
    style = examples.TEMPLATE.split("</style>")[0].split("<style>")[1]
    rules = re.sub(r":root \{[^}]*--ground[^}]*\}", "", style)
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b|rgba?\(|hsla?\(", rules) == []
