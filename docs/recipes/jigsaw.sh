#!/usr/bin/env bash
# jigsaw_full_encoder.keras and jigsaw_single_encoder.keras: jigsaw puzzles of 13,148 photographs.
#
#     bash docs/recipes/jigsaw.sh
#
# Time: 81 minutes on one processor core. Expected: .531 of the test puzzles answered rightly (chance .010).
# Reads Flickr8k and imagenette (github.com/fastai/imagenette, 160 pixels) in this folder.
set -euo pipefail

find imagenette/train -name '*.JPEG' | sed 's|.*/||' | sort > imagenette_train.txt  # names without folders
python -m jigsaw.to_hdf5 --photographs Flicker8k_Dataset imagenette/train --only Flickr8k_text/Flickr_8k.trainImages.txt imagenette_train.txt \
  --size 128 --out photographs.h5
python -m jigsaw.main --photographs photographs.h5 --network resnet18 --size 128 --batch-size 128 --optimizer adamw --grey 0.5 \
  --epochs 38 --patience 38 --out jigsaw_run
python -m jigsaw.encoder --run jigsaw_run --mode full --bits 8 --out jigsaw_full_encoder.keras
python -m jigsaw.encoder --run jigsaw_run --mode single --bits 11 --out jigsaw_single_encoder.keras
