"""How an encoder is trained without labels: what all methods share, and the methods that are one file each."""

import core as core  # first: it sets TensorFlow's variables
