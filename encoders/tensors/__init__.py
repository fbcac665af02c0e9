"""Named tensors of checkpoint files: torch, safetensors, TensorFlow."""
