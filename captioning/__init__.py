"""What the numbered scripts share: one module per noun."""

import os

# TensorFlow reads these when it is first imported. On processors without AVX-512 it leaves oneDNN off, with which convolutions run three times faster.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # keep its notes on its own build out of what people read
