"""The page in a real browser: it draws, opens boxes, and tells of equations, without a network."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from programs import conv_meta_step, product

import metagrad as mg
from metagrad import inspect

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
wait = pytest.importorskip("selenium.webdriver.support.wait", reason="selenium is not installed")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium or chromedriver is not installed")

OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1400,1000",
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """A page in the browser, by what a reader sees of it."""

    def __init__(self, browser, folder, html):
        file = folder / "graph.html"
        file.write_text(html, "utf-8")
        self.browser = browser
        browser.get(file.as_uri())
        # The browser may say that it is done before it has drawn a page that is large.
        wait.WebDriverWait(browser, 60).until(lambda _: self.all("#canvas > svg, iframe"))

    def all(self, selector):
        return self.browser.find_elements("css selector", selector)

    def one(self, selector):
        (found,) = self.all(selector)
        return found

    def text(self, selector):
        return self.one(selector).text

    def errors(self):
        return [entry for entry in self.browser.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.fixture
def page(browser, tmp_path):
    return lambda html: Page(browser, tmp_path, html)


def test_a_click_on_an_equation_shows_its_line_its_origin_and_its_users(page):
    graph = mg.make_graph(mg.grad(mg.grad(product)))(0.3)
    seen = page(inspect.html(graph, "sin(x) x"))
    assert seen.text("h1") == "sin(x) x"
    assert len(seen.all("#canvas .step")) == len(graph.equations) == 17
    first = seen.one('[data-step="0"]')
    assert first.rect["width"] > 40
    first.click()
    told = seen.text("#panel")
    line = product.__code__.co_firstlineno + 1
    assert f"{product.__code__.co_filename}:{line} in product" in told
    assert "return mg.sin(x) * x" in told
    assert "order 0: the function itself; the result does not depend on it" in told
    seen.one('[data-step="10"]').click()
    told = seen.text("#panel")
    assert "n = l * m" in told
    assert "order 2: made by a derivative of a derivative" in told
    origins = told.split("IN TURN")[1].split("WHICH WAS WRITTEN AT")[0].split("\n")
    assert [o for o in origins if o] == ["g = cos(a)", "b = sin(a)"]
    assert told.split("USED BY")[1].strip().startswith("o = -n")
    assert len(seen.all("#canvas .edge.lit")) == 3
    assert not seen.errors()


def test_boxes_open_on_a_click_and_the_trail_leads_back(page):
    step, params = conv_meta_step(filters=2)
    graph = mg.make_graph(step)(params)
    seen = page(inspect.html(graph))
    assert len(seen.all("#canvas .box")) == 12
    seen.one('#canvas [data-path="gradient / inner step 2"]').click()
    assert seen.text("#trail") == "all / gradient / inner step 2"
    seen.one('#canvas [data-path="gradient / inner step 2 / gradient / conv2d 0"]').click()
    steps = seen.all("#canvas .step")
    assert len(steps) == 1  # the gradient of a layer's two gradients is the layer with others in their place
    steps[0].click()
    assert "in gradient / inner step 2 / gradient / conv2d 0" in seen.text("#panel")
    seen.all("#panel li button")[0].click()  # what it was differentiated from: it stands in another box
    assert seen.text("#trail").startswith("all / inner step 2 / ")
    assert len(seen.all("#canvas .chosen")) == 1
    seen.all("#trail button")[0].click()
    assert len(seen.all("#canvas .box")) == 12
    assert not seen.errors()


def test_back_leads_back_inside_the_page_and_an_address_leads_to_an_equation(page):
    step, params = conv_meta_step(filters=2)
    seen = page(inspect.html(mg.make_graph(step)(params)))
    seen.one('#canvas [data-path="query loss"]').click()
    seen.all("#canvas .step")[0].click()
    told, address = seen.text("#panel"), seen.browser.current_url
    assert told.startswith("EQUATION ")

    def back():
        before = seen.text("#panel"), seen.text("#trail")
        seen.browser.back()
        wait.WebDriverWait(seen.browser, 10).until(lambda _: (seen.text("#panel"), seen.text("#trail")) != before)

    back()
    assert seen.text("#panel").startswith("WHAT IS DRAWN")
    assert seen.text("#trail") == "all / query loss"
    back()
    assert seen.text("#trail") == "all"
    seen.browser.get("about:blank")
    seen.browser.get(address)
    wait.WebDriverWait(seen.browser, 60).until(lambda _: seen.all("#canvas > svg"))
    assert seen.text("#panel") == told
    assert seen.text("#trail") == "all / query loss"
    assert not seen.errors()


def test_what_is_wide_opens_large_enough_to_be_read(page):
    def f(xs):
        return mg.sum(mg.stack([mg.tanh(mg.sin(x) * 2.0) for x in xs]))

    seen = page(inspect.html(mg.make_graph(f)([0.5] * 12)))
    width = float(seen.one("#canvas > svg").get_dom_attribute("viewBox").split()[2])
    assert seen.one("#canvas").size["width"] / width >= 0.69
    seen.all("#zoom button")[2].click()
    assert float(seen.one("#canvas > svg").get_dom_attribute("viewBox").split()[2]) > width


def test_a_narrow_window_has_the_panel_below(page):
    seen = page(inspect.html(mg.make_graph(mg.grad(mg.grad(product)))(0.3)))
    seen.browser.set_window_size(500, 800)
    try:
        canvas, panel = seen.one("#canvas").rect, seen.one("#panel").rect
        assert panel["y"] >= canvas["y"] + canvas["height"]
        assert panel["width"] == canvas["width"]
        overflow = "return arguments[0].scrollWidth - arguments[0].clientWidth"
        assert all(seen.browser.execute_script(overflow, seen.one(part)) <= 0 for part in ("html", "#panel pre"))
    finally:
        seen.browser.set_window_size(1400, 1000)


def test_the_key_names_the_orders_that_there_are(page):
    seen = page(inspect.html(mg.make_graph(mg.grad(mg.grad(product)))(0.3)))
    assert [s.text for s in seen.all("#key span")] == ["order 0", "order 1", "order 2", "elsewhere"]
    assert "order 2, made by a derivative of a derivative: 7 equations" in seen.text("#panel")


def test_it_can_be_searched_zoomed_and_moved(page):
    seen = page(inspect.html(mg.make_graph(mg.grad(mg.grad(product)))(0.3)))

    def window():
        return [float(v) for v in seen.one("#canvas > svg").get_dom_attribute("viewBox").split()]

    before = window()
    seen.all("#zoom button")[0].click()
    assert window()[2] == pytest.approx(0.8 * before[2])
    seen.all("#zoom button")[2].click()
    assert window() == pytest.approx(before)
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(seen.browser).drag_and_drop_by_offset(seen.one("#canvas > svg"), 60, 40).perform()
    assert window()[:2] == pytest.approx([before[0] - 60, before[1] - 40], abs=2)
    seen.one("#find").send_keys("cos(")
    assert [b.text for b in seen.all("#panel li button")] == ["g = cos(a)", "r = cos(a)"]
    seen.one("#find").clear()
    seen.one("#find").send_keys("s")
    assert [b.text.split(" = ")[0] for b in seen.all("#panel li button")] == ["b", "m", "g", "r"]
    seen.one("#find").clear()
    seen.one("#find").send_keys("g")
    assert seen.all("#panel li button")[0].text == "g = cos(a)"
    seen.one("#find").send_keys("nothing")
    assert "No equation has" in seen.text("#panel")
    assert not seen.errors()


def test_what_the_page_has_no_room_for_says_how_to_draw_it(page, monkeypatch):
    step, params = conv_meta_step(filters=2)
    graph = mg.make_graph(step)(params)
    monkeypatch.setattr("metagrad.inspect.page._MOST", 60)
    seen = page(inspect.html(graph))
    seen.one('#canvas [data-path="gradient / inner step 1"]').click()
    assert seen.text("#panel pre") == 'mg.inspect.html(graph, within="gradient / inner step 1")'
    assert not seen.errors()
    rest = page(inspect.html(graph, within="gradient / inner step 1"))
    assert rest.text("#trail") == "all / gradient / inner step 1"
    assert rest.all("#canvas .box")
    rest.all("#trail button")[0].click()
    assert rest.text("#panel pre") == "mg.inspect.html(graph)"
    assert not rest.errors()


def test_a_comparison_shows_both_pages(page):
    graphs = [mg.make_graph(mg.grad(f))(0.3) for f in (product, mg.checkpoint(product))]
    seen = page(inspect.compare(*graphs, names=("plain", "checkpointed")).html())
    assert [h.text for h in seen.all("h2")] == ["plain", "checkpointed"]
    for frame, graph in zip(seen.all("iframe"), graphs, strict=True):
        seen.browser.switch_to.frame(frame)
        steps = seen.all("#canvas .step")
        assert len(steps) >= len(graph.equations)
        steps[0].click()
        assert seen.text("#panel").startswith("EQUATION 1")
        seen.browser.switch_to.default_content()
    assert not seen.errors()


def test_a_comparison_marks_what_the_other_graph_lacks(page):
    a, b = (mg.make_graph(f)(0.3) for f in (lambda x: mg.sin(x) * mg.cos(x), lambda x: mg.sin(x) * x))
    seen = page(inspect.compare(a, b).html())
    marked = []
    for frame in seen.all("iframe"):
        seen.browser.switch_to.frame(frame)
        marked.append([step.text.split("\n")[0] for step in seen.all("#canvas .only")])
        seen.browser.switch_to.default_content()
    assert marked == [["c = cos(a)"], []]


def test_a_line_of_code_that_looks_like_a_script_does_not_end_the_page_s(page):
    def f(x):
        with mg.named_scope("<!-- <script>"):
            y = mg.sin(x)  # <!-- <script> a comment </script>
        return y * mg.cos(y)

    shown = page(inspect.html(mg.make_graph(f)(mg.asarray([0.3]))))
    assert shown.all("#canvas > svg")


def test_it_asks_for_nothing_from_elsewhere(page):
    html = inspect.html(mg.make_graph(mg.grad(product))(0.3))
    seen = page(html)
    asked = seen.browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert asked == []
    assert not any(word in html for word in ("https:", "src=", "@import", "url(h"))


def test_the_page_is_shipped_with_the_package():
    folder = Path(inspect.__file__).parent
    assert {"page.html", "page.css", "page.js"} <= {path.name for path in folder.iterdir()}
