"""The ground floor: files, settings, devices and training. Nothing here knows photographs or words.

Every other package imports this one first, so that TensorFlow finds its variables, and starts quietly, when it is first imported.
"""

import os
import sys

from core.quiet import QuietStart

# On processors without AVX-512, TensorFlow leaves oneDNN off; convolutions then take three times as long.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # keep TensorFlow's notes out of what people read
sys.meta_path.insert(0, QuietStart())
