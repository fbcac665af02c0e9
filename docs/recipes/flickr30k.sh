#!/usr/bin/env bash
# Steps 1 to 3 on Flickr30k: 31,014 photographs, 155,070 captions, with Karpathy's dataset_flickr30k.json.
#
#     bash docs/recipes/flickr30k.sh DIR [OUT]
#
# DIR has the photographs in flickr30k-images/, and dataset_flickr30k.json. Flickr30k's own
# results_20130124.token is read too, as --captions and --references, but it has no splits.
#
# The data were not at hand: the commands were run on drawn pictures in the same form, and these are estimates from Flickr8k's
# measured steps on two processor cores:
#     step 1    4.4 times as many photographs: 2 minutes with the shipped encoder
#     step 2    4.8 times as many captions, and updates that take 1.7 times as long if there are 18,000 words: 4 minutes an epoch
#     memory    2 GB in step 2
set -euo pipefail

dir=${1:?say: bash docs/recipes/flickr30k.sh DIR [OUT]}
out=${2:-flickr30k-run}

python -m captioning.splits --captions "$dir/dataset_flickr30k.json" --out "$out/lists"
python 1_data_preprocessor.py --photographs "$dir/flickr30k-images" --captions "$dir/dataset_flickr30k.json" --out "$out"
python 2_train_IC_model.py --features "$out/features.pkl" --descriptions "$out/descriptions.txt" --train-images "$out/lists/Flickr_8k.trainImages.txt" \
  --dev-images "$out/lists/Flickr_8k.devImages.txt" --out "$out/models" --standardise --patience 2
python 3_BLEU.py --model "$out/models" --features "$out/features.pkl" --descriptions "$out/descriptions.txt" --references "$dir/dataset_flickr30k.json" \
  --train-images "$out/lists/Flickr_8k.trainImages.txt" --test-images "$out/lists/Flickr_8k.testImages.txt" --out "$out"
