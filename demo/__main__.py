"""Draw a small captioned world and take all six steps on it, with an encoder that SimCLR trained there.

    python -m demo --out demo-run

Shows each command as you would type it, in the folder of the numbered scripts, and stops where one fails. Writes everything
below --out; run again, each step goes on from what is there. --full draws more, trains longer, and trains a second encoder
on jigsaw puzzles.
"""

import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from core import settings
from core.errors import InputError

ENCODERS = """
python -m demo.scenes --out {out}/world --count {count}
python -m encoders.make --network resnet18 --stem small --weights untrained --size 96 --out {out}/untrained.keras
python -m simclr.main --photographs {photographs} --only {text}/Flickr_8k.trainImages.txt
    --size {size} --batch-size 64 --epochs {pretext_epochs} --out {out}/simclr_run
"""
JIGSAW = """
python -m jigsaw.to_hdf5 --photographs {photographs} --only {text}/Flickr_8k.trainImages.txt --size 96 --out {out}/photographs.h5
python -m jigsaw.main --photographs {out}/photographs.h5 --network resnet18 --size 96 --permutations 10
    --batch-size 64 --epochs 15 --out {out}/jigsaw_run
"""
STEPS = """
python 1_data_preprocessor.py --photographs {photographs} --captions {text}/Flickr8k.token.txt
    --encoder {out}/simclr_run/encoder.keras --out {out}
python 2_train_IC_model.py --features {out}/features.pkl --descriptions {out}/descriptions.txt
    --train-images {text}/Flickr_8k.trainImages.txt --dev-images {text}/Flickr_8k.devImages.txt
    --out {out}/models --standardise --learning-rate 0.003 --epsilon 1e-7 --epochs {epochs} --patience {patience}
python 3_BLEU.py --model {out}/models --features {out}/features.pkl --descriptions {out}/descriptions.txt
    --references {text}/Flickr8k.token.txt --train-images {text}/Flickr_8k.trainImages.txt
    --test-images {text}/Flickr_8k.testImages.txt --out {out}
python 4_tokenizer.py --descriptions {out}/descriptions.txt --train-images {text}/Flickr_8k.trainImages.txt
    --out {out}/tokenizer.pkl
python -m demo.scenes --out {out}/new --count 20 --seed 1
python 5_test.py --photographs {out}/new/Flicker8k_Dataset --model {out}/models --tokenizer {out}/tokenizer.pkl
    --encoder {out}/simclr_run/encoder.keras --out {out}
python 6_ablation.py --encoders {encoders} --photographs {photographs} --captions {text}/Flickr8k.token.txt
    --train-images {text}/Flickr_8k.trainImages.txt --dev-images {text}/Flickr_8k.devImages.txt
    --test-images {text}/Flickr_8k.testImages.txt --learning-rate 0.003 --epsilon 1e-7
    --epochs {epochs} --patience {patience} --seeds 2 --out {out}/ablation
"""
QUICK = {"count": 700, "size": 32, "pretext_epochs": 35, "epochs": 12, "patience": 2}
FULL = {"count": 1200, "size": 48, "pretext_epochs": 30, "epochs": 20, "patience": 3}
CLOSING = """
Look at
    {out}/ablation/ablation.html   the encoders, compared by their captions; mark some yourself
    {out}/gallery.html             captions of new pictures, and how sure the captioner was of each word
    {out}/simclr_run               curves, views and neighbours
    {out}/captions.json            captions of the test pictures; their scores are above

Your own photographs, with the captioner that is shipped:
    python 5_test.py --photographs YOUR-PHOTOGRAPHS

Steps 1 to 5 on Flickr8k (README.md says where it comes from): make flickr8k DIR=/path/to/flickr8k, or, with Flicker8k_Dataset/ and
Flickr8k_text/ in this folder,
    python 1_data_preprocessor.py
    python 2_train_IC_model.py --standardise --patience 2
    python 3_BLEU.py --references Flickr8k_text/Flickr8k.token.txt
    python 4_tokenizer.py
    python 5_test.py --photographs YOUR-PHOTOGRAPHS
and step 6 for any encoders:
    python 6_ablation.py --encoders simclr=Pre-trained/simclr_260/encoder.keras supervised=Pre-trained/efficientnet_lite0/encoder.keras
"""


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    out: Path = Path("demo-run")
    """Folder for everything that the demo writes."""
    full: bool = False
    """Draw more pictures, train longer, and train an encoder on jigsaw puzzles too."""


def commands(out: Path, full: bool) -> list[list[str]]:
    """Return the words of each command. An indented line goes on with the one above."""
    text = ENCODERS + (JIGSAW if full else "") + STEPS
    lines = [line for line in text.replace("\n    ", " ").split("\n") if line]
    encoders = {"untrained": out / "untrained.keras", "simclr": out / "simclr_run/encoder.keras"}
    if full:
        encoders["jigsaw"] = out / "jigsaw_run/encoder-full.keras"
    values = {"out": out, "photographs": out / "world/Flicker8k_Dataset", "text": out / "world/Flickr8k_text"}
    values |= FULL if full else QUICK
    values["encoders"] = " ".join(f"{name}={path}" for name, path in encoders.items())
    return [line.format(**values).split() for line in lines]


def run(command: list[str]) -> None:
    """Show a command, run it with this Python, and show how long it took.

    :raises InputError: it failed.
    """
    print(f"\n$ {shlex.join(command)}", flush=True)
    start = time.monotonic()
    status = subprocess.run([sys.executable, *command[1:]]).returncode
    if status:
        raise InputError(f"the demo stops, since this command failed (status {status}): {shlex.join(command)}")
    print(f"({time.monotonic() - start:.0f} s)", flush=True)


def main(arguments: list[str] | None = None) -> None:
    config = settings.from_command_line(Settings, arguments)
    for command in commands(config.out, config.full):
        run(command)
    print(CLOSING.format(out=config.out))


if __name__ == "__main__":
    settings.run(main)
