"""Small texts for tests."""

import random

WORDS = "the ferry crossed river while old tam told nell about bread rope tin tar wool and light the".split()


def sentences(characters: int, seed: int = 0) -> str:
    """`characters` characters of made-up English lines, with something to learn in them."""
    rng = random.Random(seed)
    text = ""
    while len(text) < characters:
        line = " ".join(rng.choice(WORDS) for _ in range(rng.randint(4, 9)))
        text += line.capitalize() + ".\n"
    return text[:characters]


MIXED = "Zoë said: «naïve café» 日本語 🙂🏽 e\u0301 \u200d\t\r\x00 ½ Ω\n\n  two  spaces \ufeff end"
