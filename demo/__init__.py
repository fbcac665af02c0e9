"""A small drawn and captioned world in Flickr8k's layout, and the whole pipeline on it."""

import core as core  # first: it sets TensorFlow's variables
