"""The report, opened in a real browser: no script error, no empty chart, light, dark, narrow."""

import html.parser
import json
import os
import pathlib
import subprocess
import sys

import browser
import pytest
import sample
from conftest import ROOT
from duel import page

PHONE = 390


class Reader(html.parser.HTMLParser):
    """What the tests want to know of a document."""

    def __init__(self, text):
        super().__init__()
        self.charts, self.root, self.addresses, self.scripts = [], {}, [], 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.scripts += tag == "script"
        self.addresses += [given[name] for name in ("src", "href") if name in given]
        if tag == "html":
            self.root = given
        elif tag == "svg":
            self.charts.append({"label": given["aria-label"], "bars": [], "text": ""})
        elif tag == "rect" and given.get("class") == "bar":
            self.charts[-1]["bars"].append(float(given["width"]))
        self._ratio = tag == "text" and given.get("class") == "ratio"

    def handle_data(self, text):
        if self.charts and getattr(self, "_ratio", False):
            self.charts[-1]["text"] += text + " "


@pytest.fixture(scope="module")
def text():
    return page.html(sample.completed())


@pytest.fixture(scope="module")
def seen(text, tmp_path_factory):
    """(reader of the page as it was when its scripts had run, console lines)."""
    directory = tmp_path_factory.mktemp("page")
    (directory / "page.html").write_text(browser.watched(text))
    dom, console = browser.dom(directory / "page.html", directory)
    return Reader(dom), console


def test_no_script_fails(seen):
    reader, console = seen
    assert reader.root.get("data-problems") is None and console == []


def test_the_watch_sees_a_script_that_fails(text, tmp_path):
    """The canary: without it the test above would prove nothing."""
    (tmp_path / "page.html").write_text(
        browser.watched(text).replace("<main>", "<script>nonsense()</script><main>"))
    dom, console = browser.dom(tmp_path / "page.html", tmp_path)
    assert "nonsense" in Reader(dom).root["data-problems"] and console


def test_no_chart_is_empty(seen):
    reader, _ = seen
    assert len(reader.charts) > 40
    for one in reader.charts:
        assert len(one["bars"]) >= 4, one
        assert all(0 < width <= 360 for width in one["bars"]), one


def test_the_script_writes_ratios_against_the_chosen_one(seen):
    reader, _ = seen
    for one in reader.charts:
        assert "1.00x" in one["text"].split(), one


def test_a_ceiling_far_above_is_cut_and_keeps_its_number(text):
    assert 'class="cut"' in text and "40.20 Gb/s" in text


def test_nothing_is_fetched_and_nothing_hostile_gets_in(text):
    reader = Reader(text)
    assert [one for one in reader.addresses if not one.startswith("#")] == []
    assert reader.scripts == 1
    assert sample.HOSTILE not in text and "throw 1" in text


def test_every_link_leads_somewhere(text):
    links = [one[1:] for one in Reader(text).addresses]
    assert len(links) == len(page.SECTIONS) + 2
    assert all(f'id="{one}"' in text for one in links)


def test_failures_are_shown(text):
    assert "absent" in text and text.count("did not take part") == 1
    assert 'class="row failed rust-1"' in text


def test_light_and_dark_look_different_and_neither_is_blank(text, tmp_path):
    (tmp_path / "page.html").write_text(text)
    corners = []
    for scheme in browser.SCHEMES:
        rows = browser.screenshot(tmp_path / "page.html", tmp_path, tmp_path / f"{scheme}.png",
                                  600, 500, scheme)
        corners.append(sum(rows[0][0]))
        assert len({colour for row in rows for colour in row}) > 20
    dark, light = corners
    assert dark < 150 < 600 < light


def test_a_phone_need_not_scroll_sideways(text, tmp_path):
    (tmp_path / "page.html").write_text(browser.in_frame(
        text, PHONE, "document.body.dataset.width=d.documentElement.scrollWidth"))
    dom, _ = browser.dom(tmp_path / "page.html", tmp_path)
    assert f'data-width="{PHONE}"' in dom


def test_the_command_makes_the_page_of_a_result(tmp_path):
    (tmp_path / "duel.json").write_text(json.dumps(sample.document(rounds=1)))
    path = os.pathsep.join([str(ROOT / "bench"), str(ROOT / "tests/net")])
    done = subprocess.run([sys.executable, "-m", "duel", "report", str(tmp_path / "duel.json")],
                          env={**os.environ, "PYTHONPATH": path}, text=True, timeout=30,
                          capture_output=True)
    assert done.returncode == 0, done.stderr
    made = pathlib.Path(done.stdout.strip())
    assert made == tmp_path / "duel.html" and "<svg" in made.read_text()


def test_the_command_refuses_what_is_no_result(tmp_path):
    (tmp_path / "other.json").write_text('{"kind": "something"}')
    path = os.pathsep.join([str(ROOT / "bench"), str(ROOT / "tests/net")])
    done = subprocess.run([sys.executable, "-m", "duel", "report", str(tmp_path / "other.json")],
                          env={**os.environ, "PYTHONPATH": path}, text=True, timeout=30,
                          capture_output=True)
    assert done.returncode != 0 and "not the result of a duel" in done.stderr
