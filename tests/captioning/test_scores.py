"""Protocols, floor, ceiling, intervals and the report, against slow definitions and numbers by hand."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from nltk.translate.bleu_score import corpus_bleu

from captioning import report
from captioning.cleaning import clean
from captioning.metrics import scores
from captioning.metrics.scores import CLEANED, SEED, SEED_WEIGHTS, STANDARD, Judge
from captioning.metrics.text import Text
from captioning.tokenizer import wrap

FIXTURE = json.loads(Path(__file__).with_name("metrics_fixture.json").read_text())["photographs"]
PEOPLE = {image: photograph["references"] for image, photograph in FIXTURE.items()}
CAPTIONS = {image: photograph["candidate"] for image, photograph in FIXTURE.items()}
CANDIDATES = list(map(Text, CAPTIONS.values()))
REFERENCES = [list(map(Text, texts)) for texts in PEOPLE.values()]


def by_nltk(candidates, references):
    with warnings.catch_warnings(action="ignore"):
        return corpus_bleu([[text.split() for text in texts] for texts in references],
                           [text.split() for text in candidates], SEED_WEIGHTS)  # fmt: skip


def test_seed_is_nltk_on_cleaned_captions_with_their_tokens_where_they_ended():
    image, *_ = CAPTIONS
    made = report.make(CAPTIONS, PEOPLE, PEOPLE, None, {image})["protocols"]
    tokens = [wrap(clean(caption)) for caption in CAPTIONS.values()]
    tokens[0] = tokens[0].removesuffix(" endseq")
    people = [[wrap(clean(text)) for text in texts] for texts in PEOPLE.values()]
    assert list(made["seed"]["system"].values()) == pytest.approx(by_nltk(tokens, people), abs=1e-6)
    assert "standard" not in made


def test_the_floor_is_the_best_of_the_most_frequent_train_descriptions():
    texts = [text for texts in PEOPLE.values() for text in texts]
    frequent = sorted(dict.fromkeys(texts), key=texts.count, reverse=True)[:30]
    people = [list(map(wrap, texts)) for texts in PEOPLE.values()]
    bleu_4 = [by_nltk([wrap(text)] * len(people), people)[3] for text in frequent]
    assert scores.best_constant(PEOPLE, choices=30) == frequent[int(np.argmax(bleu_4))]


def test_totals_are_sums_of_the_photographs_statistics():
    constants = [Text(wrap(text)) for text in ("a dog", "a dog a dog runs a a", "the boy plays under a tree")]
    judge = Judge(SEED, [[Text(wrap(text)) for text in texts] for texts in PEOPLE.values()])
    expected = [judge.rows([constant] * len(PEOPLE)).sum(axis=0) for constant in constants]
    assert scores._totals(constants, PEOPLE) == pytest.approx(np.array(expected))


def test_the_ceiling_is_each_reference_against_the_others():
    lines = scores.evaluate(CLEANED, CANDIDATES, REFERENCES, Text("a dog"))
    rounds = [Judge(CLEANED, [texts[:out] + texts[out + 1 :] for texts in REFERENCES]) for out in range(5)]
    person = np.mean([judge.score([texts[out] for texts in REFERENCES]) for out, judge in enumerate(rounds)], axis=0)
    system = np.mean([judge.score(CANDIDATES) for judge in rounds], axis=0)
    assert list(lines["person"].values()) == pytest.approx(person, abs=1e-6)
    assert list(lines["system among persons"].values()) == pytest.approx(system, abs=1e-6)
    assert lines["system among persons"]["BLEU-1"] < lines["system"]["BLEU-1"]  # with fewer references


def test_one_reference_has_no_ceiling():
    assert "person" not in scores.evaluate(CLEANED, CANDIDATES, [texts[:1] for texts in REFERENCES], Text("a dog"))


def test_intervals_hold_the_score_and_shrink_with_more_photographs():
    few = scores.evaluate(CLEANED, CANDIDATES, REFERENCES, Text("a"))
    many = scores.evaluate(CLEANED, CANDIDATES * 4, REFERENCES * 4, Text("a"))
    for metric, value in few["system"].items():
        low, high = few["interval"][metric]
        assert low < value < high
        wide, narrow = high - low, np.subtract(*many["interval"][metric][::-1])
        assert narrow == pytest.approx(wide / 2, rel=0.15)  # 4 times the photographs


def test_an_interval_is_that_of_resampled_photographs():
    rows = Judge(CLEANED, REFERENCES).rows(CANDIDATES)
    random = np.random.default_rng(1)
    means = [rows[random.integers(len(rows), size=len(rows)), 11].mean() for _ in range(2000)]
    interval = scores.evaluate(CLEANED, CANDIDATES, REFERENCES, Text("a"))["interval"]["CIDEr-D"]
    assert interval == pytest.approx(np.percentile(means, (2.5, 97.5)), abs=0.1)


def test_paired_differences_are_narrower_than_the_systems_intervals():
    worse = [Text(" ".join(candidate.words[:-1])) for candidate in CANDIDATES]
    judge = Judge(CLEANED, REFERENCES)
    runs, others = [judge.rows(CANDIDATES)], [judge.rows(worse)]
    found = scores.compare(judge, runs, others)
    first, second = scores.summarise(judge, runs), scores.summarise(judge, others)
    for metric, (low, high) in found["interval of the difference"].items():
        assert found["difference"][metric] == pytest.approx(first["mean"][metric] - second["mean"][metric], abs=2e-6)
        assert low < found["difference"][metric] < high
    width = np.subtract(*found["interval of the difference"]["BLEU-1"][::-1])
    assert 0 < width < np.subtract(*first["interval"]["BLEU-1"][::-1])
    assert set(scores.compare(judge, runs, runs)["difference"].values()) == {0}


def test_several_runs_by_hand():
    # Each photograph gains one word of two: no resample of the photographs can change the difference.
    judge = Judge(CLEANED, [[Text("dog runs")]] * 10)
    right, half = (judge.rows([Text(text)] * 10) for text in ("dog runs", "cat runs"))
    summary = scores.summarise(judge, [right, half])
    assert summary["mean"]["BLEU-1"] == pytest.approx(0.75)
    assert summary["deviation"]["BLEU-1"] == pytest.approx(np.sqrt(2) / 4, abs=1e-6)
    assert "deviation" not in scores.summarise(judge, [right])
    found = scores.compare(judge, [right, half], [half])
    assert found["difference"]["BLEU-1"] == pytest.approx(0.25)
    assert found["interval of the difference"]["BLEU-1"] == pytest.approx([0.25, 0.25])


def test_standard_compares_in_lower_case_and_without_punctuation():
    captions, people = {"x": "A Dog, runs."}, {"x": ["a dog runs", "the dog is running"]}
    made = report.make(captions, {"x": ["dog runs"]}, {"y": ["dog runs"]}, people, ())["protocols"]
    assert made["standard"]["system"]["BLEU-3"] == pytest.approx(1)
    assert made["cleaned"]["system"]["BLEU-2"] == pytest.approx(1)  # the seed's cleaning dropped "a" on both sides


RAW = {
    "x": ["A dog doesn't run, it sits.", "The 3-year-old's dog sits"],
    "y": ["Two t-shirts on a #1 line", "2 shirts hang"],
}


@pytest.mark.parametrize("references", [None, RAW])
def test_step_1s_cleaning_changes_no_reference(references):
    texts = RAW | {"x": [*RAW["x"], "it isn\u2019t a dog\u2014or is it"] if references else RAW["x"]}
    references = references and texts
    seed, natural = (
        {image: [clean(text, cleaning) for text in each] for image, each in texts.items()}
        for cleaning in ("seed", "natural")
    )
    of_seed, of_natural = (report.people(texts, descriptions, references) for descriptions in (seed, natural))
    for protocol, people in of_seed.items():
        words = [[text.words for text in each] for each in people]
        assert words == [[text.words for text in each] for each in of_natural[protocol]]
        assert any("a" in text for each in words for text in each) == (protocol is STANDARD)
    captions = {"x": "a 3yearold dog sits", "y": "2 shirts on a line"}
    scores = [report.make(captions, texts, texts, references, ())["protocols"] for texts in (seed, natural)]
    for protocol, lines in scores[0].items():
        assert {line: lines[line] for line in lines if line != "floor"} == {
            line: scores[1][protocol][line] for line in lines if line != "floor"
        }
        assert lines["floor"] == scores[1][protocol]["floor"] or protocol == "standard"


def test_natural_captions_are_scored_without_what_the_originals_cleaning_drops():
    made = report.make({"x": "a dog"}, {"x": ["the dog", "dog"]}, {"y": ["a dog"]}, None, ())
    assert made["protocols"]["cleaned"]["system"]["BLEU-1"] == pytest.approx(1)
    assert made["constant"] == "a dog" and made["variety"]["copies"] == 1  # as they are written


@pytest.mark.parametrize(
    "text", ["\u4e00\u53ea\u72d7", "\u0995\u09c1\u0995\u09c1\u09b0 \u09a6\u09cc\u09a1\u09bc\u09be\u09df"]
)
def test_scripts_that_the_originals_cleaning_drops_have_the_standard_protocol(text):
    described = {"x": [clean(text, "natural")]}
    made = report.make({"x": described["x"][0]}, described, described, {"x": [f"{text}\u3002"]}, ())
    assert made["protocols"]["standard"]["system"]["BLEU-1"] == pytest.approx(1)
    assert made["constant"] == described["x"][0]
    assert "drops 100% of the references' words: go by standard" in "\n".join(report.remarks(made))


def test_variety_and_warnings():
    captions = {"p": "dog runs", "q": "dog runs", "r": "dog sits"}
    train = {"t": ["dog runs", "cat sleeps"], "r": ["dog sits here"]}
    made = report.make(captions, {image: ["dog runs"] for image in captions}, train, None, {"r"})
    assert made["variety"] == {
        "distinct": 2,
        "words": 3,
        "words in train": 6,
        "copies": 2,
        "unfinished": 1,
        "most frequent": "dog runs",
        "times": 2,
    }
    *_, variety, leak = report.remarks(made)
    assert "2 distinct captions of 3; 3 of the 6 words in train; 67% copy a train description; 1 unfinished" in variety
    assert leak == "warning: leak: 1 of 3 photographs are in the train split too"


def test_one_caption_for_nearly_all_raises_the_alarm():
    captions = {str(number): "dog" if number else "cat" for number in range(20)}
    made = report.make(captions, {image: ["dog"] for image in captions}, {"t": ["dog"]}, None, ())
    assert report.remarks(made)[-1] == 'warning: collapsed: 19 of 20 captions are "dog"'


def test_the_table_shows_every_score_once():
    made = report.make(CAPTIONS, PEOPLE, PEOPLE, PEOPLE, ())
    header, _, *rows = report.table(json.loads(json.dumps(made))).split("\n")
    assert "".join(header.split()) == "|protocol|captions|BLEU-1|BLEU-2|BLEU-3|BLEU-4|ROUGE-L|CIDEr-D|"
    assert len(rows) == 15
    assert len({len(row) for row in rows}) == 1
    assert f"{made['protocols']['standard']['system']['CIDEr-D']:.3f}" in rows[11]
