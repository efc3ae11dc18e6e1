"""The page with the model inside, in a real browser, from the disk."""

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import textgru
from tests import browser as browsers
from tests.texts import MIXED, sentences
from textgru.cli import main
from textgru.core import Session, get_num_threads, set_num_threads, simd
from textgru.errors import InputError
from textgru.exchange import html
from textgru.generation.sampling import Sampling
from textgru.language_model import LanguageModel
from textgru.model.config import NetworkConfig
from textgru.model.network import Network
from textgru.text.tokenizer import Tokenizer

BROWSER = Path(html.__file__).parent / "browser"
TEXT = sentences(12_000) + 'Zoë said: "naïve café", 日本語 🙂🏽!\n' * 20
MODELS = {
    "char": ({}, {"hidden_size": 48}),
    "byte": ({"tokenizer": "byte"}, {"hidden_size": 40, "cell": "lstm", "num_layers": 2}),
    "bpe": ({"tokenizer": "bpe", "vocab_size": 400}, {"hidden_size": 33, "tie_weights": True, "embedding_size": 33}),
    "large": ({"tokenizer": "bpe", "vocab_size": 1100}, {"hidden_size": 32, "cell": "rnn", "num_layers": 2}),
    "documents": ({"separate_documents": True}, {"hidden_size": 24}),
}


@pytest.fixture(scope="module")
def browser():
    with browsers.chromium() as found:
        yield found


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Name -> an int8 run and its page."""
    folder = tmp_path_factory.mktemp("html")
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    found = {}
    threads = get_num_threads()
    set_num_threads(1)  # two that wait for each other 150 times take long where others want the CPUs
    for name, (settings, network) in MODELS.items():
        settings = {
            "max_steps": 150,
            "optimizer": "adamw",
            "batch_size": 16,
            "seq_length": 32,
            "seed": 1,
            "cache": False,
            **settings,
            **network,
        }
        model = textgru.train(folder / "text.txt", folder / f"{name}-fp32", **settings)
        model.save(folder / name, precision="int8")
        arguments = ["export", str(folder / name), "--to", "html", "--title", f"The {name}", "--about", "Of sentences."]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
        found[name] = folder / name, folder / f"{name}.html"
    set_num_threads(threads)
    return found


def open_page(page, file, kind="char"):
    page.goto(file.as_uri())
    page.locator("#settings").evaluate("one => one.open = true")


def write(page, prompt, **settings):
    page.fill("#prompt", prompt)
    for name, value in settings.items():
        page.fill(f"#{name}", str(value))
    page.click("#write")
    while not page.evaluate("document.getElementById('stop').disabled && document.querySelector('.facts').textContent"):
        page.wait_for_timeout(20)
    return page.locator(".text").evaluate_all("all => all.map(one => one.textContent)")


@pytest.mark.browser
@pytest.mark.parametrize("name", MODELS)
def test_greedy_text_is_that_of_the_command_line(browser, made, name):
    run, file = made[name]
    with browsers.page(browser, file.parent.as_uri()) as page:
        open_page(page, file)
        for prompt in ("The ferry", ""):
            expected = textgru.load(run).generate(prompt, length=500, temperature=0)
            assert write(page, prompt, max_tokens=500, temperature=0) == [expected]


def engine(file):
    """The page's script without the page."""
    code = re.search(r'<script type="module">(.*)</script>', file.read_text(encoding="utf-8"), re.S)[1]
    return code.partition("// The page: what is asked for")[0]


@pytest.mark.browser
@pytest.mark.parametrize("name", MODELS)
def test_scores_are_those_of_a_session(browser, made, name):
    """To the bit where the CPU multiplies and adds in one instruction, as the engine does."""
    run, file = made[name]
    ids = textgru.load(run).tokenizer.encode(TEXT[-400:])[:250].tolist()
    with browsers.page(browser, file.parent.as_uri()) as page:
        page.goto(file.as_uri())
        scores = np.array(page.evaluate(SCORES, [engine(file), ids]), np.float32)
    for instructions in simd.supported_instruction_sets():
        simd.set_instruction_set(instructions)
        session, expected = Session(textgru.load(run).packed()), []
        for token in ids:
            session.step(token)
            expected.append(np.array(session.logits)[0])
        if instructions == "baseline":
            np.testing.assert_allclose(scores, expected, atol=0.05)
        else:
            np.testing.assert_array_equal(scores, expected)


SCORES = """async ([code, ids]) => {
    const { network } = await new Function(code + "; return loaded();")();
    const state = network.zeroState();
    return ids.map(id => Array.from(network.step(id, state)));
}"""


@pytest.mark.browser
@pytest.mark.parametrize("name", ["char", "documents"])
def test_a_penalty_counts_what_stands_before_the_text(browser, made, name):
    run, file = made[name]
    with browsers.page(browser, file.parent.as_uri()) as page:
        open_page(page, file)
        for prompt in ("The ferry", ""):
            expected = textgru.load(run).generate(prompt, length=100, temperature=0, repetition_penalty=1.3)
            assert write(page, prompt, max_tokens=100, temperature=0, repetition_penalty=1.3) == [expected]


@pytest.mark.browser
def test_it_draws_with_controls_and_seeds(browser, made):
    with browsers.page(browser, made["char"][1].parent.as_uri()) as page:
        open_page(page, made["char"][1])
        settings = {"max_tokens": 120, "temperature": 1.2, "seed": 5, "n": 3}
        first = write(page, "The", **settings)
        assert len(set(first)) == 3
        assert write(page, "The", **settings) == first
        assert write(page, "The", **{**settings, "n": 1}) == first[:1]
        assert write(page, "The", **{**settings, "seed": 6}) != first
        greedy = write(page, "The", **{**settings, "n": 1, "temperature": 0})
        for narrow in ({"top_k": 1}, {"top_p": 0.01}, {"min_p": 1}):
            assert write(page, "The", **{**settings, "n": 1, **narrow}) == greedy
            page.evaluate("for (const id of ['top_k', 'top_p', 'min_p']) document.getElementById(id).value = ''")
        stopped = write(page, "The", **{**settings, "n": 1, "stop_text": "e"})[0]
        assert "e" not in stopped[3:]
        assert first[0].startswith(stopped)


@pytest.mark.browser
def test_it_draws_from_the_models_distribution(browser, made):
    """4,000 characters after "The": their shares are the probabilities, within 5 standard errors."""
    run, file = made["char"]
    model = textgru.load(run)
    with browsers.page(browser, file.parent.as_uri()) as page:
        open_page(page, file)
        page.wait_for_selector("#title:text('The char')")
        counted = page.evaluate(COUNT, engine(file))
    session, ids = Session(model.packed()), model.tokenizer.encode("The")
    session.read(ids[:-1])
    session.step(int(ids[-1]))
    sampling = Sampling(1.3, top_p=0.9, min_p=0.02, repetition_penalty=1.2)
    sampler = sampling.sampler(model.tokenizer.vocab_size, never=0)
    sampler.read(ids)
    expected = sampler.probabilities(np.array(session.logits))[0]
    n = sum(counted)
    for share, probability in zip(np.array(counted) / n, expected, strict=True):
        assert abs(share - probability) <= 5 * np.sqrt(probability * (1 - probability) / n) + 1e-9


COUNT = """async (code) => {
    const made = new Function(code + "; return loaded().then(one => ({...one, draw, Random}));");
    const { network, tokenizer, draw, Random } = await made();
    const state = network.zeroState();
    const ids = tokenizer.encode("The");
    let scores;
    for (const id of ids) scores = network.step(id, state).slice();
    const counts = new Array(network.V).fill(0);
    const random = new Random(1);
    const controls = {temperature: 1.3, top_p: 0.9, min_p: 0.02, repetition_penalty: 1.2};
    for (let i = 0; i < 4000; i++) counts[draw(scores.slice(), controls, ids, random, 0)]++;
    return counts;
}"""


@pytest.mark.browser
def test_scores_and_other_tokens(browser, made):
    run, file = made["char"]
    bits = textgru.load(run).surprisals("The ferry Ω xq").bits[1:]
    with browsers.page(browser, file.parent.as_uri()) as page:
        open_page(page, file)
        page.fill("#prompt", "The ferry Ω xq")
        page.click("#score")
        page.wait_for_selector(".facts:not(:empty)")
        shown = []
        for i in range(1, len(bits) + 1):
            page.locator(".text span[data-i]").nth(i).click()
            shown.append(float(re.search(r"([\d.]+) bits", page.locator("#alternatives p").text_content())[1]))
        assert shown == pytest.approx(bits.tolist(), abs=0.051)
        page.locator("#alternatives button").first.click()
        page.wait_for_selector(".sample:not(.writing)")


@pytest.mark.browser
def test_what_others_wrote_is_text(browser, made, tmp_path):
    hostile = '</title></script><script>document.title="broken"</script><img src=x onerror=alert(1)>&amp;"\'\u2028<!--'
    out = tmp_path / "hostile.html"
    arguments = ["export", str(made["char"][0]), "--to", "html", "-o", str(out)]
    for name in ("--title", "--about", "--licence"):
        arguments += [name, hostile]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    with browsers.page(browser, tmp_path.as_uri()) as page:
        page.goto(out.as_uri())
        page.wait_for_selector("#about:visible")
        assert page.title().replace("\u2028", " ").split() == hostile.replace("\u2028", " ").split()
        assert page.locator("#title").text_content() == hostile
        assert page.locator("#about").text_content() == f"{hostile}\nLicence: {hostile}"
        assert page.locator("img").count() == 0
        page.locator("#settings").evaluate("one => one.open = true")
        assert len(write(page, "The", max_tokens=20)[0]) == 23


def test_titles_that_are_no_unicode(made, tmp_path):
    """As the command line hands over bytes that are no UTF-8."""
    out = tmp_path / "page.html"
    arguments = ["export", str(made["char"][0]), "--to", "html", "-o", str(out), "--title", "a\udcff"]
    result = CliRunner().invoke(main, [*arguments, "--about", "\udcfe"])
    assert result.exit_code == 0, result.output
    assert "<title>a\ufffd</title>" in out.read_text(encoding="utf-8")


def test_the_page_is_small(tmp_path):
    alphabet = [chr(c) for c in range(32, 97)]
    tokenizer = Tokenizer.train("char", lambda: alphabet)
    network = Network(NetworkConfig(tokenizer.vocab_size, 64, 512, 1), seed=1)
    weights = sum(array.size for name, array in network.named_parameters().items() if "weight" in name)
    page = html.page_with_model(LanguageModel(network, tokenizer), "x")
    assert len(page) <= 1.5 * weights + 100_000


def test_a_tokenizer_that_the_page_lacks_is_refused(tmp_path):
    import tokenizers

    backend = tokenizers.Tokenizer(tokenizers.models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    tokenizer = Tokenizer.from_json(backend.to_str())
    model = LanguageModel(Network(NetworkConfig(2, 4, 8, 1), seed=1), tokenizer)
    with pytest.raises(InputError, match="custom tokenizer has no counterpart"):
        html.page_with_model(model, "x")


def test_nothing_is_replaced_unless_asked(made):
    run, file = made["char"]
    before = file.read_bytes()
    result = CliRunner().invoke(main, ["export", str(run), "--to", "html"])
    assert result.exit_code == 2
    assert "exists" in result.stderr
    assert file.read_bytes() == before
    assert CliRunner().invoke(main, ["export", str(run), "--to", "html", "-o", str(run)]).exit_code == 2


def test_the_kernel_is_that_of_its_source(tmp_path):
    """By their hashes, written down when it was compiled (sha256sum kernels.c kernels.wasm > kernels.sha256); where
    there is the same compiler, by compiling it again."""
    for line in (BROWSER / "kernels.sha256").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((BROWSER / name).read_bytes()).hexdigest() == digest
    source = (BROWSER / "kernels.c").read_text()
    if shutil.which("clang") is None or shutil.which("wasm-ld") is None:
        return
    command = re.search(r"clang .*?kernels\.c", source, re.S)[0].replace("\\\n", " ").split()
    command[command.index("kernels.wasm")] = str(tmp_path / "kernels.wasm")
    subprocess.run(command, cwd=BROWSER, check=True, timeout=60)
    version = subprocess.run(["clang", "--version"], capture_output=True, text=True, check=True).stdout
    if " 14." in version:
        assert (tmp_path / "kernels.wasm").read_bytes() == (BROWSER / "kernels.wasm").read_bytes()


ODD = [
    MIXED,
    "it's they'll I'VE 12three  four\n\n\tfive ",
    "é" * 50,
    "",
    " ",
    "don't\r\nstop",
    "\u0085\u2003x\ufeffy",
    "a" * 5000,
]


@pytest.mark.browser
@pytest.mark.parametrize("name", ["char", "byte", "bpe", "large"])
def test_the_tokenizers_are_those_of_python(browser, made, name):
    run, file = made[name]
    tokenizer = textgru.load(run).tokenizer
    texts = [*ODD, TEXT[-3000:], "".join(chr(c) for c in range(32, 0x500)), "".join(map(chr, range(0x2000, 0x2100)))]
    with browsers.page(browser, file.parent.as_uri()) as page:
        open_page(page, file)
        found = page.evaluate(ENCODE, [engine(file), texts])
    for text, (ids, again, singly) in zip(texts, found, strict=True):
        expected = tokenizer.encode(text)
        assert ids == expected.tolist(), text[:50]
        assert again == tokenizer.decode(expected)
        assert singly == [tokenizer.decode([token]) for token in ids[:100]]  # some are parts of a character


@pytest.mark.browser
@pytest.mark.parametrize("changed", ["whole words", "no words"])
def test_a_byte_level_tokenizer_from_elsewhere(browser, made, tmp_path, changed):
    """One whose tokens needn't be merged, and one whose tokens reach over spaces."""
    settings = json.loads(textgru.load(made["bpe"][0]).tokenizer.to_json())
    if changed == "whole words":
        settings["model"]["ignore_merges"] = True
        settings["model"]["vocab"]["Xyzzy"] = len(settings["model"]["vocab"])
    else:
        settings["pre_tokenizer"]["use_regex"] = False
    tokenizer = Tokenizer.from_json(json.dumps(settings))
    assert tokenizer.kind == "bpe"
    file = tmp_path / "page.html"
    network = Network(NetworkConfig(tokenizer.vocab_size, 4, 8, 1), seed=1)
    file.write_bytes(html.page_with_model(LanguageModel(network, tokenizer), "x"))
    texts = [*ODD, "Xyzzy, Xyzzy and Xyz", TEXT[:6000]]
    with browsers.page(browser, tmp_path.as_uri()) as page:
        page.goto(file.as_uri())
        found = page.evaluate(ENCODE, [engine(file), texts])
    for text, (ids, again, _) in zip(texts, found, strict=True):
        assert ids == tokenizer.encode(text).tolist(), text[:50]
        assert again == text


ENCODE = """async ([code, texts]) => {
    const { tokenizer } = await new Function(code + "; return loaded();")();
    return texts.map(text => {
        const ids = tokenizer.encode(text);
        return [ids, tokenizer.decode(ids), ids.slice(0, 100).map(id => tokenizer.decode([id]))];
    });
}"""
