"""The tokenizer: words to ids and back, with the ids of the Keras `Tokenizer` that the original used."""

import hashlib
import json
import pickle
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from core import disk, pickles
from core.errors import InputError

LONGEST = 10_000  # the largest maximum length that a file may claim, in words
START, END = "startseq", "endseq"
ENDS = (  # what others call them, in lower case; the first pair that a vocabulary has is taken
    (START, END),
    *((f"<{start}>", f"<{end}>") for start, end in (("start", "end"), ("s", "/s"), ("bos", "eos"), ("sos", "eos"))),
    *(("startofseq", "endofseq"), ("bos", "eos"), ("sos", "eos"), ("start", "end")),  # as Keras' filters leave them
)
FILTERS = str.maketrans(dict.fromkeys('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n', " "))


def wrap(description: str) -> str:
    """Return the description between the start and the end token."""
    return f"{START} {description} {END}"


def split_words(text: str) -> list[str]:
    """Split a text as Keras' `text_to_word_sequence` does: lower case, punctuation but the apostrophe dropped, cut at spaces."""
    return text.lower().translate(FILTERS).split()


@dataclass(frozen=True)
class Tokenizer:
    """The word index (ids from 1, by falling frequency, ties in order of appearance; 0 pads) and the maximum length in words.

    The maximum length counts the start and end tokens; it is None where a drop-in file does not hold it.
    """

    word_index: dict[str, int]
    maximum_length: int | None

    @classmethod
    def fit(cls, descriptions: Iterable[str], minimum_count: int = 1) -> "Tokenizer":
        """Return the tokenizer of wrapped descriptions, with the ids that `keras.preprocessing.text.Tokenizer` gives them.

        :param minimum_count: how often a word is there at least; others are left out.
        """
        descriptions = list(descriptions)
        counts = Counter(word for description in descriptions for word in split_words(description))
        frequent = [word for word, count in counts.items() if count >= minimum_count]
        by_frequency = sorted(frequent, key=counts.get, reverse=True)
        longest = max((len(description.split()) for description in descriptions), default=0)
        return cls({word: number for number, word in enumerate(by_frequency, start=1)}, longest)

    @property
    def vocabulary_size(self) -> int:
        """The number of ids, with 0."""
        return len(self.word_index) + 1

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The word of each id; that of 0 is empty."""
        return ("", *sorted(self.word_index, key=self.word_index.get))

    def fingerprint(self) -> str:
        """Return a digest of the words in the order of their ids."""
        return hashlib.sha256("\n".join(self.words).encode()).hexdigest()[:16]

    def encode(self, text: str) -> list[int]:
        """Return the ids of the text's words; words outside the vocabulary are dropped, as Keras does."""
        return [self.word_index[word] for word in split_words(text) if word in self.word_index]

    def content(self) -> dict[str, Any]:
        """Return what a file keeps of it."""
        return {"word_index": self.word_index, "maximum_length": self.maximum_length}


def write_tokenizer(path: Path, tokenizer: Tokenizer) -> None:
    """Write the word index and the maximum length as a pickle of builtins."""
    disk.write_bytes(path, pickle.dumps(tokenizer.content(), protocol=4))


def read_tokenizer(path: Path) -> Tokenizer:
    """Return the tokenizer of a file: ours; a Keras `Tokenizer`, pickled or as JSON; or a dictionary of words and ids, either way round.

    Other start and end words become ours. Only our files hold the maximum length.

    :raises InputError: the file is missing, names something that data never needs, or holds no word index.
    """
    data = disk.read_bytes(path)
    json_text = data.lstrip()[:1] in (b"{", b'"')
    return check_tokenizer(
        _with_our_ends(_plain(disk.read_json(path) if json_text else pickles.read(path)), path), path
    )


def _plain(value: Any) -> dict[str, Any]:
    """Return the word index and the maximum length of whatever form, or something that `check_tokenizer` refuses."""
    value = _from_json(value)  # which people also write as a text within JSON
    if not isinstance(value, dict):
        return {}
    if isinstance(value.get("config"), dict):  # Keras' `to_json`
        value = value["config"]
    if "word_index" not in value:
        words = [(word, number) for word, number in value.items() if isinstance(word, str)]
        numbers = [(word, _whole(number)) for number, word in value.items() if isinstance(word, str)]
        value = {"word_index": dict(numbers if len(numbers) > len(words) / 2 else words)}
    index = _from_json(value["word_index"])
    if isinstance(index, dict):  # 0 pads, whatever it is called
        index = {word: number for word, number in index.items() if type(number) is not int or number}
    return {**value, "word_index": index}


def _from_json(value: Any) -> Any:
    """Return what a text holds as JSON; any other value as it is."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return None


def _whole(number: Any) -> Any:
    return int(number) if isinstance(number, str) and number.isdecimal() and len(number) < 10 else number


def _with_our_ends(value: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return a word index whose start and end words are ours, and say what they and the word for unknown ones were."""
    index = value.get("word_index")
    if not isinstance(index, dict) or not all(isinstance(word, str) for word in index):
        return value
    lower = {word.lower(): word for word in index}
    start, end = next((pair for pair in ENDS if lower.keys() >= {*pair}), (START, END))
    theirs = {lower.get(start, start): START, lower.get(end, end): END}
    if [*theirs] != [START, END]:
        print(f"{path}: its start and end words are {' and '.join(theirs)}, here {START} and {END}")
    if unknown := value.get("oov_token"):
        print(f"{path}: {unknown} stands for words that it does not know")
    return {**value, "word_index": {theirs.get(word, word): number for word, number in index.items()}}


def check_tokenizer(value: Any, path: Path) -> Tokenizer:
    """Return the tokenizer of a value that the file `path` holds.

    :raises InputError: it is none.
    """
    value = value if isinstance(value, dict) else {}
    index, length = value.get("word_index"), value.get("maximum_length")
    numbers = list(index.values()) if isinstance(index, dict) else [None]
    fits = all(isinstance(number, int) for number in numbers) and all(isinstance(word, str) for word in index)
    fits = fits and {START, END} <= index.keys() and sorted(numbers) == list(range(1, len(numbers) + 1))
    if not fits or not (length is None or (isinstance(length, int) and 1 <= length <= LONGEST)):
        raise InputError(
            f"expected a tokenizer (words numbered from 1, {START} and {END} among them, for descriptions of 1 to {LONGEST:,} words) "
            f"in {path}, found something else; run 4_tokenizer.py"
        )
    return Tokenizer(index, length)
