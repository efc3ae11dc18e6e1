"""The page, in a real browser, on a real server."""

import re
import time

import pytest

import textgru
from tests import browser as browsers
from tests.server.conftest import SMALL

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser():
    with browsers.chromium() as found:
        yield found


@pytest.fixture
def page(browser, serving):
    with browsers.page(browser, serving.url, color_scheme="light") as found:
        found.goto(serving.url)
        until(found, "document.getElementById('model').options.length == 3")
        yield found


def until(page, condition):
    """Asked from outside: the page's policy lets nothing be evaluated inside."""
    end = time.monotonic() + 10
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(20)


def set_up(page, **values):
    page.locator("#settings").evaluate("one => one.open = true")
    for name, value in values.items():
        page.fill(f"#{name}", str(value))


def written(page, number=0):
    return page.locator(".text").nth(number).evaluate("one => one.textContent")


def wait_for_end(page):
    until(page, "document.getElementById('stop').disabled && document.querySelector('.facts').textContent")


def test_it_writes_what_the_command_line_writes(page, runs):
    page.fill("#prompt", "The ferry")
    set_up(page, max_tokens=80, seed=4, top_p=0.9, temperature=0.7)
    page.click("#write")
    wait_for_end(page)
    settings = {"length": 80, "seed": 4, "top_p": 0.9, "temperature": 0.7}
    assert written(page) == textgru.load(runs["char"]).generate("The ferry", **settings)
    assert re.search(r"80 characters · \d\.\d\d bits a character", page.locator(".facts").text_content())


def test_another_model(page, runs):
    page.select_option("#model", "bpe")
    assert page.locator("#unit").text_content() == "in tokens"
    page.fill("#prompt", "Tam")
    set_up(page, max_tokens=30, temperature=0)
    page.click("#write")
    wait_for_end(page)
    assert written(page) == textgru.load(runs["bpe"]).generate("Tam", length=30, temperature=0)


def test_it_stops_and_goes_on(page):
    page.fill("#prompt", "The")
    set_up(page, max_tokens=16000, seed=1)
    page.keyboard.press("Control+Enter")
    until(page, "document.querySelector('.text').textContent.length > 60")
    assert page.locator(".sample.writing").count() == 1
    page.keyboard.press("Escape")
    wait_for_end(page)
    before = written(page)
    assert len(before) < 16000
    assert "stopped" in page.locator(".facts").text_content()
    set_up(page, max_tokens=50)
    page.click("text=Go on")
    wait_for_end(page)
    after = written(page)
    assert after.startswith(before)
    assert len(after) == len(before) + 50


def test_samples_side_by_side(page, runs):
    page.fill("#prompt", "Tam")
    set_up(page, max_tokens=40, n=3, seed=2)
    page.click("#write")
    until(page, "document.querySelectorAll('.facts').length == 3")
    wait_for_end(page)
    texts = [written(page, i) for i in range(3)]
    assert texts[0] == textgru.load(runs["char"]).generate("Tam", length=40, seed=2)
    assert len(set(texts)) == 3
    tops = page.locator(".sample").evaluate_all("all => all.map(one => one.getBoundingClientRect().top)")
    assert len(set(tops)) == 1


def test_a_stop_string_is_not_shown(page):
    page.fill("#prompt", "The")
    set_up(page, max_tokens=2000, seed=1, stop_text="\\n")
    page.click("#write")
    wait_for_end(page)
    assert "\n" not in written(page)
    assert "it ended" in page.locator(".facts").text_content()


def test_another_token_is_chosen_and_it_goes_on_from_there(page, runs):
    page.fill("#prompt", "The")
    set_up(page, max_tokens=30, temperature=0)
    page.click("#write")
    wait_for_end(page)
    before = written(page)
    page.locator(".text span[data-i]").nth(9).click()
    choices = page.locator("#alternatives button")
    assert choices.count() == 5
    assert choices.nth(0).get_attribute("aria-current") == "true", "greedy takes the likeliest"
    shown = choices.nth(1).locator(".spelled").text_content()
    choices.nth(1).click()
    wait_for_end(page)
    chosen = {"␣": " ", "↵": "\n"}.get(shown, shown)
    begun = before[: 3 + 9] + chosen
    assert written(page) == textgru.load(runs["char"]).generate(begun, length=30, temperature=0)
    assert page.locator("#alternatives").is_hidden()


def test_digits_stand_among_the_alternatives_by_their_probability(browser, serve, tmp_path):
    (tmp_path / "text.txt").write_text("ax" * 2000 + "a1a2" * 300)
    textgru.train(tmp_path / "text.txt", tmp_path / "run", tokenizer="char", seed=1, **SMALL)
    server = serve(tmp_path / "run")
    with browsers.page(browser, server.url) as page:
        page.goto(server.url)
        page.fill("#prompt", "a")
        set_up(page, max_tokens=2, temperature=0)
        page.click("#write")
        wait_for_end(page)
        page.locator(".text span[data-i]").nth(0).click()
        shown = page.locator("#alternatives button").all_text_contents()
    parts = [float(re.search(r"([\d.]+)%$", one[1:])[1]) for one in shown]
    assert {one[0] for one in shown} >= set("ax12")
    assert not shown[0][0].isdigit()
    assert parts == sorted(parts, reverse=True)


def test_the_keyboard_alone_is_enough(page):
    page.fill("#prompt", "The")
    set_up(page, max_tokens=20, temperature=0)
    page.focus("#prompt")
    page.keyboard.press("Control+Enter")
    wait_for_end(page)
    page.locator(".text span[tabindex='0']").focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "End", "Home", "ArrowRight"):
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.dataset.i") == "1"
    assert re.fullmatch(r".+, \d+\.\d bits", page.evaluate("document.activeElement.getAttribute('aria-label')"))
    page.keyboard.press("Enter")
    assert page.locator("#alternatives").is_visible()
    assert page.evaluate("document.activeElement.closest('#alternatives') !== null")
    page.keyboard.press("Escape")
    assert page.locator("#alternatives").is_hidden()
    assert page.evaluate("document.activeElement.dataset.i") == "1"


def test_surprise_is_a_colour_that_can_be_turned_off(page, runs):
    page.fill("#prompt", "The ferry xqz Ω")
    page.click("#score")
    wait_for_end(page)
    bits = textgru.load(runs["char"]).surprisals("The ferry xqz Ω").bits
    high = int(bits[1:].argmax()) + 1
    token = page.locator(".text span[data-i]").nth(high)
    plain = "rgba(0, 0, 0, 0)"
    assert token.evaluate("one => getComputedStyle(one).backgroundColor") != plain
    page.uncheck("#colours")
    assert token.evaluate("one => getComputedStyle(one).backgroundColor") == plain
    assert page.locator("#legend").is_hidden()


def test_copy(browser, serving):
    permissions = ["clipboard-read", "clipboard-write"]
    with browsers.page(browser, serving.url, permissions=permissions) as page:
        page.goto(serving.url)
        page.fill("#prompt", "The")
        set_up(page, max_tokens=10, seed=1)
        page.click("#write")
        wait_for_end(page)
        page.click("text=Copy")
        page.wait_for_selector("text=Copied")
        assert page.evaluate("navigator.clipboard.readText()") == written(page)


def test_light_and_dark(page, browser, serving):
    def paper(of):
        return of.evaluate("getComputedStyle(document.body).backgroundColor")

    light = paper(page)
    page.click("#theme")
    dark = paper(page)
    assert dark != light
    page.reload()
    assert paper(page) == dark, "the choice is kept"
    with browsers.page(browser, serving.url, color_scheme="dark") as other:
        other.goto(serving.url)
        assert paper(other) == dark, "as the system has it"


def test_errors_are_one_line(page):
    set_up(page, max_tokens=16384)
    page.fill("#prompt", "The")
    page.locator("#max_tokens").evaluate("one => one.removeAttribute('max')")
    set_up(page, max_tokens=99999)
    page.click("#write")
    page.wait_for_selector("#error:visible")
    assert "max_tokens: at most 20,000 here" in page.locator("#error").text_content()
    assert page.locator("#write").is_enabled()
    page.wrong[:] = [one for one in page.wrong if "400" not in one]  # the browser notes the answer's status


def test_a_key_is_asked_for(browser, runs, serve):
    server = serve(runs["char"], "--api-key", "secret")
    with browsers.page(browser, server.url) as page:
        page.goto(server.url)
        page.fill("#key", "wrong")
        page.keyboard.press("Enter")
        page.wait_for_selector("#error:visible")
        page.fill("#key", "secret")
        page.click("#key-use")
        until(page, "document.getElementById('model').options.length == 1")
        assert page.locator("#key-form").is_hidden()
        page.fill("#prompt", "The")
        page.click("#write")
        until(page, "document.querySelector('.text').textContent.length > 10")
        page.wrong[:] = [one for one in page.wrong if "401" not in one]


@pytest.mark.parametrize("width", [320, 360, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_can_be_read(browser, serving, width, scheme):
    size = {"width": width, "height": 800}
    with browsers.page(browser, serving.url, viewport=size, color_scheme=scheme) as page:
        page.goto(serving.url)
        page.fill("#prompt", "The " + "x" * 300)
        set_up(page, max_tokens=200, n=2, seed=1)
        page.click("#write")
        until(page, "document.querySelectorAll('.facts').length == 2")
        wait_for_end(page)
        page.locator(".text span[data-i]").nth(5).click()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing to scroll sideways"
        box = page.locator("#alternatives").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        nameless = page.evaluate(NAMELESS)
        assert nameless == []
        assert page.evaluate(CONTRAST) >= 4.5


NAMELESS = """() => [...document.querySelectorAll("button, input, select, textarea, [role=dialog], [role=group]")]
    .filter(one => one.offsetParent !== null)
    .filter(one => !(one.getAttribute("aria-label") || (one.labels && one.labels.length) || one.textContent.trim()))
    .map(one => one.outerHTML)"""

# The least contrast (WCAG 2.2, 1.4.3) of what is written, with the background that is really behind it.
CONTRAST = """() => {
    const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const light = (colour) => colour.slice(0, 3).map(c => linear(c / 255))
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (one) => {
        for (; one; one = one.parentElement) {
            const colour = parse(getComputedStyle(one).backgroundColor);
            if (colour.length < 4 || colour[3] > 0) return colour;
        }
        return [255, 255, 255];
    };
    let least = 21;
    for (const one of document.querySelectorAll("body *")) {
        if (one.offsetParent === null || one.matches(":disabled") || !one.textContent.trim()) continue;
        if (![...one.childNodes].some(node => node.nodeType === 3 && node.data.trim())) continue;
        const [a, b] = [light(parse(getComputedStyle(one).color)), light(behind(one))];
        least = Math.min(least, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
    }
    return least;
}"""
