"""Each speed claim beside the original's way of doing it, measured in one run."""

import core as core  # first: it sets TensorFlow's variables
