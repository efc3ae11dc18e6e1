"""How fast the page with the model inside writes in headless Chromium: tokens a second, with their alternatives.

    python -m benchmarks.browser [--hidden N] [--layers N] [--tokens N] [--rounds N]

The model is new: 65 characters. Needs playwright and Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

from benchmarks.common import print_table
from benchmarks.serve import ALPHABET
from textgru.exchange.html import page_with_model
from textgru.language_model import LanguageModel
from textgru.model.config import NetworkConfig
from textgru.model.network import Network
from textgru.text.tokenizer import Tokenizer

CODE = """async ([tokens]) => {
    const at = (id) => document.getElementById(id);
    at("settings").open = true;
    at("max_tokens").value = tokens;
    at("prompt").value = "the ";
    const began = performance.now();
    at("write").click();
    const facts = () => document.querySelector(".facts").textContent;
    while (!at("stop").disabled || !facts()) await new Promise(go => setTimeout(go, 2));
    return (performance.now() - began) / 1000;
}"""


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    tokenizer = Tokenizer.train("char", lambda: [ALPHABET])
    network = Network(NetworkConfig(tokenizer.vocab_size, 64, arguments.hidden, arguments.layers), seed=1)
    content = page_with_model(LanguageModel(network, tokenizer), "model")
    weights = sum(array.size for name, array in network.named_parameters().items() if "weight" in name)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder, "page.html")
        file.write_bytes(content)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(file.as_uri())
        page.wait_for_selector("#about", state="attached")
        rates = [arguments.tokens / page.evaluate(CODE, [arguments.tokens]) for _ in range(arguments.rounds)]
        browser.close()
    print_table(
        [
            ["units", "layers", "tokens/s", "int8 weights, bytes", "file, bytes"],
            [
                f"{arguments.hidden}", f"{arguments.layers}", f"{statistics.median(rates):,.0f}", f"{weights:,}",
                f"{len(content):,}",
            ],
        ]
    )  # fmt: skip


if __name__ == "__main__":
    main()
