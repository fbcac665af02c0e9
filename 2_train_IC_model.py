"""Step 2: train the captioner. Given a photograph's features and the words so far, it predicts the next word.

    python 2_train_IC_model.py --features features.pkl --descriptions descriptions.txt

Reads features.pkl, descriptions.txt and the train and dev lists. `--captioner attention` reads grid.h5 beside features.pkl too, which
step 1 --grid writes; it is meant for descriptions of step 1 --cleaning natural. Writes, into --out:
    model-ep003-loss3.421-val_loss3.602.keras   the captioner, after each epoch whose val_loss is the lowest so far
    history.csv, history.png                    loss and val_loss: exact averages of -log(probability) over next words
    checkpoint.weights.h5                       the state after the last epoch; the same command goes on from it

`--reward cider --start FILE --out FOLDER` goes on with a captioner: it learns from the CIDEr-D of its own captions, and each epoch is
judged by that of its captions of dev (docs/scores.md). It writes files such as model-ep002-cider0.343.keras. The same seed gives the same captioner.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from captioning import reward
from captioning.train import Recipe, find, read_data, train
from core import devices, settings
from core.errors import InputError


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    # Data
    features: Path = Path("features.pkl")
    """The photographs' features, from step 1."""
    descriptions: Path = Path("descriptions.txt")
    """Their cleaned captions, from step 1."""
    train_images: Path = Path("Flickr8k_text/Flickr_8k.trainImages.txt")
    """List of the photographs to learn from."""
    dev_images: Path = Path("Flickr8k_text/Flickr_8k.devImages.txt")
    """List of the photographs for val_loss."""
    out: Path = Path()
    """Folder for what is written."""

    # Captioner
    captioner: str = "merge"
    """merge is the original's. attention looks at the places of a photograph for each word."""
    dimensions: settings.Count | None = None
    """attention: principal components of each place's numbers. Default 512."""

    # Reward
    reward: Literal["cider"] | None = None
    """Learn from the CIDEr-D of the captioner's own captions (self-critical training) in place of the next word."""
    start: Path | None = None
    """--reward: the captioner to go on with: a file, or a folder whose best is taken."""

    # Training. None: the captioner's own default, which is printed.
    epochs: settings.Count | None = None
    """Passes over the descriptions, at most. merge: 20; attention: 10, over which its learning rate falls; --reward: 2."""
    batch_size: settings.Count | None = None
    """Per update. merge: 128 descriptions; attention: 20 photographs, with all their descriptions; --reward: 40 photographs."""
    learning_rate: settings.Positive | None = None
    """Adam's learning rate. Lower it if the loss jumps; raise it with the batch size. merge: 0.006; attention: 0.001; --reward: 5e-5."""
    epsilon: settings.Positive | None = None
    """Adam's epsilon. Larger values slow down the learning of rare words. merge: 3e-5; with little data, and attention: 1e-7."""
    average: bool = True
    """Validate and write the moving average of the weights over about an epoch. It is better from the fourth epoch on."""
    patience: settings.Count | None = None
    """Stop after so many epochs without a lower val_loss."""
    reduce_after: settings.Count | None = None
    """Divide the learning rate by 10 after so many epochs without a lower val_loss."""
    standardise: bool = False
    """merge: standardise the features first. Captions become more varied. attention always does."""
    seed: int = 0
    """Decides the first weights, the order of the batches and dropout."""

    # Speed
    precision: Literal["float32", "mixed_float16"] = "float32"
    """mixed_float16 works on GPUs only. An H100 was no faster with it."""


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments, complete)
    devices.prepare(config.precision)
    if config.reward:
        go_on(config)
        return
    data = read_data(config.features, config.descriptions, config.train_images, config.dev_images, config.captioner)
    trained = train(data, config.out, settings.shared(Recipe, config), config.seed)
    lowest, epochs = min(trained.losses), len(trained.losses)
    print(f"wrote {trained.captioner}: val_loss {lowest:.3f}, the lowest of {epochs} epochs")


def complete(config: Settings) -> Settings:
    """Return the settings with the defaults of the captioner, or of training by reward."""
    if (config.reward is None) != (config.start is None):
        raise InputError("expected --reward cider and --start FILE together, found one of them; give both or none")
    return settings.filled(config, asdict(reward.Recipe()) if config.reward else find(config.captioner).RECIPE)


def go_on(config: Settings) -> None:
    """Let the captioner of --start learn from its reward."""
    files = (config.start, config.features, config.descriptions, (config.train_images, config.dev_images))
    best = reward.train(*files, config.out, settings.shared(reward.Recipe, config), config.seed)
    print(f"wrote {best}: the highest CIDEr-D of {config.epochs} epochs")


if __name__ == "__main__":
    settings.run(main)
