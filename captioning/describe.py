"""Step 3's captions: a captioner describes the photographs of a split."""

from pathlib import Path

import numpy as np

from captioning import captioner_file, checks, decoding
from captioning.captions import Captions
from captioning.tokenizer import Tokenizer, wrap
from encoders import features_file


def describe(
    model: Path, features: Path, train: Captions, test: Captions, source: Path, beam: int
) -> tuple[dict[str, str], set[str]]:
    """Return a captioner's captions of the test photographs, and the ids of those without an end.

    :param model: a captioner's file, or a folder whose captioner with the lowest val_loss is taken.
    :param source: the file that the train descriptions were read from.
    :raises InputError: the captioner, the features and the descriptions do not belong together.
    """
    captioner = captioner_file.read(model)
    picked = checks.pick(features_file.read(features), test, "feature", features)
    stacked = np.concatenate(list(picked.values()))
    checks.check_features(captioner, stacked.shape[1], features_file.read_origin(features), features)
    fitted = Tokenizer.fit(wrap(text) for texts in train.values() for text in texts)
    tokenizer = checks.check_vocabulary(captioner, fitted, source)
    found = dict(zip(picked, decoding.caption(captioner.model, stacked, tokenizer, beam), strict=True))
    captions = {image: caption.text for image, caption in found.items()}
    return captions, {image for image, caption in found.items() if not caption.finished}
