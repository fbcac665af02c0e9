"""The report on a split's captions: every protocol's scores, how varied the captions are, and what makes them doubtful."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from captioning.captions import write_results
from captioning.cleaning import MOST, clean, dropped
from captioning.metrics.scores import (
    CLEANED,
    METRIC_NAMES,
    SEED,
    STANDARD,
    Judge,
    Protocol,
    best_constant,
    compare,
    evaluate,
)
from captioning.metrics.text import Text
from captioning.tokenizer import START, wrap
from core.disk import write_json

COLLAPSED = 0.9  # share of the captions that are one and the same
LINES = {
    "floor": "one caption for all",
    "system": "these captions",
    "interval": "95% interval",
    "system among persons": "these, one reference fewer",
    "person": "a person, against the others",
    "difference": "difference to the others'",
    "interval of the difference": "its 95% interval, paired",
}

Texts = Mapping[str, Sequence[str]]  # image id -> descriptions or captions


def make(
    captions: Mapping[str, str],
    descriptions: Texts,
    train: Texts,
    references: Texts | None,
    unfinished: Collection[str],
    others: Mapping[str, str] | None = None,
) -> dict:
    """Return the scores of captions in all protocols, beside floor and ceiling, and what `remarks` reports.

    :param captions: one caption for each photograph, by image id.
    :param descriptions: the cleaned descriptions of at least these photographs.
    :param train: the cleaned descriptions that the captioner saw; the constant caption is one of them.
    :param references: the captions as people wrote them; without them the standard protocol is left out.
    :param unfinished: ids of the photographs whose caption has no end token.
    :param others: another system's captions of these photographs, to compare with.
    """
    written, constant = candidates(captions, unfinished), _constant(train)
    compared = candidates({image: others[image] for image in captions}, ()) if others else {}
    protocols = {}
    for protocol, texts in people(captions, descriptions, references).items():
        lines = evaluate(protocol, written[protocol], texts, Text(_form(protocol)(constant)))
        if compared:
            judge = Judge(protocol, texts)
            lines |= compare(judge, [judge.rows(written[protocol])], [judge.rows(compared[protocol])])
        protocols[protocol.name] = lines
    return {
        "photographs": len(captions),
        "photographs in train": len(captions.keys() & train.keys()),
        "constant": constant,
        "variety": _variety(captions.values(), train, unfinished),
        "dropped": dropped((references or descriptions)[image] for image in captions),
        "unfinished": sorted(unfinished),
        "protocols": protocols,
    }


def _constant(train: Texts) -> str:
    """Return the best constant caption in the most frequent of the forms that the original's cleaning makes alike."""
    cleaned = {image: list(map(clean, texts)) for image, texts in train.items()}
    if not any(map(any, cleaned.values())):  # the cleaning leaves no word of this script
        return best_constant(train)
    best = best_constant(cleaned)
    alike = Counter(text for texts in train.values() for text in texts if clean(text) == best)
    return max(alike, key=alike.get)


def candidates(captions: Mapping[str, str], unfinished: Collection[str]) -> dict[Protocol, list[Text]]:
    """Return the captions in each protocol's form. Unfinished ones get no end token."""
    cleaned = {image: clean(caption) for image, caption in captions.items()}
    return {
        SEED: [Text(f"{START} {text}" if image in unfinished else wrap(text)) for image, text in cleaned.items()],
        CLEANED: list(map(Text, cleaned.values())),
        STANDARD: [Text(_standard(caption)) for caption in captions.values()],
    }


def people(images: Collection[str], descriptions: Texts, references: Texts | None) -> dict[Protocol, list[list[Text]]]:
    """Return what people wrote in each protocol's form. Without references there is no standard protocol.

    The others take the references too, where there are any, so that step 1's cleaning changes nothing.
    """
    sources = {SEED: references or descriptions, CLEANED: references or descriptions, STANDARD: references}
    return {
        protocol: [[Text(_form(protocol)(text)) for text in texts[image]] for image in images]
        for protocol, texts in sources.items()
        if texts
    }


def _form(protocol: Protocol) -> Callable[[str], str]:
    """Return the function that brings a description, or a person's caption, into a protocol's form."""
    return {SEED: _seed, CLEANED: clean, STANDARD: _standard}[protocol]


def _seed(caption: str) -> str:
    return wrap(clean(caption))


def _standard(caption: str) -> str:
    return clean(caption, "natural")


def _variety(captions: Collection[str], train: Texts, unfinished: Collection[str]) -> dict:
    """Compare the captions with the train descriptions, cleaned as these are."""
    known = {text for texts in train.values() for text in texts}
    cleaning = "seed" if all(clean(text) == text for text in known) else "natural"
    captions = [clean(caption, cleaning) for caption in captions]
    most_frequent, times = Counter(captions).most_common(1)[0]
    return {
        "distinct": len(set(captions)),
        "words": len({word for caption in captions for word in caption.split()}),
        "words in train": len({word for text in known for word in text.split()}),
        "copies": sum(caption in known for caption in captions),
        "unfinished": len(unfinished),
        "most frequent": most_frequent,
        "times": times,
    }


def table(report: dict) -> str:
    """Return the scores as one table, in Markdown that also reads well in a terminal."""
    rows = [("protocol", "captions", *METRIC_NAMES)]
    for protocol, lines in report["protocols"].items():
        rows += [
            (protocol, title, *(_shown(lines[line].get(metric)) for metric in METRIC_NAMES))
            for line, title in LINES.items()
            if line in lines
        ]
    return markdown(rows)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of text, the header first, as a Markdown table whose columns are aligned in a terminal too."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(map(str.ljust, row, widths))} |" for row in cells)


def _shown(value: float | list[float] | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else " to ".join(f"{end:.3f}" for end in value)


def remarks(report: dict) -> list[str]:
    """Return lines on the floor, the captions' variety, and what makes the scores doubtful."""
    total, variety = report["photographs"], report["variety"]
    lines = [
        f"the one caption for all: {report['constant']}",
        f"variety: {variety['distinct']:,} distinct captions of {total:,}; {variety['words']:,} of the {variety['words in train']:,} words "
        f"in train; {variety['copies'] / total:.0%} copy a train description; {variety['unfinished']:,} unfinished",
    ]
    if variety["times"] >= COLLAPSED * total > 1:
        lines.append(f'warning: collapsed: {variety["times"]:,} of {total:,} captions are "{variety["most frequent"]}"')
    if report["dropped"] > MOST:
        lines.append(
            f"warning: the original's cleaning, which seed and cleaned make, drops {report['dropped']:.0%} of the references' words: "
            "go by standard"
        )
    if leaked := report["photographs in train"]:
        lines.append(f"warning: leak: {leaked:,} of {total:,} photographs are in the train split too")
    return lines


def write(
    folder: Path,
    captions: Mapping[str, str],
    unfinished: Collection[str],
    train: Texts,
    test: Texts,
    references: Texts | None,
    others: Mapping[str, str] | None = None,
    **known: Any,
) -> None:
    """Score the captions, print the table and its remarks, and write captions.json and, last, scores.json into the folder.

    :param others: another system's captions of these photographs, to compare with.
    :param known: what scores.json also says, `split` among it.
    """
    scores = {**known, **make(captions, test, train, references, unfinished, others)}
    print(f"\n{len(captions):,} photographs of the split {scores['split']}\n\n{table(scores)}\n")
    print("\n".join(remarks(scores)))
    write_results(folder / "captions.json", captions)
    write_json(folder / "scores.json", scores)
    print(f"wrote {folder / 'captions.json'}: {len(captions):,} captions")
    print(f"wrote {folder / 'scores.json'}: {len(scores['protocols'])} protocols")
