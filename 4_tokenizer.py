"""Step 4: give each word of the train descriptions a number.

    python 4_tokenizer.py --descriptions descriptions.txt --out tokenizer.pkl

Reads descriptions.txt and the train list. Writes tokenizer.pkl: the number of each word, from 1 by falling frequency (those of the Keras
`Tokenizer`), and the length of the longest description in words, with the start and the end token.
"""

from dataclasses import dataclass
from pathlib import Path

from captioning import checks
from captioning.captions import read_descriptions
from captioning.tokenizer import Tokenizer, wrap, write_tokenizer
from core import settings


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    descriptions: Path = Path("descriptions.txt")
    """Cleaned captions of at least the train photographs, from step 1."""
    train_images: Path = Path("Flickr8k_text/Flickr_8k.trainImages.txt")
    """List of the photographs whose words count."""
    out: Path = Path("tokenizer.pkl")
    """File to write."""


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    train = checks.described(read_descriptions(config.descriptions), config.train_images)
    tokenizer = Tokenizer.fit(wrap(text) for texts in train.values() for text in texts)
    write_tokenizer(config.out, tokenizer)
    print(f"wrote {config.out}: {len(tokenizer.word_index):,} words, maximum length {tokenizer.maximum_length}")


if __name__ == "__main__":
    settings.run(main)
