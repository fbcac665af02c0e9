"""Captions: read, learned, written and scored."""

import core as core  # first: it sets TensorFlow's variables
