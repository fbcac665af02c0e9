"""Photographs in, features out: what an encoder is, and where encoders come from."""

import core as core  # first: it sets TensorFlow's variables
