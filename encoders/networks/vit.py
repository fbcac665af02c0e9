"""Vision Transformers (Dosovitskiy et al. 2020, arXiv 2010.11929) of Keras' own layers, with the options of those that are published.

Layers carry timm's names with `_` for `.`: `blocks_0_mlp_fc1` is timm's `blocks.0.mlp.fc1`. LayerScale (Touvron et al. 2021,
arXiv 2103.17239) has no layer: it is multiplied into the projection before it.
"""

from typing import NamedTuple

import keras
from keras import layers, ops

from encoders.networks.loading import Pool

CROPS = {"cls": (0, 1), "mean": (1, 0), "both": (0, 0)}  # of the two vectors, class token and mean, by what is wanted


class Form(NamedTuple):
    """What a Vision Transformer is made of."""

    patch: int  # height and width of a patch in pixels
    cells: int  # patches in a row
    width: int
    depth: int
    heads: int
    hidden: int  # numbers between the two dense layers of a block
    class_token: bool
    registers: int  # tokens between the class token and the patches
    gated: bool  # whether the first dense layer is SwiGLU (Shazeer 2020, arXiv 2002.05202)
    rotary: bool  # whether queries and keys turn with the position (Su et al. 2021, arXiv 2104.09864)
    norms: frozenset[
        str
    ]  # which there are of norm_pre, norm, cls_norm (the class token's own) and fc_norm (of the mean)
    pool: Pool
    epsilon: float = 1e-6
    activation: str = (
        "gelu"  # exact; or "quick_gelu": x sigmoid(1.702 x) is silu(1.702 x) / 1.702, with the factors in the kernels
    )
    class_before_norm: bool = False  # whether the feature is the class token before the last normalisation

    @property
    def extra(self) -> int:
        """How many tokens stand before the patches."""
        return self.class_token + self.registers

    @property
    def tokens(self) -> int:
        return self.extra + self.cells**2


def vit(form: Form) -> keras.Model:
    """Network from normalised photographs, float (N, H, W, 3), H = W = `cells` x `patch`, to features (N, D).

    D is `width`, or twice that for "both". The layer `grid` gives the patches' tokens, (N, cells, cells, width).
    """
    side = form.cells * form.patch
    photographs = keras.Input((side, side, 3), name="photographs")
    x = _tokens(photographs, form)  # (N, tokens, width)
    turn = _rotation(form)
    for index in range(form.depth):
        x = _block(x, form, turn, f"blocks_{index}")
    return keras.Model(photographs, _features(x, form), name="vit")


def _tokens(photographs, form: Form):
    x = layers.Conv2D(form.width, form.patch, form.patch, use_bias=False, name="patch_embed_proj")(photographs)
    x = layers.Reshape((form.cells**2, form.width), name="patches")(x)
    if form.extra:
        x = layers.ZeroPadding1D((form.extra, 0), name="extra_tokens")(x)
    # A bias for each token: class token, registers, positions. The kernel is one.
    x = layers.EinsumDense("nsd,d->nsd", (form.tokens, form.width), bias_axes="sd", name="tokens")(x)
    return _normalise(x, form, "norm_pre") if "norm_pre" in form.norms else x


def _rotation(form: Form) -> layers.Layer | None:
    """Return the layer that all blocks share: a turn of each pair of numbers by the token's angles."""
    shape = (form.tokens, form.heads, 2, form.width // form.heads // 2)
    return layers.EinsumDense("nshpe,spqe->nshqe", shape, name="rotation") if form.rotary else None


def _block(x, form: Form, turn: layers.Layer | None, name: str):
    y = _attend(_normalise(x, form, f"{name}_norm1"), form, turn, f"{name}_attn")
    x = layers.Add(name=f"{name}_add1")([x, y])
    y = _feed_forward(_normalise(x, form, f"{name}_norm2"), form, f"{name}_mlp")
    return layers.Add(name=f"{name}_add2")([x, y])


def _attend(x, form: Form, turn: layers.Layer | None, name: str):
    size = form.width // form.heads
    heads = (form.tokens, form.heads, size)

    def split(role: str):
        return layers.EinsumDense("nsd,dhe->nshe", heads, bias_axes="he", name=f"{name}_{role}")(x)

    def turned(role: str):
        shape = (form.tokens, form.heads, 2, size // 2)
        pairs = layers.EinsumDense("nsd,dhpe->nshpe", shape, bias_axes="hpe", name=f"{name}_{role}")(x)
        return layers.Reshape(heads, name=f"{name}_{role}_turned")(turn(pairs))

    query, key = (turned if turn else split)("q"), (turned if turn else split)("k")
    y = ops.dot_product_attention(query, key, split("v"))  # (N, tokens, heads, size)
    return layers.EinsumDense("nshe,hed->nsd", (form.tokens, form.width), bias_axes="d", name=f"{name}_proj")(y)


def _feed_forward(x, form: Form, name: str):
    if form.gated:
        gate = layers.Dense(form.hidden, "silu", name=f"{name}_fc1_g")(x)
        y = layers.Multiply(name=f"{name}_gated")([gate, layers.Dense(form.hidden, name=f"{name}_fc1_x")(x)])
    else:
        activation = "silu" if form.activation == "quick_gelu" else form.activation
        y = layers.Dense(form.hidden, activation, name=f"{name}_fc1")(x)
    return layers.Dense(form.width, name=f"{name}_fc2")(y)


def _features(x, form: Form):
    tokens = _normalise(x, form, "norm") if "norm" in form.norms else x
    patches = layers.Cropping1D((form.extra, 0), name="patch_tokens")(tokens)
    grid = layers.Reshape((form.cells, form.cells, form.width), name="grid")(patches)
    mean = layers.GlobalAveragePooling2D(name="mean")(grid)
    if "fc_norm" in form.norms:
        mean = _normalise(mean, form, "fc_norm")
    if not form.class_token:
        return mean
    token = layers.Cropping1D((0, form.tokens - 1), name="class_token")(x if _own_norm(form) else tokens)
    if "cls_norm" in form.norms:
        token = _normalise(token, form, "cls_norm")
    return pooled(token, layers.Reshape((1, form.width), name="mean_token")(mean), form.pool)


def pooled(token, mean, pool: Pool):
    """Return one of two vectors (N, 1, D), or both: (N, D) or (N, 2 D).

    Both are computed even where one is cropped away: so the layer `grid`, of which `mean` is made, is part of every network.
    """
    both = layers.Concatenate(axis=1, name="both")([token, mean])  # (N, 2, D)
    return layers.Flatten(name="features")(layers.Cropping1D(CROPS[pool], name="pool")(both))


def _own_norm(form: Form) -> bool:
    return form.class_before_norm or "cls_norm" in form.norms


def _normalise(x, form: Form, name: str):
    return layers.LayerNormalization(epsilon=form.epsilon, name=name)(x)
