"""What the numbered scripts share: one module per noun."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's notes on its own build; read when it is first imported
