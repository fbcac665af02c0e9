"""What is drawn: people, animals and things, each by a pen in its own coordinates.

Proportions, shades and details come from a random generator, so that no two dogs look the same.
"""

import math
from functools import partial
from random import Random

from demo.drawing import COLOURS, Colour, Pen, Point, shade, vary

SKIN = ((244, 206, 176), (222, 172, 132), (168, 112, 76), (104, 68, 48))
HAIR = ((36, 28, 26), (92, 58, 34), (196, 152, 84), (150, 74, 40))
TROUSERS = ((52, 62, 98), (70, 66, 64), (104, 94, 78))
WOOD, STEEL, GLASS, DARK = (134, 94, 58), (96, 98, 106), (176, 210, 226), (30, 28, 30)

# Angles of a limb's upper and lower part from straight down, in degrees, forwards positive: the near one, then the far one.
LEGS = {
    "stand": ((4, 2), (-6, -4)),
    "walk": ((24, 10), (-16, -32)),
    "run": ((58, -8), (-28, -88)),
    "jump": ((38, -10), (-32, -58)),
    "sit": ((84, 78), (74, 88)),
    "perch": ((80, 4), (72, -6)),
    "ride": ((62, -14), (24, -26)),
    "kick": ((58, 50), (-12, -18)),
}
ARMS = {
    "stand": ((14, 8), (-16, -6)),
    "walk": ((-24, -4), (24, 44)),
    "run": ((-58, 24), (48, 116)),
    "jump": ((142, 164), (-138, -160)),
    "sit": ((26, 52), (-24, -12)),
    "perch": ((22, 60), (-14, 10)),
    "ride": ((58, 66), (50, 70)),
    "kick": ((-44, -20), (40, 60)),
    "throw": ((138, 150), (-30, -20)),
    "hold": ((34, 78), (26, 84)),
    "swim": ((122, 96), (60, 100)),
}
PAWS = {  # fore legs, hind legs
    "stand": (((2, 0), (8, 2)), ((-10, 8), (2, 12))),
    "walk": (((22, 6), (-14, -30)), ((16, -4), (-24, -14))),
    "run": (((64, 40), (40, 16)), ((-46, -66), (-24, -44))),
    "jump": (((76, 10), (60, -20)), ((-40, -62), (-52, -76))),
    "sit": (((-4, 4), (6, 10)), ((74, -40), (64, -50))),
}


def joints(start: Point, angles: tuple[float, float], length: float) -> list[Point]:
    """Shoulder, elbow and hand (or hip, knee and foot) of a limb of two equal parts."""
    points = [start]
    for angle in angles:
        x, y = points[-1]
        points.append((x + length / 2 * math.sin(math.radians(angle)), y - length / 2 * math.cos(math.radians(angle))))
    return points


def person(pen: Pen, colour: Colour, pose: str, random: Random, child: bool, dress: bool) -> None:
    """A person in clothes of the colour; with a dress comes long hair. Whoever sits has the seat at (0, 0)."""
    skin, trousers = vary(random.choice(SKIN), random), vary(random.choice(TROUSERS), random)
    head, leg, body = (0.125, 0.36, 0.3) if child else (0.088, 0.46, 0.33)
    seated = pose in ("sit", "perch", "ride")
    hip, lean = (0.06 if seated else leg), {"run": 0.08, "ride": 0.1, "kick": -0.05}.get(pose, 0.0)
    shoulder = (lean, hip + body - 0.06)
    near, far = (joints((0, hip), angles, leg) for angles in LEGS.get(pose, LEGS["stand"]))
    near_arm, far_arm = (joints(shoulder, angles, 0.34) for angles in ARMS[pose])

    pen.limb(far_arm, 0.065, shade(skin, 0.85))
    for points, depth in ((far, 0.78), (near, 1.0)):
        pen.limb(points, 0.11, shade(skin if dress else trousers, depth), 0.85)
        pen.oval(points[-1][0] + 0.035, points[-1][1], 0.065, 0.032, DARK)
    top = pen.at(lean * 1.2 + 0.01, hip + body + head * 1.1, pen.size * head)
    hair, wide = vary(random.choice(HAIR), random), random.uniform(0.1, 0.13)
    if dress:
        top.oval(-0.3, -0.5, 1.05, 1.5, hair)
        low = hip - (0.05 if seated else 0.14)
        front = 0.24 if seated else max(near[1][0], 0.06) + 0.13
        sides = [(lean - wide * 0.8, hip + body), (lean + wide * 0.8, hip + body), (front, low), (-0.17, low)]
        pen.shape(sides, shade(colour, 0.86))
        pen.limb([(lean / 2, hip + 0.05), shoulder], wide * 1.55, colour)
    else:
        pen.limb([(0, hip + 0.02), shoulder], wide * 2, shade(colour, 0.86))
        pen.limb([(0.01, hip + 0.04), (lean + 0.015, shoulder[1])], wide * 1.6, colour)
    pen.limb(near_arm, 0.065, skin)
    pen.limb(near_arm[:2], 0.09, shade(colour, 0.93))
    face(top, skin, hair, colour if not dress and random.random() < 0.3 else None)


def face(pen: Pen, skin: Colour, hair: Colour, cap: Colour | None) -> None:
    """A head of radius 1 around (0, 0), at times with a cap."""
    pen.oval(0, 0.1, 1.08, 1.08, hair)
    pen.round(0.16, -0.08, 0.92, 0.94, skin)
    pen.shape([(-1, 0.2), (-0.5, 1.1), (0.5, 1.15), (1.05, 0.4)], hair)
    for x in (0.2, 0.65):
        pen.oval(x, -0.02, 0.1, 0.13, DARK)
    if cap:
        pen.shape([(-1, 0.4), (-0.6, 1.2), (0.5, 1.2), (1.6, 0.4)], cap)


def four_legged(pen: Pen, colour: Colour, pose: str, random: Random, horse: bool) -> None:
    """A dog or a horse."""
    stretch, stout = random.uniform(0.9, 1.08), random.uniform(0.9, 1.15)
    leg, width, thick, half = (0.55, 0.09, 0.33, 0.4) if horse else (random.uniform(0.36, 0.44), 0.12, 0.36, 0.32)
    hip, shoulder, thick = (-half * stretch, leg), (half * stretch - 0.04, leg + 0.03), thick * stout
    if pose == "sit":
        hip, shoulder = (-0.2, 0.18), (0.12, leg + 0.06)
    fore, hind = PAWS.get(pose, PAWS["walk"])
    end = shade(colour, 0.6) if sum(colour) > 150 else (86, 82, 84)  # of ears, mane and tail
    hoof = random.choice([shade(colour, 0.5), (236, 230, 222)])

    def legs(near: int, shift: float, tone: Colour) -> None:
        for start, angles in ((shoulder, fore[near]), (hip, hind[near])):
            points = joints((start[0] + shift, start[1]), angles, leg)
            pen.limb(points, width, tone, 0.85)
            pen.oval(points[-1][0] + 0.02, points[-1][1] + 0.02, width * 0.5, width * 0.35, hoof if horse else tone)

    legs(1, 0.06, shade(colour, 0.68))
    x, y = hip
    if horse:
        pen.limb([(x - 0.1, y + 0.1), (x - 0.27, y - 0.05), (x - 0.3, y - 0.36)], 0.1, end)
    else:
        tail = random.uniform(-20, 15)
        pen.limb(joints((x - 0.1, y + 0.06), (-115 + tail, -150 + tail), 0.4), 0.09, colour, 0.75)
    pen.limb([hip, shoulder], thick, shade(colour, 0.82), 1.08)
    pen.limb([(x, y + 0.03), (shoulder[0], shoulder[1] + 0.03)], thick * 0.8, colour, 1.08)
    for _ in range(random.choice([0, 0, 2])):  # patches
        patch = (226, 218, 200, 200) if sum(colour) < 420 else (96, 74, 58, 200)
        along = random.uniform(x, shoulder[0])
        pen.oval(along, (y + shoulder[1]) / 2 + 0.04, 0.1, 0.07, patch, random.uniform(0, 60))
    legs(0, -0.01, shade(colour, 0.92))
    (horse_head if horse else dog_head)(pen, shoulder, colour, end, random)


def dog_head(pen: Pen, shoulder: Point, colour: Colour, end: Colour, random: Random) -> None:
    x, y, muzzle = shoulder[0] + 0.22, shoulder[1] + 0.32, random.uniform(0.2, 0.28)
    pen.limb([shoulder, (x, y)], 0.27, colour, 0.9)
    pen.limb(
        [(x - 0.1, y - 0.2), (x + 0.1, y - 0.15)], 0.05, vary(random.choice(list(COLOURS.values())), random)
    )  # a collar
    pen.limb([(x + 0.05, y - 0.03), (x + muzzle, y - 0.07)], 0.19, shade(colour, 1.06), 0.8)
    pen.round(x, y + 0.02, 0.21, 0.2, colour)
    pen.oval(x + muzzle + 0.06, y - 0.02, 0.045, 0.04, DARK)
    if random.random() < 0.6:  # floppy ears, or pointed ones
        pen.oval(x - 0.12, y - 0.02, 0.08, 0.18, end, -14)
    else:
        pen.shape([(x - 0.18, y + 0.08), (x - 0.12, y + 0.32), (x + 0.0, y + 0.18)], end)
    pen.oval(x + 0.09, y + 0.06, 0.042, 0.046, (250, 250, 250))
    pen.oval(x + 0.1, y + 0.06, 0.028, 0.034, DARK)


def horse_head(pen: Pen, shoulder: Point, colour: Colour, end: Colour, random: Random) -> None:
    x, y = shoulder[0] + 0.24, shoulder[1] + random.uniform(0.34, 0.4)
    pen.limb([(shoulder[0] - 0.1, shoulder[1] + 0.14), (x - 0.11, y + 0.04), (x + 0.02, y + 0.09)], 0.13, end)
    pen.limb([(shoulder[0] + 0.02, shoulder[1] + 0.04), (x, y)], 0.27, colour, 0.66)
    pen.limb([(x, y), (x + 0.2, y - 0.2)], 0.18, shade(colour, 1.06), 0.75)
    pen.shape([(x - 0.07, y + 0.05), (x - 0.02, y + 0.22), (x + 0.05, y + 0.06)], colour)
    pen.oval(x + 0.06, y + 0.01, 0.028, 0.03, (250, 250, 250))
    pen.oval(x + 0.065, y + 0.01, 0.02, 0.024, DARK)
    pen.oval(x + 0.23, y - 0.21, 0.018, 0.018, DARK)


def bird(pen: Pen, colour: Colour, pose: str, random: Random) -> None:
    """A bird that stands, walks, swims or flies."""
    wing = shade(colour, 0.7) if sum(colour) > 150 else (82, 80, 88)
    body = 0.45 if pose in ("stand", "walk") else 0.18
    if pose in ("stand", "walk"):
        step = 14 if pose == "walk" else 3
        for x, angle in ((-0.02, -step), (0.1, step)):
            pen.limb(joints((x, 0.35), (angle, angle / 2), 0.36), 0.05, (214, 140, 50))
    pen.shape([(-0.3, body + 0.1), (-0.8, body + 0.2), (-0.74, body - 0.06), (-0.25, body - 0.1)], wing)
    pen.round(0, body, 0.43, 0.27, colour, 12)
    pen.round(0.4, body + 0.27, 0.2, 0.19, colour)
    pen.shape([(0.55, body + 0.34), (0.84, body + 0.23), (0.54, body + 0.18)], (244, 170, 40))
    pen.oval(0.47, body + 0.31, 0.045, 0.05, (250, 250, 250))
    pen.oval(0.48, body + 0.31, 0.03, 0.035, DARK)
    if pose == "fly":
        up = random.choice([1, 1, -0.8])
        pen.shape([(-0.25, body), (-0.42, body + 0.8 * up), (-0.1, body + 0.72 * up), (0.22, body + 0.06)], wing)
        pen.shape(
            [(-0.05, body + 0.05), (0.2, body + 0.78 * up), (0.42, body + 0.62 * up), (0.28, body)], shade(wing, 1.2)
        )
    else:
        pen.oval(-0.1, body + 0.02, 0.3, 0.15, wing, 8)


def ball(pen: Pen, colour: Colour, pose: str, random: Random) -> None:
    """A ball: plain, striped or with panels."""
    pen.round(0, 0.5, 0.5, 0.5, colour)
    pattern, light = random.choice(["plain", "striped", "panels"]), (250, 248, 240, 170)
    if pattern == "striped":
        pen.limb([(-0.44, 0.36), (0, 0.3 + random.uniform(0, 0.3)), (0.44, 0.62)], 0.13, light)
    elif pattern == "panels":
        for angle in range(0, 360, 72):
            pen.oval(0.3 * math.cos(angle), 0.5 + 0.3 * math.sin(angle), 0.09, 0.09, light)
    pen.oval(-0.16, 0.72, 0.12, 0.08, (255, 255, 255, 150), 30)


def bicycle(pen: Pen, colour: Colour, pose: str, random: Random) -> None:
    """A bicycle; its saddle is 0.88 high."""
    for x in (-0.52, 0.52):
        pen.oval(x, 0.36, 0.37, 0.37, (*DARK, 235))
        pen.oval(x, 0.36, 0.3, 0.3, (214, 216, 210, 225))
        for angle in range(0, 180, 45):
            reach = (0.3 * math.cos(math.radians(angle)), 0.3 * math.sin(math.radians(angle)))
            pen.limb([(x - reach[0], 0.36 - reach[1]), (x + reach[0], 0.36 + reach[1])], 0.02, STEEL)
    pedal, seat, front = (-0.06, 0.36), (-0.2, 0.78), (0.36, 0.82)
    for line in ([(-0.52, 0.36), pedal, front, (0.52, 0.36)], [(-0.52, 0.36), seat, front], [pedal, seat]):
        pen.limb(line, 0.075, colour)
    pen.limb([seat, (-0.22, 0.88)], 0.06, STEEL)
    pen.limb([(-0.32, 0.9), (-0.12, 0.89)], 0.07, DARK)
    pen.limb([front, (0.34, 0.98), (0.46, 1.0)], 0.06, DARK)
    pen.oval(*pedal, 0.07, 0.07, STEEL)


def tree(pen: Pen, colour: Colour, random: Random, snowy: bool = False) -> None:
    """A round or a pointed tree."""
    trunk, green = vary(WOOD, random), vary((62, 124, 58), random, 24)
    pen.limb([(0, 0.02), (random.uniform(-0.03, 0.03), 0.5)], 0.11, shade(trunk, 0.85), 0.75)
    pen.limb([(0.01, 0.02), (0.01, 0.5)], 0.05, trunk, 0.75)
    if random.random() < 0.45:
        for level in range(3):
            wide, y = 0.3 - level * 0.07, 0.24 + level * 0.22
            pen.shape([(-wide, y), (wide, y), (0, y + 0.36)], shade(green, 0.72 + level * 0.12))
            if snowy:
                pen.shape([(-wide * 0.4, y + 0.22), (wide * 0.4, y + 0.22), (0, y + 0.36)], (242, 246, 250))
        return
    for _ in range(12):
        x, y = random.uniform(-0.2, 0.2), random.uniform(0.5, 0.84)
        pen.round(x, y, random.uniform(0.11, 0.18), random.uniform(0.1, 0.15), shade(green, random.uniform(0.75, 1.1)))
    for x in (-0.15, 0.0, 0.16) if snowy else ():
        pen.oval(x, 0.9 - abs(x) * 0.6, 0.1, 0.045, (242, 246, 250), -60 * x)


def house(pen: Pen, colour: Colour, random: Random, snowy: bool = False) -> None:
    """A house with walls of the colour."""
    wide, roof = random.uniform(0.5, 0.65), (236, 242, 248) if snowy else vary((120, 72, 60), random)
    pen.box(wide * 0.4, 0.7, wide * 0.6, 1.0, shade(roof, 0.75))
    pen.box(-wide, 0, wide, 0.62, colour)
    pen.box(-wide, 0.52, wide, 0.62, shade(colour, 0.8))
    pen.shape([(-wide - 0.1, 0.6), (wide + 0.1, 0.6), (wide * 0.6, 0.95), (-wide * 0.6, 0.95)], roof)
    door = random.choice([-0.3, 0.0, 0.3])
    pen.box(door - 0.09, 0, door + 0.09, 0.36, vary(WOOD, random))
    for x in {-0.3, 0.0, 0.3} - {door}:
        pen.box(x - 0.11, 0.2, x + 0.11, 0.44, (244, 244, 238))
        pen.box(x - 0.085, 0.225, x + 0.085, 0.415, GLASS)


def fence(pen: Pen, colour: Colour, random: Random, snowy: bool = False) -> None:
    """A fence that runs through the whole picture."""
    wood = vary(random.choice([WOOD, (226, 220, 208)]), random)
    for y in (0.3, 0.7):
        pen.box(-6, y - 0.07, 6, y + 0.07, shade(wood, 0.8))
    for step in range(-16, 17):
        x = step * 0.36
        pen.shape([(x - 0.09, 0), (x + 0.09, 0), (x + 0.09, 0.88), (x, 1.0), (x - 0.09, 0.88)], wood)


def bench(pen: Pen, colour: Colour, random: Random, snowy: bool = False) -> None:
    """A bench; its seat is 0.5 high."""
    wood = vary(WOOD, random)
    for x in (-0.9, 0.9):
        pen.limb([(x, 0), (x, 0.95)], 0.1, STEEL)
        pen.limb([(x * 1.02, 0), (x * 1.02, 0.45)], 0.12, DARK)
    for y in (0.7, 0.9):
        pen.box(-1.1, y - 0.07, 1.1, y + 0.07, shade(wood, 0.85))
    pen.box(-1.12, 0.4, 1.12, 0.54, wood)


def rock(pen: Pen, colour: Colour, random: Random, snowy: bool = False) -> None:
    """A rock with a flat top."""
    stone = vary((128, 122, 116), random)
    rim = [(-1, 0), (-0.92, 0.4), (-0.6, 0.86), (-0.1, 1.0), (0.5, 0.96), (0.85, 0.5), (1, 0)]
    rim = [(x, y * random.uniform(0.9, 1.0)) for x, y in rim]
    pen.shape(rim, shade(stone, 0.78))
    pen.shape([(x * 0.86 - 0.08, 0.16 + y * 0.84) for x, y in rim[1:6]], stone)
    pen.shape([(-0.5, 0.84), (-0.1, 0.98), (0.4, 0.93), (0, 0.76)], (240, 244, 250) if snowy else shade(stone, 1.2))


def car(pen: Pen, colour: Colour, random: Random, snowy: bool = False) -> None:
    """A car."""
    pen.shape([(-0.75, 0.5), (-0.45, 1.0), (0.35, 1.0), (0.75, 0.5)], shade(colour, 0.85))
    for left, right in (((-0.62, 0.55), (-0.4, 0.92)), ((0.62, 0.55), (0.32, 0.92))):
        pen.shape([left, right, (right[0] * 0.1, 0.92), (right[0] * 0.1, 0.55)], GLASS)
    pen.limb([(-1.1, 0.4), (1.1, 0.4)], 0.38, colour)
    pen.box(-1.25, 0.2, 1.25, 0.3, shade(colour, 0.7))
    for x in (-0.68, 0.68):
        pen.oval(x, 0.2, 0.23, 0.23, DARK)
        pen.oval(x, 0.2, 0.1, 0.1, (190, 190, 196))
    pen.oval(1.2, 0.46, 0.07, 0.07, (255, 244, 190))


def umbrella(pen: Pen, colour: Colour, random: Random, snowy: bool = False) -> None:
    """A beach umbrella."""
    pen.limb([(0, 0), (0, 0.95)], 0.03, (236, 232, 226))
    for left, right, tone in ((-0.5, -0.17, 0.85), (-0.17, 0.17, 1.12), (0.17, 0.5, 0.92)):
        pen.shape(
            [(left, 0.68), ((left + right) / 2, 0.64), (right, 0.68), (right * 0.6, 0.9), (0, 1.0), (left * 0.6, 0.9)],
            shade(colour, tone),
        )


FIGURES = {
    "dog": partial(four_legged, horse=False),
    "horse": partial(four_legged, horse=True),
    "man": partial(person, child=False, dress=False),
    "woman": partial(person, child=False, dress=True),
    "boy": partial(person, child=True, dress=False),
    "girl": partial(person, child=True, dress=True),
    "bird": bird,
    "ball": ball,
    "bicycle": bicycle,
}
THINGS = {"tree": tree, "house": house, "fence": fence, "bench": bench, "rock": rock, "car": car, "umbrella": umbrella}
