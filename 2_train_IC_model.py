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
from typing import Literal

from captioning import train
from core import devices, settings


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
    learning_rate: settings.Positive = 0.006  # Adam's; lower it if the loss jumps, raise it with the batch size
    epsilon: settings.Positive = 3e-5  # Adam's; the larger, the less rare words move: for few descriptions 1e-7
    average: bool = (
        True  # judge and write the weights' moving average over about an epoch: better from the fourth epoch on
    )
    seed: int = 0  # of the first weights, the order of the batches and dropout
    patience: settings.Count | None = None  # stop after this many epochs without a lower val_loss
    reduce_after: settings.Count | None = (
        None  # divide the learning rate by 10 after this many epochs without a lower val_loss
    )
    standardise: bool = (
        False  # features to mean 0, equal deviations and one length first: photographs are told apart better
    )
    precision: Literal["float32", "mixed_float16"] = "float32"  # mixed_float16 on GPUs; an H100 was no quicker


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    devices.prepare(config.precision)
    lessons = train.read_data(config.features, config.descriptions, config.train_images, config.dev_images)
    read = ("features", "descriptions", "train_images", "dev_images", "out", "precision")
    trained = train.train(lessons, config.out, **settings.without(config, *read))
    losses = trained.losses
    print(f"wrote {trained.captioner}: val_loss {min(losses):.3f}, the lowest of {len(losses)} epochs")


if __name__ == "__main__":
    settings.run(main)
