"""How pictures are drawn: flat polygons in a figure's own coordinates, before a background, then photographed.

A figure stands on (0, 0), looks to the right and is about 1 high, y upwards; a `Pen` puts it anywhere, in any size, mirrored or tilted.
"""

import math
from collections.abc import Sequence
from itertools import pairwise, product
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, ...]  # red, green, blue and, where something shines through, alpha
Point = tuple[float, float]

COLOURS: dict[str, Colour] = {
    "black": (38, 36, 40),
    "white": (240, 238, 232),
    "grey": (140, 142, 148),
    "brown": (122, 76, 42),
    "red": (205, 42, 40),
    "orange": (238, 128, 30),
    "yellow": (244, 206, 48),
    "green": (44, 134, 60),
    "blue": (46, 92, 196),
    "pink": (240, 138, 176),
    "purple": (128, 66, 160),
}
GROUND: dict[str, Colour] = {
    "grass": (98, 158, 70),
    "snow": (236, 242, 252),
    "sand": (222, 196, 146),
    "street": (112, 112, 118),
    "water": (52, 120, 168),
}
SKY: dict[str, tuple[Colour, Colour]] = {  # at the top, at the horizon
    "sunny": ((86, 156, 226), (190, 222, 244)),
    "cloudy": ((150, 158, 168), (206, 210, 214)),
    "sunset": ((112, 88, 150), (252, 170, 96)),
}
TINT = {"sunny": (1.03, 1.02, 0.98), "cloudy": (0.94, 0.95, 0.97), "sunset": (1.02, 0.94, 0.9)}

CIRCLE = np.array([(math.cos(step * math.tau / 24), math.sin(step * math.tau / 24)) for step in range(24)])


def shade(colour: Colour, factor: float) -> Colour:
    """The colour made darker (factor below 1) or lighter (above 1), its alpha kept."""
    return tuple(min(255, max(0, round(value * factor))) for value in colour[:3]) + tuple(colour[3:])


def vary(colour: Colour, random: Random, amount: int = 14) -> Colour:
    """A look-alike of the colour: brighter or darker, and a little of another hue."""
    light = random.uniform(-amount, amount)
    return tuple(min(255, max(0, round(value + light + random.uniform(-amount, amount) / 2))) for value in colour[:3])


def turned(degrees: float) -> np.ndarray:
    """The matrix that turns points (rows) by the angle, anticlockwise."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[cosine, sine], [-sine, cosine]])


class Pen:
    """Draws in a figure's coordinates: its feet at `foot` (pixels), `size` pixels to a unit, facing right (1) or left (-1), tilted in degrees."""

    def __init__(self, image: Image.Image, foot: Point, size: float, facing: int = 1, tilt: float = 0.0):
        self.image, self.foot, self.size, self.facing, self.tilt = image, foot, size, facing, tilt
        self.axes = turned(tilt) * (facing * size, -size)  # rows: where one unit to the right and one upwards lead
        self.canvas = ImageDraw.Draw(image, "RGBA")

    def at(self, x: float, y: float, size: float) -> "Pen":
        """A pen for another figure of the size, its feet at this figure's point (x, y)."""
        return Pen(self.image, tuple((x, y) @ self.axes + self.foot), size, self.facing, self.tilt)

    def shape(self, points: Sequence[Point] | np.ndarray, colour: Colour) -> None:
        self.canvas.polygon((np.asarray(points) @ self.axes + self.foot).ravel().tolist(), fill=colour)

    def box(self, left: float, bottom: float, right: float, top: float, colour: Colour) -> None:
        self.shape([(left, bottom), (right, bottom), (right, top), (left, top)], colour)

    def oval(self, x: float, y: float, wide: float, high: float, colour: Colour, turn: float = 0.0) -> None:
        """An ellipse with half axes `wide` and `high`, turned by `turn` degrees."""
        self.shape(CIRCLE * (wide, high) @ turned(turn) + (x, y), colour)

    def round(self, x: float, y: float, wide: float, high: float, colour: Colour, turn: float = 0.0) -> None:
        """An ellipse lit from above."""
        self.oval(x, y, wide, high, shade(colour, 0.8), turn)
        self.oval(x, y + high * 0.13, wide * 0.9, high * 0.84, colour, turn)
        self.oval(x, y + high * 0.42, wide * 0.55, high * 0.4, (*shade(colour, 1.1), 130), turn)

    def limb(self, points: list[Point], width: float, colour: Colour, narrowing: float = 1.0) -> None:
        """A rounded stroke through the points, each part `narrowing` times as wide as the one before."""
        for (x, y), (next_x, next_y) in pairwise(points):
            length, end = math.hypot(next_x - x, next_y - y) or 1, width * narrowing
            side = np.array((y - next_y, next_x - x)) / length / 2
            start, stop = np.array((x, y)), np.array((next_x, next_y))
            self.shape([start + side * width, stop + side * end, stop - side * end, start - side * width], colour)
            self.oval(x, y, width / 2, width / 2, colour)
            self.oval(next_x, next_y, end / 2, end / 2, colour)
            width = end


def gradient(size: tuple[int, int], top: Colour, bottom: Colour) -> Image.Image:
    """A picture that goes from one colour at the top to another at the bottom."""
    ramp = np.linspace(0, 1, size[1])[:, None, None]
    pixels = np.array(top) * (1 - ramp) + np.array(bottom) * ramp
    return Image.fromarray(np.broadcast_to(pixels, (size[1], size[0], 3)).astype(np.uint8))


def background(size: tuple[int, int], place: str, light: str, horizon: int, random: Random) -> Image.Image:
    """Sky, what is far away, and the ground from `horizon` (pixels from the top) down."""
    wide, high = size
    image = gradient(size, *(vary(colour, random, 10) for colour in SKY[light]))
    pen = Pen(image, (0, horizon), high)  # the horizon is y = 0
    reach, lowest = wide / high, horizon / high - 1
    sky(pen, light, reach, random)
    far_away(pen, place, reach, random)
    ground = vary(GROUND[place], random)
    far = shade(ground, 1.25 if place == "water" else 0.86)
    image.paste(gradient((wide, high - horizon), far, shade(ground, 1.05)), (0, horizon))
    texture(pen, place, ground, reach, lowest, random)
    if place == "snow" and random.random() < 0.6:  # it snows
        for _ in range(70):
            flake = random.uniform(0.004, 0.009)
            pen.oval(random.uniform(0, reach), random.uniform(lowest, 0.6), flake, flake, (255, 255, 255, 200))
    return image


def sky(pen: Pen, light: str, reach: float, random: Random) -> None:
    """The sun, low at sunset, and clouds."""
    if light != "cloudy":
        x, y = random.uniform(0.1, 0.9) * reach, random.uniform(0.03, 0.1) + 0.3 * (light == "sunny")
        pen.oval(x, y, 0.09, 0.09, (255, 240, 200, 90))
        pen.oval(x, y, 0.06, 0.06, (255, 244, 196, 240))
    for _ in range(6 if light == "cloudy" else 2):
        x, y = random.uniform(0, reach), random.uniform(0.15, 0.42)
        for step in range(3):
            pen.oval(x + step * 0.07, y + 0.012 * (step % 2), 0.08, random.uniform(0.02, 0.035), (250, 250, 250, 130))


def far_away(pen: Pen, place: str, reach: float, random: Random) -> None:
    """Hills, the sea behind a beach, or a row of buildings along a street."""
    if place == "street":
        x = -0.1
        while x < reach:
            x += building(pen, x, random)
    elif place == "sand":
        pen.box(0, -0.01, reach, 0.07, vary((58, 132, 176), random))
    else:
        hill = vary({"snow": (190, 204, 220), "grass": (96, 138, 96), "water": (92, 122, 104)}[place], random)
        for _ in range(3):
            wide, high = random.uniform(0.25, 0.5), random.uniform(0.06, 0.15)
            pen.oval(random.uniform(0, reach), -0.03, wide, high, shade(hill, random.uniform(0.9, 1.1)))


def building(pen: Pen, x: float, random: Random) -> float:
    """Draws a building with windows, its left edge at x, and returns its width."""
    wide, top, wall = random.uniform(0.15, 0.3), random.uniform(0.12, 0.3), vary((172, 160, 150), random, 20)
    pen.box(x, -0.02, x + wide, top, wall)
    for row, column in product(range(int(top / 0.08)), range(int(wide / 0.07))):
        left, bottom = x + 0.02 + column * 0.07, 0.025 + row * 0.08
        pen.box(left, bottom, left + 0.035, bottom + 0.045, shade(wall, 0.75))
    return wide


def texture(pen: Pen, place: str, ground: Colour, reach: float, lowest: float, random: Random) -> None:
    """Blades and flowers, drifts, ripples, or the lines of a road; nearer ones are larger."""
    if place == "street":
        pen.box(0, -0.06, reach, 0, (176, 172, 166))
        middle, shift = lowest * random.uniform(0.5, 0.62), random.uniform(0, 0.3)
        for step in range(-1, 6):
            pen.box(step * 0.32 + shift, middle, step * 0.32 + shift + 0.18, middle + 0.02, (232, 228, 206))
    for _ in range(90 if place in ("grass", "water") else 40):
        depth = random.random()
        x, y, near = random.uniform(0, reach), lowest * depth - 0.015, 0.4 + depth
        tone = (*shade(ground, random.choice([0.86, 0.92, 1.08, 1.16])), 170)
        if place == "grass":
            pen.limb([(x, y), (x + random.uniform(-0.01, 0.01), y + 0.03 * near)], 0.009 * near, tone)
        elif place == "water":
            pen.limb([(x - 0.05 * near, y), (x, y + 0.008), (x + 0.05 * near, y)], 0.009 * near, tone)
        else:
            pen.oval(x, y, 0.06 * near, 0.007 * near, (*tone[:3], 70))
    if place == "grass" and random.random() < 0.5:
        flower = random.choice([(250, 240, 120), (250, 250, 250), (236, 130, 170)])
        for _ in range(16):
            pen.oval(random.uniform(0, reach), lowest * random.uniform(0.1, 1), 0.009, 0.009, flower)


def shadow(pen: Pen, wide: float) -> None:
    """The shadow of something `wide` units wide."""
    pen.oval(0.03, 0.0, wide / 2, 0.05, (20, 20, 40, 70))


def sink(image: Image.Image, clean: Image.Image, pen: Pen, wide: float, splash: bool, random: Random) -> None:
    """Lets the water that was there before (in `clean`) cover what is below the pen's foot, `wide` units wide."""
    reach = max(1.0, wide) * pen.size
    box = tuple(round(edge) for edge in (pen.foot[0] - reach, pen.foot[1], pen.foot[0] + reach, pen.foot[1] + pen.size))
    image.paste(Image.blend(image.crop(box), clean.crop(box), 0.8), box[:2])
    for _ in range(5):
        x, half = random.uniform(-0.45, 0.45) * wide, random.uniform(0.06, 0.16) * wide
        pen.oval(x, random.uniform(-0.03, 0.0), half, 0.018, (240, 248, 252, 190))
    for _ in range(26 if splash else 0):
        drop = random.uniform(0.015, 0.035)
        pen.oval(random.gauss(0, 0.3) * wide, abs(random.gauss(0, 0.12)), drop, drop, (240, 248, 252, 220))


def photograph(image: Image.Image, size: tuple[int, int], light: str, seed: int) -> Image.Image:
    """What a camera makes of the drawing: reduced to `size`, a little blurred, tinted, lit unevenly and grainy; RGB."""
    generator = np.random.default_rng(seed)
    blur, exposure, grain = generator.uniform((0, 0.94, 2), (0.5, 1.12, 6)).tolist()
    image = image.resize(size, Image.Resampling.BOX).filter(ImageFilter.GaussianBlur(blur))
    blotches = Image.fromarray(generator.uniform(0.93, 1.06, (4, 5)).astype(np.float32))
    across, down = np.linspace(-1, 1, size[0])[None], np.linspace(-1, 1, size[1])[:, None]
    lit = blotches.resize(size, Image.Resampling.BICUBIC) * (exposure - 0.1 * (across**2 + down**2))  # (H, W)
    pixels = np.asarray(image, np.float32) * lit[..., None] * TINT[light]  # (H, W, 3)
    pixels += generator.normal(0, grain, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
