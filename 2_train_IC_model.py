"""Step 2: a captioner learns to foretell the next word of each description from the photograph's feature and the words so far.

    python 2_train_IC_model.py --features features.pkl --descriptions descriptions.txt

Reads features.pkl, descriptions.txt and the train and dev lists. Writes, into --out:
    model-ep003-loss3.421-val_loss3.602.keras   the captioner, after each epoch whose val_loss is the lowest so far
    history.csv, history.png                    loss and val_loss: exact averages of -log(probability) over next words
    checkpoint.weights.h5                       the state after the last epoch; training that was killed goes on from it
The same seed gives the same captioner.
"""

from dataclasses import dataclass
from pathlib import Path

from captioning import agreement, batches, captioner, devices, files, settings, splits, training
from captioning.tokenizer import Tokenizer, wrap

import keras

NAME = "model-ep{epoch:03d}-loss{loss:.3f}-val_loss{val_loss:.3f}.keras"


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    features: Path = Path("features.pkl")  # what the encoder made of the photographs
    descriptions: Path = Path("descriptions.txt")  # their cleaned captions
    train_images: Path = Path("Flickr8k_text/Flickr_8k.trainImages.txt")  # photographs to learn from
    dev_images: Path = Path("Flickr8k_text/Flickr_8k.devImages.txt")  # photographs for val_loss
    out: Path = Path()  # folder for what is written
    epochs: settings.Count = 20  # times that each description is seen; more only if val_loss still falls
    batch_size: settings.Count = 128  # descriptions per step
    learning_rate: settings.Positive = 0.003  # Adam's; lower it if the loss jumps, raise it with the batch size
    seed: int = 0  # of the first weights, the order of the batches and dropout
    patience: settings.Count | None = None  # stop after this many epochs without a lower val_loss
    reduce_after: settings.Count | None = (
        None  # divide the learning rate by 10 after this many epochs without a lower val_loss
    )
    precision: devices.Policy = "float32"  # mixed_float16 or mixed_bfloat16 is quicker on a GPU


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    devices.prepare(config.precision)
    keras.utils.set_random_seed(config.seed)
    tokenizer, train, dev = read(config)
    model = captioner.build(train.features.shape[1], tokenizer.vocabulary_size)
    trainer = captioner.build_trainer(model)
    # Without XLA: each batch has another shape, and it would compile for each.
    trainer.compile(keras.optimizers.Adam(config.learning_rate), "sparse_categorical_crossentropy", jit_compile=False)

    origin = files.read_origin(config.features)
    best = training.Best(config.out / NAME, lambda path: files.write_captioner(path, model, tokenizer, origin))
    history = training.fit(
        trainer,
        train.shuffled(config.batch_size, config.seed),
        steps=train.steps(config.batch_size),
        epochs=config.epochs,
        seed=config.seed,
        folder=config.out,
        identity=identity(config, train, dev),
        validation=dev.ordered(config.batch_size),
        callbacks=[best, *optional_callbacks(config)],
    )["val_loss"]
    epoch = history.index(min(history)) + 1
    print(
        f"wrote {config.out / NAME.split('{')[0]}{epoch:03d}-...: val_loss {min(history):.3f}, the lowest of {len(history)} epochs"
    )


def read(config: Settings) -> tuple[Tokenizer, batches.Captions, batches.Captions]:
    """Return the train descriptions' tokenizer, and the captions to learn from and to judge by."""
    descriptions, features = files.read_descriptions(config.descriptions), files.read_features(config.features)
    train, dev = (
        agreement.described(descriptions, splits.read(path), path) for path in (config.train_images, config.dev_images)
    )
    tokenizer = Tokenizer.fit(wrap(text) for texts in train.values() for text in texts)
    for part in (train, dev):
        agreement.pick(features, part, "feature", config.features)
    found = batches.gather(train, features, tokenizer), batches.gather(dev, features, tokenizer)
    print(
        f"vocabulary {tokenizer.vocabulary_size:,}, next words {found[0].next_words:,} (train) and {found[1].next_words:,} (dev)"
    )
    return tokenizer, *found


def optional_callbacks(config: Settings) -> list[keras.callbacks.Callback]:
    callbacks: list[keras.callbacks.Callback] = []
    if config.reduce_after is not None:
        callbacks.append(keras.callbacks.ReduceLROnPlateau(patience=config.reduce_after, verbose=1))
    if config.patience is not None:
        callbacks.append(keras.callbacks.EarlyStopping(patience=config.patience, verbose=1))
    return callbacks


def identity(config: Settings, *captions: batches.Captions) -> dict[str, object]:
    """Return what must not change when training goes on after an interruption."""
    names = ("batch_size", "learning_rate", "patience", "reduce_after", "precision")
    data = {"train data": captions[0].fingerprint(), "dev data": captions[1].fingerprint()}
    return data | {name.replace("_", " "): getattr(config, name) for name in names}


if __name__ == "__main__":
    settings.run(main)
