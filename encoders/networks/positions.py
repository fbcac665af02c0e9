"""Where a Vision Transformer's patches are: learnt positions resized to another grid, and the angles of rotary ones."""

from typing import Literal

import numpy as np

# How projects resize positions, all bicubically: antialiased (timm, OpenCLIP, DINOv2 with registers), plain (Hugging Face and
# most authors), or plain by a factor that is a tenth of a patch too large (DINO, DINOv2).
Resizing = Literal["antialiased", "plain", "offset"]
OFFSET = 0.1  # patches


def resized(positions: np.ndarray, cells: int, resizing: Resizing) -> np.ndarray:
    """Return the positions (M * M, D) of a grid as those of a grid of `cells` x `cells`, (cells * cells, D), float32."""
    side = round(len(positions) ** 0.5)
    if side == cells:
        return positions
    matrix = _matrix(side, cells, resizing)
    grid = np.einsum("im,jn,mnd->ijd", matrix, matrix, positions.reshape(side, side, -1), optimize=True)
    return grid.reshape(cells**2, -1).astype("float32")


def _matrix(before: int, after: int, resizing: Resizing) -> np.ndarray:
    """Return the matrix (after, before) that PyTorch's bicubic interpolation multiplies a line by."""
    scale = before / (after + (OFFSET if resizing == "offset" else 0))
    centres = (np.arange(after)[:, None] + 0.5) * scale - 0.5
    if resizing == "antialiased":
        weights = _cubic((np.arange(before) - centres) / max(scale, 1), -0.5)
        return weights / weights.sum(axis=1, keepdims=True)
    around = np.arange(-2, before + 2)  # the border is repeated
    weights = _cubic(around - centres, -0.75)
    return weights @ np.eye(before)[around.clip(0, before - 1)]


def _cubic(distance: np.ndarray, a: float) -> np.ndarray:
    """Return Keys' cubic convolution kernel (Keys 1981), 0 from a distance of 2 on."""
    x = np.abs(distance)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def rotations(periods: np.ndarray, cells: int, extra: int) -> np.ndarray:
    """Return DINOv3's turns of each token's pairs of numbers, float32 (tokens, 2, 2, 2 * len(periods)); the first `extra` do not turn.

    A patch at (y, x), from -1 to 1, turns by 2 pi y / period in the first half of the numbers and by 2 pi x / period in the second.
    """
    places = (np.arange(cells) + 0.5) / cells * 2 - 1
    y, x = np.meshgrid(places, places, indexing="ij")
    angles = 2 * np.pi * np.stack([y.ravel(), x.ravel()], axis=1)[:, :, None] / np.float64(periods)
    angles = np.concatenate([np.zeros((extra, 2 * len(periods))), angles.reshape(cells**2, -1)])
    cosine, sine = np.cos(angles), np.sin(angles)
    return np.stack([np.stack([cosine, sine], 1), np.stack([-sine, cosine], 1)], 1).astype("float32")
