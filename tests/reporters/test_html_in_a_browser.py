"""`--format html` in headless Chromium: what is seen, what clicks and keys do, and that nothing of a trace runs."""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from systrace.model import Analysis, Input
from systrace.pipeline import analyze
from systrace.reporters import REPORTERS
from systrace.reporters.layout import Layout
from systrace.reporters.views.answer import answer, cards
from systrace.reporters.words.clock import Clock

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.real, pytest.mark.skipif(CHROMIUM is None, reason="not installed: chromium")]

WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
TO = '{sa_family=AF_INET, sin_port=htons(%d), sin_addr=inet_addr("%s")}'
LOG = f"""9 1700000100.000000 execve("/opt/job.sh", ["/opt/job.sh", "--all"], 0x1 /* 3 vars */) = 0 <0.001>
9 1700000100.010000 clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD, child_tidptr=0x7f) = 10 <0.0001>
10 1700000100.020000 execve("/usr/bin/curl", ["curl", "http://192.0.2.1/a"], 0x1 /* 3 vars */) = 0 <0.001>
10 1700000100.100000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.000010>
10 1700000100.200000 connect(3, {TO % (80, "192.0.2.1")}, 16) = 0 <0.2>
10 1700000101.000000 sendto(3, "GET /a HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 28, 0, NULL, 0) = 28 <0.000010>
10 1700000101.100000 recvfrom(3, "HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok", 999, 0, NULL, NULL) = 40 <0.3>
10 1700000102.000000 sendto(3, "GET /b HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 28, 0, NULL, 0) = 28 <0.000010>
10 1700000102.100000 recvfrom(3, "HTTP/1.1 404 No\\r\\nContent-Length: 0\\r\\n\\r\\n", 999, 0, NULL, NULL) = 38 <0.1>
10 1700000103.000000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 4 <0.000010>
10 1700000103.100000 connect(4, {TO % (5432, "192.0.2.2")}, 16) = -1 ECONNREFUSED (Connection refused) <0.2>
10 1700000104.000000 sendto(3, "GET /c HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", 28, 0, NULL, 0) = 28 <0.000010>
10 1700000104.100000 recvfrom(3,  <unfinished ...>
10 1700000700.000000 +++ killed by SIGKILL +++
9 1700000700.100000 exit_group(1) = ?
9 1700000700.200000 +++ exited with 1 +++
"""
Load = Callable[..., "Page"]
T = TypeVar("T")


def analysed(log: str, name: str = "job.strace") -> Analysis:
    keep = REPORTERS["html"].keep
    assert keep is not None
    return analyze([Input(name, log.encode("latin-1").splitlines(keepends=True))], keep=keep)


@pytest.fixture(name="browser", scope="module")
def browser_fixture() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(name="load")
def load_fixture(browser: Browser, tmp_path: Path) -> Iterator[Load]:
    """Opens the report of a log; whatever the page complains of, asks for or pops up fails the test."""
    complaints: list[str] = []
    contexts = []

    def load(log: str | Analysis = LOG, viewport: dict[str, int] | None = None, scheme: str = "light") -> Page:
        file = tmp_path / "report.html"
        out = io.BytesIO()
        REPORTERS["html"].write(log if isinstance(log, Analysis) else analysed(log), out, Layout(utc=True))
        file.write_bytes(out.getvalue())
        settings: dict[str, Any] = {"viewport": viewport or WIDE, "color_scheme": scheme, "reduced_motion": "reduce"}
        context = browser.new_context(**settings, permissions=["clipboard-read", "clipboard-write"])
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.on("request", lambda asked: complaints.append(asked.url) if asked.url != file.as_uri() else None)
        page.add_init_script(
            "addEventListener('securitypolicyviolation', (e) => console.log('CSP', e.violatedDirective))"
        )
        page.goto(file.as_uri())
        frames(page)
        return page

    yield load
    for context in contexts:
        context.close()
    assert complaints == []


def frames(page: Page) -> None:
    """Until what was asked for is drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def report(page: Page, words: str) -> Any:
    return page.evaluate(f"systraceReport.{words}")


def until(look: Callable[[], T], good: Callable[[T], bool]) -> T:
    """What is seen once it is good: the page's policy forbids the waits that evaluate words."""
    end = time.monotonic() + 20
    while not good(seen := look()):
        assert time.monotonic() < end, seen
        time.sleep(0.05)
    return seen


def stretch(page: Page) -> tuple[float, float]:
    frames(page)
    view = report(page, "view")
    return view["from"], view["to"]


def click_lane(page: Page, uid: str) -> None:
    row = report(page, f"rowAt('{uid}')")
    canvas = page.locator("#canvas")
    canvas.scroll_into_view_if_needed()
    frame = canvas.bounding_box()
    assert frame is not None
    page.mouse.click(frame["x"] + frame["width"] / 2, frame["y"] + 28 + 22 * row + 11)


def test_the_answer_is_that_of_the_table(load: Load) -> None:
    analysis = analysed(LOG)
    page = load(analysis)
    sentence, more = answer(analysis)
    assert page.locator("h1").inner_text() == sentence
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    text = page.locator("main").inner_text()
    first, *others = cards(analysis, Layout(utc=True))
    assert first.finding.lines
    assert others
    for card in (first, *others):
        said = [more, *card.causes, *card.remedy, card.wrong_if, card.kind, card.sure]
        said += [word for step in card.steps for word in (step.command, step.why)]
        said += [line.text.strip() for line in card.finding.lines] + [
            f"job.strace:{line.line}" for line in card.finding.lines
        ]
        assert [words for words in said if words not in text] == []


def test_a_click_opens_a_connection_and_escape_closes_it(load: Load) -> None:
    page = load()
    assert page.locator("#opened").is_hidden()
    click_lane(page, "S1")
    opened = page.locator("#opened")
    text = opened.inner_text()
    assert "S1 192.0.2.1:80" in text
    assert opened.locator("table").last.locator("tbody td:nth-child(3)").all_inner_texts()[:3] == [
        "socket",
        "connect",
        "sendto",
    ]
    assert "GET /a HTTP/1.1\nHost: a" in opened.locator(".said").inner_text()
    page.keyboard.press("Escape")
    assert opened.is_hidden()
    assert page.evaluate("document.activeElement.id") == "canvas"
    page.get_by_role("button", name="Show the connection S1").click()
    assert opened.is_visible()


def test_moments_are_those_of_other_reports(load: Load) -> None:
    analysis = analysed(LOG)
    clock = Clock.of(analysis.evidence.source, utc=True)
    opened = [clock.moment(socket.opened_ns) for socket in analysis.evidence.sockets.values()]
    assert load(analysis).locator("#connections tbody td:nth-child(4)").all_inner_texts() == opened


def test_keys_move_and_zoom(load: Load) -> None:
    page = load()
    page.locator("#canvas").focus()
    whole = stretch(page)
    page.keyboard.press("+")
    closer = stretch(page)
    assert closer[1] - closer[0] < 0.7 * (whole[1] - whole[0])
    page.keyboard.press("ArrowRight")
    later = stretch(page)
    assert later[0] > closer[0]
    assert later[1] - later[0] == pytest.approx(closer[1] - closer[0])
    page.keyboard.press("ArrowLeft")
    assert stretch(page)[0] == pytest.approx(closer[0], abs=1)
    page.keyboard.press("-")
    page.keyboard.press("0")
    assert stretch(page) == pytest.approx(whole)
    for key in ("Home", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
    assert report(page, "selected()") == 2
    assert "S1 192.0.2.1:80" in page.locator("#spoken").inner_text()
    assert "waiting up to 596 s" in page.locator("#spoken").inner_text()
    page.keyboard.press("Enter")
    assert page.locator("#opened").is_visible()


def test_the_mouse_moves_and_zooms(load: Load) -> None:
    page = load()
    page.locator("#canvas").scroll_into_view_if_needed()
    frame = page.locator("#canvas").bounding_box()
    assert frame is not None
    left, top = frame["x"] + 500, frame["y"] + 80
    whole = stretch(page)
    page.mouse.move(left, top)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    before = until(lambda: stretch(page), lambda now: now[1] - now[0] < whole[1] - whole[0] - 1)
    page.mouse.down()
    page.mouse.move(left - 100, top, steps=4)
    page.mouse.up()
    after = stretch(page)
    assert after[0] > before[0]
    assert page.locator("#opened").is_hidden()
    page.keyboard.down("Shift")
    page.mouse.move(left, top)
    page.mouse.down()
    page.mouse.move(left + 100, top, steps=4)
    page.mouse.up()
    page.keyboard.up("Shift")
    chosen = stretch(page)
    assert chosen[1] - chosen[0] < 0.2 * (after[1] - after[0])
    page.get_by_role("button", name="Whole time").click()
    assert stretch(page) == pytest.approx(whole)


def test_what_is_under_the_mouse_is_told(load: Load) -> None:
    page = load()
    page.locator("#canvas").scroll_into_view_if_needed()
    frame = page.locator("#canvas").bounding_box()
    assert frame is not None
    row = report(page, "rowAt('S1')")
    at = report(page, "x(4e6 + 350e6)")
    page.mouse.move(frame["x"] + at, frame["y"] + 28 + 22 * row + 11)
    tip = page.locator("#tip").inner_text()
    assert "waiting, 596 s, at 22:15:04.000" in tip
    assert "idle limit of 350 s" in tip
    page.mouse.move(5, 5)
    assert page.locator("#tip").is_hidden()


def test_search_and_filters(load: Load) -> None:
    page = load()
    lanes = "rows().filter((row) => row.lane).map((row) => row.lane.id)"
    assert report(page, lanes) == ["S1", "S2"]
    page.fill("#search", "curl REFUSED")
    assert report(page, lanes) == ["S2"]
    assert page.locator("#count").inner_text() == "1 of 2 connections"
    assert page.locator("#connections tbody tr").count() == 1
    page.fill("#search", "")
    for name, chosen in (("#by-peer", "192.0.2.1:80"), ("#by-process", "10"), ("#by-cause", "connect-refused")):
        page.select_option(name, chosen)
        assert report(page, lanes) == {"#by-peer": ["S1"], "#by-process": ["S1", "S2"], "#by-cause": ["S2"]}[name]
        page.select_option(name, "")
    page.check("#bad")
    assert "S2" in report(page, lanes)


def test_tables_sort_and_filter(load: Load) -> None:
    page = load()
    urls = page.locator("#exchanges tbody td:nth-child(4)")
    assert urls.all_inner_texts() == ["http://a/a", "http://a/b", "http://a/c"]
    header = page.get_by_role("region", name="Requests and answers").get_by_role("button", name="status")
    header.click()
    header.click()
    assert urls.all_inner_texts() == ["http://a/b", "http://a/a", "http://a/c"]
    assert page.locator("#exchanges th[aria-sort]").get_attribute("aria-sort") == "descending"
    page.fill("#exchange-filter", "404")
    assert urls.all_inner_texts() == ["http://a/b"]
    page.locator("#exchanges").get_by_role("button", name="S1").click()
    assert page.locator("#opened").is_visible()


def test_commands_are_copied(load: Load) -> None:
    page = load()
    button = page.locator("[data-copy]").first
    command = page.locator(".command code").first.inner_text()
    button.click()
    until(button.inner_text, lambda text: text == "Copied")
    assert page.evaluate("navigator.clipboard.readText()") == command


def test_dark_and_light(load: Load) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    light, dark = load(), load(scheme="dark")
    shades = light.evaluate(colour), dark.evaluate(colour)
    assert shades[0] != shades[1]
    for page, other in ((light, shades[1]), (dark, shades[0])):
        page.locator("#theme").click()
        assert page.evaluate(colour) == other


def test_it_prints_cards_and_tables(load: Load) -> None:
    page = load(scheme="dark")
    page.emulate_media(media="print")
    assert page.locator("h1").is_visible()
    assert page.locator("#connections table").is_visible()
    assert page.locator("#waterfall").is_hidden()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_a_narrow_window_has_no_sideways_scroll(load: Load) -> None:
    page = load(viewport=NARROW)
    click_lane(page, "S1")
    assert page.locator("#opened").is_visible()
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]


def test_everything_has_a_name(load: Load) -> None:
    """For who does not see it: one heading of the first level, names of all that is operated."""
    page = load()
    click_lane(page, "S1")
    assert page.locator("h1").count() == 1
    nameless = page.evaluate(
        """[...document.querySelectorAll('button, input, select, canvas, [role=region]')].filter((each) =>
        !(each.textContent.trim() && each.tagName === 'BUTTON') && !each.getAttribute('aria-label') &&
        !each.getAttribute('aria-labelledby') && !(each.labels && each.labels.length)).map((each) => each.outerHTML)"""
    )
    assert nameless == []


SCRIPT = "<script>window.pwned=1</script><img src=x onerror=window.pwned=2></script>\\342\\200\\256"


NAME = r'"\0\1\1\0\0\1\0\0\0\0\0\0\37<script>window.pwned=3</script>\0\0\1\0\1"'  # a query


def test_hostile_bytes_are_inert(load: Load) -> None:
    log = f"""9 1700000100.000000 execve("/{SCRIPT}", ["{SCRIPT}", "{SCRIPT}"], 0x1 /* 3 vars */) = 0 <0.001>
9 1700000100.100000 socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = 3 <0.000010>
9 1700000100.200000 connect(3, {TO % (80, "192.0.2.1")}, 16) = 0 <0.2>
9 1700000101.000000 sendto(3, "GET /{SCRIPT} HTTP/1.1\\r\\nHost: {SCRIPT}\\r\\n\\r\\n", 228, 0, NULL, 0) = 228 <0.000010>
9 1700000101.100000 recvfrom(3, "HTTP/1.1 500 {SCRIPT}\\r\\nX-A: {SCRIPT}\\r\\n\\r\\n{SCRIPT}", 999, 0, NULL, NULL) = 300 <0.3>
9 1700000101.500000 socket(AF_UNIX, SOCK_STREAM, 0) = 4 <0.000010>
9 1700000101.600000 connect(4, {{sa_family=AF_UNIX, sun_path="/tmp/{SCRIPT}"}}, 110) = -1 ENOENT (No such file) <0.00001>
9 1700000101.700000 write(2, "{SCRIPT}", 74) = 74 <0.000010>
9 1700000101.710000 socket(AF_INET, SOCK_DGRAM, IPPROTO_IP) = 5 <0.000010>
9 1700000101.720000 sendto(5, {NAME}, 49, 0, {TO % (53, "192.0.2.3")}, 16) = 49 <0.000010>
9 1700000101.800000 +++ exited with 1 +++
"""
    page = load(analysed(log, f"{SCRIPT}\u202e.strace"))
    assert "look-up <script>window.pwned=3</script>" in page.locator("#connections").inner_text()
    for uid in ("S1", "S2", "S3"):
        click_lane(page, uid)
    assert "<script>window.pwned=3</script>" in page.locator("#opened").inner_text()
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    assert page.evaluate("window.pwned") is None
    assert page.locator("script").count() == 3
    assert page.locator("img").count() == 0
    assert "\u202e" not in page.content()


def test_ten_megabytes_in_one_call(load: Load) -> None:
    huge = "x" * 10_000_000
    page = load(LOG.replace('"HTTP/1.1 200 OK', f'"{huge}HTTP/1.1 200 OK').replace("= 40 <", f"= {40 + len(huge)} <"))
    click_lane(page, "S1")
    assert "bytes are left out of this page" in page.locator("#opened").inner_text()
    assert len(page.content()) < 1_000_000


NO_CONTENT = r'"HTTP/1.1 204 No\r\n\r\n"'


def many(connections: int, calls: int) -> Iterator[str]:
    """A log of so many connections at a time, with silences of all lengths."""
    yield '9 1700000000.000000 execve("/opt/job", ["/opt/job"], 0x1 /* 3 vars */) = 0 <0.001>\n'
    now = 1_700_000_000.0
    for number in range(connections):
        fd, at = 3 + number, f"203.0.{number // 250}.{number % 250}"
        now += 0.01
        yield f"9 {now:.6f} socket(AF_INET, SOCK_STREAM, IPPROTO_TCP) = {fd} <0.000010>\n"
        yield f"9 {now + 0.001:.6f} connect({fd}, {TO % (80, at)}, 16) = 0 <0.002>\n"
    for turn in range(calls // 2):
        now += 400 if turn % 40 == 9 else 1
        for number in range(connections):
            now += 0.001
            request = f"GET /{number}/{turn} HTTP/1.1\\r\\nHost: a{number}\\r\\n\\r\\n"
            size = len(request) - 6 * 2 // 2 + 2
            yield f'9 {now:.6f} sendto({3 + number}, "{request}", {size}, 0, NULL, 0) = {size} <0.00001>\n'
            yield f"9 {now + 0.0002:.6f} recvfrom({3 + number}, {NO_CONTENT}, 99, 0, NULL, NULL) = 19 <0.0001>\n"
    yield f"9 {now + 1:.6f} +++ exited with 1 +++\n"


@pytest.mark.timeout(300)
def test_a_thousand_connections_stay_fluid(load: Load, tmp_path: Path) -> None:
    """200,000 events: only what is in view is drawn, whatever the zoom."""
    page = load("".join(many(1000, 200)))
    assert (tmp_path / "report.html").stat().st_size < 20_000_000
    room = page.locator("#lanes").evaluate("(box) => box.clientHeight")
    assert len(report(page, "rows()")) == 1001
    page.evaluate("document.getElementById('lanes').scrollTop = 9000")
    for _ in range(8):
        page.locator("#zoom-in").click()
        frames(page)
        page.evaluate("systraceReport.draw()")
        drawn = report(page, "drawn")
        assert 0 < drawn["rows"] <= room / 22 + 2
        assert drawn["marks"] < drawn["rows"] * 600
    page.fill("#search", "203.0.3.249")
    assert page.locator("#count").inner_text() == "1 of 1000 connections"
