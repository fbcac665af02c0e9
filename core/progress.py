"""Progress bars: the same everywhere (count, rate, time left), and silent where standard error is no terminal."""

from functools import partial

from tqdm import tqdm

bar = partial(tqdm, disable=None, dynamic_ncols=True)
