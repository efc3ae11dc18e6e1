"""Takes the picture of the page for the docs, from a run: serves it, writes a text, opens the alternatives of a token.

    python tools/page_picture.py RUN [--out docs/page.png] [--width 1200] [--scheme light] [--prompt TEXT] [--seed N]

Needs the test extra and Chromium.
"""

import argparse
import shutil
import subprocess
import sys


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--out", default="docs/page.png")
    parser.add_argument("--width", type=int, default=1200)
    parser.add_argument("--height", type=int, default=800)
    parser.add_argument("--scheme", choices=["light", "dark"], default="light")
    parser.add_argument("--prompt", default="The ferry ")
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    from playwright.sync_api import sync_playwright

    command = [sys.executable, "-m", "textgru", "serve", wanted.run, "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        url = next(line.split()[1] for line in server.stdout if line.startswith("listening"))
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            size = {"width": wanted.width, "height": wanted.height}
            page = browser.new_page(viewport=size, color_scheme=wanted.scheme)
            page.goto(url)
            page.fill("#prompt", wanted.prompt)
            page.locator("#settings").evaluate("one => one.open = true")
            for name, value in {"seed": wanted.seed, "n": 2, "max_tokens": 320, "temperature": 0.7}.items():
                page.fill(f"#{name}", str(value))
            page.locator("#settings").evaluate("one => one.open = false")
            page.click("#write")
            page.wait_for_selector(".facts:not(:empty) >> nth=1")
            page.locator(".text span[data-i]").nth(40).click()
            page.evaluate("scrollTo(0, 0)")
            page.screenshot(path=wanted.out)
            browser.close()
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
