"""Vocabularies that people have: every word keeps its id, and the start and the end are found."""

import json
import pickle

import pytest
from keras.src.legacy.preprocessing.text import Tokenizer as KerasTokenizer

from captioning.tokenizer import read_tokenizer
from core.errors import InputError

WORDS = {"startseq": 1, "endseq": 2, "river": 3, "boat": 4}
IDS = {number: word for word, number in WORDS.items()}


def fitted(start: str, end: str, **how: object) -> KerasTokenizer:
    tokenizer = KerasTokenizer(**how)
    tokenizer.fit_on_texts([f"{start} river boat {end}", f"{start} river {end}", f"{start} {end}"])
    return tokenizer


FILES = {
    "wordtoix.pkl": pickle.dumps(WORDS),
    "ixtoword.pkl": pickle.dumps(IDS),
    "words.json": json.dumps(WORDS).encode(),
    "ids.json": json.dumps(IDS).encode(),
    "with a pad": json.dumps({"<pad>": 0} | WORDS).encode(),
    "ids with a pad": pickle.dumps({0: "<pad>"} | IDS),
    "a text in JSON": json.dumps(json.dumps(WORDS)).encode(),
}


@pytest.mark.parametrize("name", FILES)
def test_words_and_ids_either_way_round(name, tmp_path, capsys):
    (tmp_path / name).write_bytes(FILES[name])
    found = read_tokenizer(tmp_path / name)
    assert found.word_index == WORDS and found.maximum_length is None and not capsys.readouterr().out


@pytest.mark.parametrize(
    "ends", [("startseq", "endseq"), ("<start>", "<end>"), ("<s>", "</s>"), ("<BOS>", "<EOS>"), ("start", "end")]
)
@pytest.mark.parametrize("unknown", [None, "<unk>"])
@pytest.mark.parametrize("kind", ["JSON", "a text in JSON", "pickle"])
def test_keras_tokenizers(kind, unknown, ends, tmp_path, capsys):
    theirs = fitted(*ends, filters="", oov_token=unknown, lower=False)
    text = theirs.to_json()
    content = {"JSON": text.encode(), "a text in JSON": json.dumps(text).encode(), "pickle": pickle.dumps(theirs)}[kind]
    (tmp_path / "tokenizer").write_bytes(content)
    found, printed = read_tokenizer(tmp_path / "tokenizer"), capsys.readouterr().out
    ours = dict(zip(ends, ("startseq", "endseq"), strict=True))
    assert found.word_index == {ours.get(word, word): number for word, number in theirs.word_index.items()}
    assert ("start and end words are" in printed) == (ends[0] != "startseq")
    assert ("<unk> stands for words that it does not know" in printed) == (unknown is not None)


@pytest.mark.parametrize("words", [{"river": 1, "boat": 2}, {"startseq": 0, "endseq": 1}, {"startseq": 1, "endseq": 3}])
def test_others_are_refused(words, tmp_path):
    (tmp_path / "wordtoix.pkl").write_bytes(pickle.dumps(words))
    with pytest.raises(InputError, match=r"expected a tokenizer .* in .*wordtoix\.pkl"):
        read_tokenizer(tmp_path / "wordtoix.pkl")
