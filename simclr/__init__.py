"""The SimCLR pretext task: recognise that two views come from the same photograph (Chen et al. 2020, arXiv 2002.05709)."""

import core as core  # first: it sets TensorFlow's variables
