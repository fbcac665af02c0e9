"""The jigsaw pretext task: an encoder learns to see by telling how nine shuffled tiles of a photograph were permuted."""

import core as core  # first: it sets TensorFlow's variables
