import core as core  # first: it sets TensorFlow's variables
