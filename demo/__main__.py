"""Draw a small captioned world and run steps 1 to 5 on it, with an untrained encoder: a few minutes on two cores.

    python -m demo --out demo-run

Shows each command as you would type it, in the folder of the numbered scripts, and stops where one fails. Writes everything
below --out; run again, each step goes on from what is there.
"""

import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from captioning import settings
from captioning.errors import InputError

COMMANDS = """
python -m demo.scenes --out {out}/world
python -m pretext.encoder --network resnet18 --weights untrained --size 96 --out {out}/encoder.keras
python 1_data_preprocessor.py --photographs {out}/world/Flicker8k_Dataset --captions {text}/Flickr8k.token.txt
    --encoder {out}/encoder.keras --out {out}
python 2_train_IC_model.py --features {out}/features.pkl --descriptions {out}/descriptions.txt
    --train-images {text}/Flickr_8k.trainImages.txt --dev-images {text}/Flickr_8k.devImages.txt
    --out {out}/models --epochs 30 --batch-size 32 --patience 3
python 3_BLEU.py --model {out}/models --features {out}/features.pkl --descriptions {out}/descriptions.txt
    --references {text}/Flickr8k.token.txt --train-images {text}/Flickr_8k.trainImages.txt
    --test-images {text}/Flickr_8k.testImages.txt --out {out}
python 4_tokenizer.py --descriptions {out}/descriptions.txt --train-images {text}/Flickr_8k.trainImages.txt
    --out {out}/tokenizer.pkl
python -m demo.scenes --out {out}/new --count 20 --seed 1
python 5_test.py --photographs {out}/new/Flicker8k_Dataset --model {out}/models --tokenizer {out}/tokenizer.pkl
    --encoder {out}/encoder.keras --out {out}
"""
CLOSING = """
Look at
    {out}/gallery.html          captions of new pictures, and how sure the captioner was of each word
    {out}/models                the captioners, their losses in history.csv and history.png
    {out}/captions.json         its captions of the test pictures; the scores are above

Steps 1 to 5 on Flickr8k, with Flicker8k_Dataset/ and Flickr8k_text/ in this folder (README.md says where they come from):
    python -m pretext.encoder
    python 1_data_preprocessor.py
    python 2_train_IC_model.py
    python 3_BLEU.py
    python 4_tokenizer.py
    python 5_test.py --photographs YOUR-PHOTOGRAPHS
"""


@dataclass(frozen=True)
class Settings:
    """Edit these here, or override them on the command line."""

    out: Path = Path("demo-run")  # folder for everything that the demo writes


def commands(out: Path) -> list[list[str]]:
    """The words of each command; an indented line goes on with the one above."""
    lines = COMMANDS.replace("\n    ", " ").strip().split("\n")
    return [[word.format(out=out, text=out / "world" / "Flickr8k_text") for word in line.split()] for line in lines]


def run(command: list[str]) -> None:
    """Shows a command, runs it with this Python and shows how long it took.

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
    for command in commands(config.out):
        run(command)
    print(CLOSING.format(out=config.out))


if __name__ == "__main__":
    settings.run(main)
