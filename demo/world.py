"""What there is in the drawn world: who does what, where, beside what; as tables, and as scenes drawn by lot from them.

Words that mean the same are parted by a comma, the forms of a word by a slash: `run/runs/running` or `dog/dogs`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import NamedTuple


class Subject(NamedTuple):
    """Who a scene is about: its names, height (in heights of the picture), width (in its own heights), colours, actions."""

    names: str
    height: float
    width: float
    colours: tuple[str, ...]
    actions: tuple[str, ...]
    clothes: str = ""  # what has the colour, where it is not the subject itself


class Action(NamedTuple):
    """What subjects do: its verbs, where, how the place is named, which relations it allows, what it is done to, by how many."""

    verbs: str
    places: tuple[str, ...]
    manner: str = "at"
    relations: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    most: int = 3


class Thing(NamedTuple):
    """What stands in a scene besides its subject: its names, height and width (in heights of the picture), places, relations, colours."""

    names: str
    height: float
    width: float
    places: tuple[str, ...]
    relations: tuple[str, ...]
    colours: tuple[str, ...] = ()


class Place(NamedTuple):
    """How a place is named by those who are in it, go through it, or fly over it."""

    at: str
    through: str
    over: str


FUR = ("black", "white", "brown", "grey")
CLOTHES = ("red", "blue", "yellow", "green", "pink", "black", "white")
BRIGHT = ("red", "blue", "yellow", "green", "orange", "purple")
LAND = ("grass", "snow", "sand", "street")
ANYWHERE = (*LAND, "water")
ADULT = ("walk", "stand", "sit", "run", "hold", "throw", "ride")
CHILD = ("run", "jump", "jump", "sit", "stand", "kick", "throw", "splash", "swim", "ride")

SUBJECTS = {
    "dog": Subject("dog/dogs, dog/dogs, puppy/puppies", 0.38, 1.7, FUR, ("run", "run", "jump", "sit", "splash", "swim", "chase")),
    "man": Subject("man/men, man/men, guy/guys, person/people", 0.6, 0.6, CLOTHES, ADULT, "shirt/shirts"),
    "woman": Subject("woman/women, woman/women, lady/ladies", 0.57, 0.6, CLOTHES, ADULT, "dress/dresses"),
    "boy": Subject("boy/boys, little boy/little boys, young boy/young boys, child/children", 0.46, 0.7, CLOTHES, CHILD, "shirt/shirts"),
    "girl": Subject("girl/girls, little girl/little girls, young girl/young girls, child/children", 0.45, 0.7, CLOTHES, CHILD, "dress/dresses"),
    "horse": Subject("horse/horses", 0.52, 1.6, FUR, ("gallop", "walk", "stand", "leap", "splash")),
    "bird": Subject("bird/birds", 0.24, 1.7, ("red", "blue", "yellow", "black", "white"), ("fly", "fly", "perch", "paddle")),
    "ball": Subject("ball/balls", 0.2, 1.1, BRIGHT, ("lie", "float")),
    "bicycle": Subject("bicycle/bicycles, bike/bikes", 0.36, 1.9, BRIGHT, ("park",)),
}  # fmt: skip
WEIGHTS = {"dog": 5, "man": 3, "woman": 3, "boy": 3, "girl": 3, "horse": 3, "bird": 3, "ball": 1, "bicycle": 1}

NEAR = ("beside", "in front of")
AROUND = (*NEAR, "behind")
ACTIONS = {
    "walk": Action("walks/walk/walking", LAND, "through", AROUND),
    "run": Action("runs/run/running, runs/run/running, races/race/racing", LAND, "through", NEAR),
    "gallop": Action("gallops/gallop/galloping, runs/run/running", LAND, "through", NEAR),
    "jump": Action("jumps/jump/jumping, leaps/leap/leaping", LAND, "at", (*NEAR, "over")),
    "leap": Action("jumps/jump/jumping, leaps/leap/leaping", LAND, "at", ("over",), most=2),
    "stand": Action("stands/stand/standing", ANYWHERE, "at", AROUND),
    "sit": Action("sits/sit/sitting", LAND, "at", (*NEAR, "on"), most=2),
    "perch": Action("sits/sit/sitting, perches/perch/perched", LAND, "at", ("on",), most=2),
    "splash": Action("splashes/splash/splashing, runs/run/running", ("water",), "through"),
    "swim": Action("swims/swim/swimming", ("water",), "at", ("beside",)),
    "paddle": Action("swims/swim/swimming, floats/float/floating", ("water",), "at", ("beside",)),
    "fly": Action("flies/fly/flying", ANYWHERE, "over", ("above",)),
    "hold": Action("holds/hold/holding, carries/carry/carrying", LAND, "at", (), ("ball",), 1),
    "throw": Action("throws/throw/throwing, tosses/toss/tossing", LAND, "at", (), ("ball",), 1),
    "kick": Action("kicks/kick/kicking, plays with/play with/playing with", LAND, "at", (), ("ball",), 1),
    "chase": Action("chases/chase/chasing, runs after/run after/running after", LAND, "through", (), ("ball",), 2),
    "ride": Action("rides/ride/riding", LAND, "through", (), ("bicycle", "horse"), 2),
    "lie": Action("lies/lie/lying", LAND, "at", ("beside", "in front of")),
    "float": Action("floats/float/floating", ("water",), "at", ("beside",)),
    "park": Action("is parked/are parked/parked, stands/stand/standing", LAND, "at", AROUND, most=2),
}  # fmt: skip

THINGS = {
    "tree": Thing("tree", 0.78, 0.5, ("grass", "snow"), (*AROUND, "above")),
    "house": Thing("house", 0.62, 0.8, ("grass", "snow"), (*NEAR, "above"), ("red", "white", "yellow", "blue")),
    "fence": Thing("fence, wooden fence", 0.19, 0.0, ("grass", "snow", "sand"), ("behind", "in front of", "over")),
    "bench": Thing("bench, bench, wooden bench", 0.26, 0.6, LAND, (*NEAR, "on")),
    "rock": Thing("rock, large rock, big rock", 0.24, 0.46, ("grass", "snow", "sand", "water"), ("beside", "on", "over")),
    "car": Thing("car", 0.36, 0.9, ("street",), (*AROUND, "above"), ("red", "blue", "yellow", "green", "white")),
    "umbrella": Thing("umbrella, beach umbrella", 0.7, 0.7, ("sand",), ("beside",), BRIGHT),
}  # fmt: skip

PLACES = {
    "grass": Place("on the grass, in the grass, in a field, in a grassy field", "through the grass, across the grass, through a field", "over the grass, over a field"),
    "snow": Place("in the snow, on the snow, on snowy ground", "through the snow, through the snow, across the snow", "over the snow, above the snow"),
    "sand": Place("on the sand, on the beach, on a sandy beach", "along the beach, across the sand, on the beach", "over the beach, over the sand"),
    "street": Place("on the street, in the street, on the road, in a city street", "down the street, along the road, down a city street", "over the street, above the road"),
    "water": Place("in the water, in the water, in a lake", "through the water, through the water, through a lake", "over the water, above the water, over a lake"),
}  # fmt: skip

RELATIONS = {
    "beside": "beside, next to, near, by",
    "behind": "behind",
    "in front of": "in front of",
    "on": "on",
    "over": "over",
    "above": "over, above",
}
LIGHTS = {"sunny": "on a sunny day", "cloudy": "on a cloudy day", "sunset": "at sunset"}


@dataclass(frozen=True)
class Scene:
    """What a picture shows: keys of the tables; `thing` is what the action is done to where there is no relation."""

    subject: str
    colour: str
    number: int
    action: str
    place: str
    light: str
    relation: str = ""
    thing: str = ""
    thing_colour: str = ""

    @property
    def upon(self) -> bool:
        """Whether the subject is on the thing or over it, rather than on the ground."""
        return self.relation in ("on", "over", "above")

    @property
    def held_out(self) -> bool:
        """Whether training never shows it: each subject in each colour is kept out of one place."""
        kind = list(SUBJECTS).index(self.subject) + SUBJECTS[self.subject].colours.index(self.colour)
        return list(PLACES)[kind % len(PLACES)] == self.place


def any_scene(random: Random) -> Scene:
    """A scene drawn by lot."""
    (name,) = random.choices(list(WEIGHTS), list(WEIGHTS.values()))
    subject = SUBJECTS[name]
    action = random.choice(subject.actions)
    place = random.choice(ACTIONS[action].places)
    relation, thing = any_thing(action, place, random)
    alone = (relation, thing) in (("on", "rock"), ("behind", "tree"), ("behind", "car"))
    most = 1 if alone else 2 if thing else 3
    return Scene(
        subject=name,
        colour=random.choice(subject.colours),
        number=min(random.choice([1, 1, 1, 2, 2, 3, 3]), most, ACTIONS[action].most),
        action=action,
        place=place,
        light=random.choice(["sunny", *LIGHTS]),
        relation=relation,
        thing=thing,
        thing_colour=random.choice((THINGS.get(thing) or SUBJECTS[thing]).colours or ("",)) if thing else "",
    )


def any_thing(action: str, place: str, random: Random) -> tuple[str, str]:
    """A relation and a thing that the action allows at the place, or ("", what the action is done to), or two empty words."""
    does = ACTIONS[action]
    if does.objects:
        return "", random.choice(does.objects)
    possible: dict[str, list[str]] = {
        relation: [name for name, thing in THINGS.items() if relation in thing.relations and place in thing.places]
        for relation in does.relations
    }
    relation = random.choice([relation for relation, names in possible.items() if names] or [""])
    if not relation or (action not in ("perch", "leap") and random.random() < 0.4):
        return "", ""
    return relation, random.choice(possible[relation])


def scenes(seed: int, held_out: bool) -> Iterator[Scene]:
    """Scenes by lot without end, all of them of held-out combinations, or none."""
    random = Random(f"scenes {seed} {held_out}")
    while True:
        scene = any_scene(random)
        if scene.held_out == held_out:
            yield scene
