"""Where everything stands in a scene's picture."""

from random import Random
from typing import NamedTuple

from PIL import Image

from demo import drawing, people
from demo.drawing import COLOURS, Pen, shadow, sink, vary
from demo.people import FIGURES
from demo.world import SUBJECTS, THINGS, Scene

SIZES = ((160, 128), (160, 120), (152, 136), (144, 144), (128, 160))  # pixels
FINER = 3  # drawn this many times larger, then reduced
POSES = {"leap": "jump", "splash": "run", "gallop": "run", "chase": "run", "perch": "stand", "paddle": "swim"}
FURTHER = {"beside": 0.02, "in front of": 0.12, "behind": -0.05, "above": 0.06}  # how much further up the thing stands
TOPS = {"bench": 0.52, "rock": 0.95}  # how high one sits, in heights of the thing
SEATS = {"bicycle": (-0.2, 0.86, 1.45), "horse": (-0.05, 0.66, 0.82)}  # where the rider sits, and the rider's height
BALLS = {"hold": (0.33, 0.44), "throw": (0.24, 1.02), "kick": (0.52, 0.0), "chase": (1.35, 0.0)}  # where the ball is
SUNK = {"splash": 0.16, "stand": 0.25, "swim": 0.4, "paddle": 0.06, "float": 0.3}  # depth in water, in own heights


class Spot(NamedTuple):
    """Where something is and how large, in pixels: its middle, the ground below it, its height above ground, its size."""

    x: float
    floor: float
    lift: float
    size: float


def picture(scene: Scene, random: Random) -> Image.Image:
    """A small photograph of the scene, RGB; what is further away is drawn before what is nearer."""
    size = random.choice(SIZES)
    wide, high = (FINER * side for side in size)
    image = drawing.background((wide, high), scene.place, scene.light, round(high * random.uniform(0.42, 0.55)), random)
    facing = random.choice([1, -1])
    spots, thing = layout(scene, wide, high, facing, random)
    if thing and scene.relation != "behind":
        draw_thing(image, scene, thing, random)
    for index, spot in enumerate(spots):
        draw_figure(image, scene, spot, facing, index == len(spots) - 1, random)
    if thing and scene.relation == "behind":
        draw_thing(image, scene, thing, random)
    return drawing.photograph(image, size, scene.light, random.getrandbits(32))


def layout(scene: Scene, wide: int, high: int, facing: int, random: Random) -> tuple[list[Spot], Spot | None]:
    """Spots of the subjects, the leading one last, and of the thing that they are in a relation to, all inside the picture."""
    unit, floor = min(wide, high), high * random.uniform(0.82, 0.92)
    carrier, thing = SUBJECTS[scene.thing if scene.action == "ride" else scene.subject], THINGS.get(scene.thing)
    size = carrier.height * unit * random.uniform(0.9, 1.1) * (0.75 if scene.action in ("perch", "leap") else 1)
    thing_size = (
        thing.height * unit * random.uniform(0.9, 1.1) * (0.65 if scene.relation == "above" else 1) if thing else 0
    )
    aside = thing.width * unit if scene.relation == "beside" else 0.9 * size if scene.action == "chase" else 0
    group = scene.number * carrier.width * size
    shrink = min(1, 0.96 * wide / (group + aside))
    size, thing_size, group, aside = (shrink * length for length in (size, thing_size, group, aside))

    room = (0.97 * wide - group - aside) / 2
    side = facing if scene.action == "chase" else random.choice([1, -1])
    middle = wide / 2 + random.uniform(-room, room) - side * aside / 2
    lift = lifted(scene, size, thing_size, high, random)
    uneven = 0 if scene.relation == "on" else 0.03 * high
    steps = [facing * (index + 0.5 - scene.number / 2) * carrier.width * size for index in range(scene.number)]
    spots = [Spot(middle + step, floor + random.uniform(-uneven, uneven), lift, size) for step in steps]
    if not thing:
        return spots, None
    shift = (group + aside) / 2 if aside else 0 if scene.upon else random.uniform(0.25, 0.4) * size
    return spots, Spot(middle + side * shift, floor - FURTHER.get(scene.relation, 0) * high, 0, thing_size)


def lifted(scene: Scene, size: float, thing_size: float, high: int, random: Random) -> float:
    """How far above the ground (or, below 0, how deep in the water) the subjects are, in pixels."""
    if scene.relation == "on":
        return TOPS[scene.thing] * thing_size
    if scene.relation in ("over", "above"):
        return thing_size + 0.08 * high
    if scene.action == "fly":
        return random.uniform(0.35, 0.6) * high
    if scene.place == "water":
        return -size * (0.52 if scene.action == "swim" and SUBJECTS[scene.subject].clothes else SUNK[scene.action])
    return 0.12 * high if scene.action == "jump" else 0


def draw_thing(image: Image.Image, scene: Scene, spot: Spot, random: Random) -> None:
    """The thing that the subjects are in a relation to."""
    pen, clean, thing = Pen(image, (spot.x, spot.floor), spot.size), image.copy(), THINGS[scene.thing]
    if scene.place != "water":
        shadow(pen, 1.2 * thing.width / thing.height)
    colour = vary(COLOURS[scene.thing_colour or "brown"], random)
    people.THINGS[scene.thing](pen, colour, random, scene.place == "snow")
    if scene.place == "water":
        sink(image, clean, pen, 2.2, False, random)


def draw_figure(image: Image.Image, scene: Scene, spot: Spot, facing: int, leads: bool, random: Random) -> None:
    """One subject with what it rides, or with the ball if it is the leading one."""
    subject, colour = SUBJECTS[scene.subject], vary(COLOURS[scene.colour], random)
    clean, ground = image.copy(), Pen(image, (spot.x, spot.floor), spot.size, facing)
    tilt = 0 if subject.clothes else {"jump": 12, "leap": 14, "fly": random.uniform(-12, 12)}.get(scene.action, 0)
    pen = Pen(image, (spot.x, spot.floor - spot.lift), spot.size, facing, tilt)
    if scene.place != "water":
        shadow(ground, 1.4 if scene.action == "ride" else 0.8 * subject.width)
    thing_colour = vary(COLOURS[scene.thing_colour], random) if scene.thing_colour else colour
    if scene.action == "ride":
        FIGURES[scene.thing](pen, thing_colour, random.choice(["walk", "run"]), random)
        x, y, rider = SEATS[scene.thing]
        pen = pen.at(x, y, rider * pen.size)
    pose = "perch" if subject.clothes and scene.relation == "on" else POSES.get(scene.action, scene.action)
    FIGURES[scene.subject](pen, colour, pose, random)
    if scene.action in BALLS and leads:
        FIGURES["ball"](pen.at(*BALLS[scene.action], 0.16 * min(image.size)), thing_colour, "", random)
    if spot.lift < 0:
        sink(image, clean, ground, subject.width, scene.action == "splash", random)
