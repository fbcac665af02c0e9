#!/usr/bin/env bash
# Steps 1 to 3 on COCO: 123,287 photographs, 616,767 captions, with Karpathy's dataset_coco.json.
#
#     bash docs/recipes/coco.sh DIR [OUT]
#
# DIR has the photographs in images/, also in sub-folders such as train2014 and val2014, and dataset_coco.json. Karpathy's "restval"
# photographs are trained on too. COCO's own captions_*.json are read too, but have no test split.
#
# The data were not at hand: the commands were run on drawn pictures in the same form, and these are estimates from Flickr8k's
# measured steps on two processor cores:
#     step 1    17 times as many photographs: 9 minutes with the shipped encoder
#     step 2    19 times as many captions, and updates that take 2.5 times as long if there are 27,000 words: 25 minutes an epoch
#     memory    3 GB in step 2, of which 1 GB is for the captions
set -euo pipefail

dir=${1:?say: bash docs/recipes/coco.sh DIR [OUT]}
out=${2:-coco-run}

python -m captioning.splits --captions "$dir/dataset_coco.json" --out "$out/lists"
python 1_data_preprocessor.py --photographs "$dir/images" --captions "$dir/dataset_coco.json" --out "$out"
python 2_train_IC_model.py --features "$out/features.pkl" --descriptions "$out/descriptions.txt" --train-images "$out/lists/Flickr_8k.trainImages.txt" \
  --dev-images "$out/lists/Flickr_8k.devImages.txt" --out "$out/models" --standardise --patience 2
python 3_BLEU.py --model "$out/models" --features "$out/features.pkl" --descriptions "$out/descriptions.txt" --references "$dir/dataset_coco.json" \
  --train-images "$out/lists/Flickr_8k.trainImages.txt" --test-images "$out/lists/Flickr_8k.testImages.txt" --out "$out"
