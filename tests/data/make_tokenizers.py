"""Makes tokenizers/*.json, one small tokenizer of each family that is met elsewhere, trained by the tokenizers library,
and tokenizers/golden.json, the ids that it gives for some texts: `python -m tests.data.make_tokenizers`. (It trains
another one every time.)"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from tests.texts import MIXED, sentences

TEXT = sentences(8_000) + MIXED
MARK = "\u2581"
QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def _trained(backend: Tokenizer, trainer: Any) -> Tokenizer:
    backend.train_from_iterator(TEXT.splitlines(keepends=True), trainer)
    return backend


def gpt2() -> str:
    """Byte-level BPE as its own file has it: no use_regex, trim_offsets, empty prefixes, <|endoftext|>."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    _trained(backend, trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, show_progress=False))
    backend.add_special_tokens([AddedToken("<|endoftext|>", normalized=True)])
    settings = json.loads(backend.to_str())
    for part in ("pre_tokenizer", "post_processor", "decoder"):
        settings[part] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    settings["model"] |= {"continuing_subword_prefix": "", "end_of_word_suffix": ""}
    del settings["model"]["byte_fallback"], settings["model"]["ignore_merges"]
    return json.dumps(settings)


def roberta() -> str:
    """Byte-level BPE with a blank before the text."""
    settings = json.loads(gpt2())
    for part in ("pre_tokenizer", "decoder"):
        settings[part]["add_prefix_space"] = True
    return json.dumps(settings)


def qwen() -> str:
    """Byte-level BPE that is cut by a pattern of its own (Llama 3, Qwen)."""
    backend = Tokenizer(models.BPE(ignore_merges=True))
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    _trained(backend, trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, show_progress=False))
    backend.add_special_tokens(["<|begin_of_text|>", "<|endoftext|>"])
    backend.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 330)]),
        ]
    )
    return str(backend.to_str())


def bert() -> str:
    """WordPiece, lower case, [CLS] and [SEP] around."""
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    _trained(backend, trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False))
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    backend.enable_truncation(max_length=16)
    backend.enable_padding(length=16)
    return str(backend.to_str())


def unigram() -> str:
    """sentencepiece's Unigram, its unknown token named by its id (T5, ALBERT, XLNet)."""
    backend = Tokenizer(models.Unigram())
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    _trained(
        backend,
        trainers.UnigramTrainer(vocab_size=150, special_tokens=special, unk_token="<unk>", show_progress=False),
    )
    backend.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return str(backend.to_str())


def llama() -> str:
    """BPE over the whole text with blanks as marks, one before it, and bytes for what is unknown (Llama 1 and 2)."""
    backend = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    backend.normalizer = normalizers.Replace(" ", MARK)
    backend.pre_tokenizer = pre_tokenizers.Split(MARK, "merged_with_next")  # for the training only
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    backend.train_from_iterator(
        sentences(8_000).splitlines(),
        trainers.BpeTrainer(vocab_size=400, special_tokens=special, show_progress=False),
    )
    settings = json.loads(backend.to_str())
    settings["added_tokens"] = settings["added_tokens"][:3]
    settings["pre_tokenizer"] = None
    backend = Tokenizer.from_str(json.dumps(settings))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)])
    backend.decoder = decoders.Sequence(
        [decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return str(backend.to_str())


def words() -> str:
    """WordLevel with an unknown token."""
    backend = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    backend.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()])
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return str(
        _trained(
            backend, trainers.WordLevelTrainer(special_tokens=["[UNK]"], vocab_size=60, show_progress=False)
        ).to_str()
    )


def words_only() -> str:
    """WordLevel without an unknown token."""
    words = "the ferry crossed river while old tam told nell about bread rope tin tar wool and light".split()
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return str(backend.to_str())


def suffixed() -> str:
    """BPE whose tokens at the end of a word have a suffix (GPT-1), with dropout left on."""
    backend = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>", dropout=0.5))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.BPEDecoder()
    trainer = trainers.BpeTrainer(
        vocab_size=200, special_tokens=["<unk>"], end_of_word_suffix="</w>", show_progress=False
    )
    return str(_trained(backend, trainer).to_str())


FAMILIES: dict[str, Callable[[], str]] = {
    family.__name__: family for family in (gpt2, roberta, qwen, bert, unigram, llama, words, words_only, suffixed)
}

FOLDER = Path(__file__).parent / "tokenizers"
TEXTS = [
    "",
    "The ferry",
    " The ferry crossed the river.\n\n And  told:\tlight!  ",
    MIXED,
    "<s>[SEP]</s> <unk> [UNK] <0x41><|endoftext|> [MASK]",
]
KNOWN_WORDS = ["", "the ferry", " the ferry crossed\n\n river  and\ttold  light  "]  # for words_only


def golden(text: str, texts: list[str]) -> list[list[int]]:
    """The library's ids of the texts alone: no tokens added, nothing cut, no chance, special tokens as any others."""
    backend = Tokenizer.from_str(text)
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = True
    if isinstance(backend.model, models.BPE):
        backend.model.dropout = None
    return [encoding.ids for encoding in backend.encode_batch(texts, add_special_tokens=False)]


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    expected = {}
    for name, family in FAMILIES.items():
        text = json.dumps(json.loads(family()), separators=(",", ":"), ensure_ascii=False)
        (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        texts = KNOWN_WORDS if name == "words_only" else TEXTS
        expected[name] = list(zip(texts, golden(text, texts), strict=True))
    (FOLDER / "golden.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
