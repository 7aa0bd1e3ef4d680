"""The page in a browser: phone and desktop, light and dark, by keyboard and for screen readers; nothing is loaded.

Skipped where there is no Chromium, or no playwright to drive it.
"""

import contextlib
import shutil

import pytest

from sertool.core.evaluation.report.page import write_report

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PHONE, DESKTOP = (360, 800), (1280, 900)
HOSTILE = "<img src=x onerror=alert(1)><script>alert(1)</script>.wav"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on the PATH: apt install chromium")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory, shared_document, examples):
    """A page with all parts, of fewer conditions, speakers and stress tests: browsers are slow where cores are busy."""

    def few(records: list[dict]) -> list[dict]:
        return [one for one in records if one["condition"] in ("clean", "0 dB") and one.get("speaker", "01") < "04"]

    document = shared_document | {
        name: few(shared_document[name]) for name in ("conditions", "by_kind", "by_speaker", "by_gender")
    }
    document["comparison"] = document["comparison"] | {"conditions": few(document["comparison"]["conditions"])}
    document["stress"] = document["stress"] | {"conditions": document["stress"]["conditions"][-6:]}
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, document, examples[:1])
    return path


@contextlib.contextmanager
def opened(browser, path, size=DESKTOP, theme="light"):
    """Show a page; `heard` collects what its console, its errors and the network have to say."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=theme)
    page = context.new_page()
    page.heard = []
    page.on("console", lambda message: page.heard.append(message.text))
    page.on("pageerror", lambda error: page.heard.append(str(error)))
    page.on("dialog", lambda dialog: (page.heard.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: page.heard.append(request.url) if request.url[:5] != "data:" else None)
    page.goto(path.as_uri())
    assert page.heard.pop(0) == path.as_uri()
    yield page
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP])
def test_the_page_fits_and_is_silent(browser, report, size, theme):
    with opened(browser, report, size, theme) as page:
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert page.evaluate("document.scrollingElement.scrollWidth") <= size[0]
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, paper[4:-1].split(","))) > 384) == (theme == "light")
        small = page.evaluate(
            "[...document.querySelectorAll('svg text')].filter(one => one.checkVisibility() && "
            "one.getBoundingClientRect().height < 10).map(one => one.textContent)"
        )
        assert small == []
        assert page.heard == []


@pytest.mark.parametrize(("size", "theme"), [(PHONE, "dark"), (DESKTOP, "light")])
def test_a_checker_of_accessibility_finds_nothing(browser, report, size, theme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    with opened(browser, report, size, theme) as page:
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        found = axe.Axe().run(page).response["violations"]
        assert {one["id"]: [node["html"][:200] for node in one["nodes"][:3]] for one in found} == {}


def test_the_first_key_leads_past_the_contents(browser, report):
    with opened(browser, report) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the results"
        assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "results"


def until(page, condition, tries=200):
    """Wait until a script says so. The page's policy lets no script poll from within, as `wait_for_function` does."""
    for _ in range(tries):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never so: {condition}")


def test_what_is_folded_opens_by_key_and_wide_tables_scroll(browser, report):
    with opened(browser, report, PHONE) as page:
        summary = page.locator("#confusions summary").first
        summary.focus()
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        page.keyboard.press("Enter")
        assert page.locator("#confusions details").first.get_attribute("open") is not None
        page.locator("#confusions .scroll").first.focus()
        page.keyboard.press("ArrowRight")
        until(page, "document.activeElement.scrollLeft > 0")
        head = page.evaluate("document.activeElement.querySelector('tbody th').getBoundingClientRect().left")
        assert head == pytest.approx(page.evaluate("document.activeElement.getBoundingClientRect().left"), abs=1)


def test_every_player_can_play(browser, report):
    with opened(browser, report) as page:
        until(page, "[...document.querySelectorAll('audio')].every(one => one.duration > 0.4)")
        assert page.evaluate("[...document.querySelectorAll('audio')].every(one => !one.error && one.paused)")


def test_the_policy_keeps_everything_else_out(browser, report):
    with opened(browser, report) as page:
        stopped = page.evaluate("""() => new Promise(done => {
            document.addEventListener('securitypolicyviolation', event => done(event.effectiveDirective));
            document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x.png'}));
        })""")
        assert stopped == "img-src"


def test_names_that_look_like_markup_do_nothing(browser, tmp_path, shared_document):
    hostile = shared_document | {"failures": [HOSTILE], "notes": [HOSTILE], "system": {"kind": "run", "name": HOSTILE}}
    write_report(tmp_path / "report.html", hostile)
    with opened(browser, tmp_path / "report.html") as page:
        assert page.title().startswith(HOSTILE)
        assert page.heard == []
