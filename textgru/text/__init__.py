"""Files to token ids: which files, decoding, tokenizers, encoding in bounded memory, the cache, the corpus."""

# Each makes itself known to Tokenizer; the one for all tokenizers from elsewhere comes last.
from textgru.text import byte_level_tokenizer, char_tokenizer, custom_tokenizer

__all__ = ["byte_level_tokenizer", "char_tokenizer", "custom_tokenizer"]
