"""Turn the network of a training run into an encoder file.

    python -m pretext.export --run simclr_run --out encoder.keras --bits 11

Reads the checkpoint of a run of simclr.main, pretext.supervised or pretext.distil, finished or not. Writes the encoder that step 1 loads,
without the head.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import keras

from core import keras_files, settings, training
from core.errors import InputError
from encoders.encoder_file import encoder, write
from encoders.networks.resnet import resnet


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    run: Path = Path("simclr_run")
    """Folder of a run of simclr.main, pretext.supervised or pretext.distil."""
    out: Path = Path("encoder.keras")
    """The encoder's file."""
    size: settings.Count = 96
    """Height and width of the photographs that the encoder takes, in pixels."""
    bits: settings.Bits = 24
    """Significant bits of each weight. 11, as many as float16 has, halve the file."""


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    network = read_network(config.run)
    write(config.out, encoder(network, config.size, config.size), network.name, bits=config.bits)


def read_network(run: Path) -> keras.Model:
    """Return the encoder's network as the last checkpoint of a run has it.

    :raises InputError: the folder has no checkpoint, or one of something else.
    """
    path = run / training.CHECKPOINT
    if not path.exists():
        raise InputError(
            f"expected the folder of a run of simclr.main at {run}, found no {path.name} in it; check the path"
        )
    state, arrays = training.read_checkpoint(path)
    try:
        epochs = len(state["history"]["loss"])
        build = partial(resnet, *(state["identity"][name] for name in ("depth", "stem", "width")))
        keras_files.check_numbers(build, sum(array.size for array in arrays))
        network = build()
        network.set_weights(arrays[: len(network.weights)])  # the first layer of SimCLR
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"expected the checkpoint of a run of simclr.main at {path}, found another ({error}); check the path"
        ) from error
    print(f"{path}: after epoch {epochs}")
    return network


if __name__ == "__main__":
    settings.run(main)
