"""What five people would write below a picture: the same scene in other words, another order, more or less detail."""

from random import Random

from demo.world import ACTIONS, LIGHTS, PLACES, RELATIONS, SUBJECTS, THINGS, Scene

STYLES = {  # a way of writing; how often it is chosen; how likely it names a colour, the place, a thing nearby
    "{subject} {is} {doing} {where}": (4, 0.85),
    "{subject} {does} {where}": (3, 0.8),
    "{subject} {doing} {where}": (2, 0.75),
    "{bare} {doing} {where}": (2, 0.6),
    "the {bare} {is} {doing} {where}": (1, 0.8),
    "there {is} {subject} {doing} {where}": (1, 0.8),
    "{place} , {subject} {is} {doing} {nearby}": (1, 0.85),
    "{subject} {is} {doing}": (1, 0.5),
}
NUMBERS = {2: "two, two, two, a pair of", 3: "three, three, three, a group of"}


def captions(scene: Scene, random: Random) -> list[str]:
    """Five captions in Flickr8k's manner, no two alike."""
    written: list[str] = []
    while len(written) < 5:
        text = caption(scene, random)
        if text not in written:
            written.append(text)
    return written


def caption(scene: Scene, random: Random) -> str:
    """One caption: a capital first, spaces around a comma and before the full stop."""
    (style,) = random.choices(list(STYLES), [often for often, _ in STYLES.values()])
    detail = STYLES[style][1]
    plural = scene.number > 1
    verb = random.choice(ACTIONS[scene.action].verbs.split(", ")).split("/")
    done_to = thing_phrase(scene, detail, random) if not scene.relation else ""
    nearby = nearby_phrase(scene, detail, random)
    place = place_phrase(scene, random)
    bare = subject_phrase(scene, detail, random)
    text = style.format(
        bare=f"{('two', 'three')[scene.number - 2]} {bare}" if plural else bare,
        subject=f"{pick(NUMBERS[scene.number], random)} {bare}" if plural else with_article(bare),
        **{"is": "are" if plural else "is"},
        does=f"{verb[plural]} {done_to}",
        doing=f"{verb[2]} {done_to}",
        place=place,
        nearby=nearby,
        where=where_phrase(scene, place if random.random() < detail else "", nearby, random),
    )
    return " ".join(f"{text[0].upper()}{text[1:]} .".split())


def subject_phrase(scene: Scene, detail: float, random: Random) -> str:
    """`brown dogs`, `dogs`, `woman in a red dress`, `children wearing blue`: no article and no number yet."""
    subject, plural = SUBJECTS[scene.subject], scene.number > 1
    noun = pick(subject.names, random, plural)
    if random.random() >= detail:
        return noun
    if not subject.clothes:
        return f"{scene.colour} {noun}"
    clothes = f"{scene.colour} {pick(subject.clothes, random, plural)}"
    clothes = random.choice([clothes if plural else with_article(clothes), scene.colour])
    return f"{noun} {random.choice(['in', 'in', 'wearing'])} {clothes}"


def thing_phrase(scene: Scene, detail: float, random: Random) -> str:
    """`a tree`, `an orange ball`, `brown horses`; nothing where the scene has no thing."""
    if not scene.thing:
        return ""
    many = scene.action == "ride" and scene.number > 1  # each rides one
    noun = pick((THINGS.get(scene.thing) or SUBJECTS[scene.thing]).names, random, many)
    if scene.thing_colour and random.random() < detail:
        noun = f"{scene.thing_colour} {noun}"
    return noun if many else with_article(noun)


def nearby_phrase(scene: Scene, detail: float, random: Random) -> str:
    """`beside a tree`; what somebody is on or over is always told."""
    told = scene.relation and (scene.upon or random.random() < detail)
    return f"{pick(RELATIONS[scene.relation], random)} {thing_phrase(scene, detail, random)}" if told else ""


def place_phrase(scene: Scene, random: Random) -> str:
    manner = "at" if scene.upon else ACTIONS[scene.action].manner
    return pick(getattr(PLACES[scene.place], manner), random)


def where_phrase(scene: Scene, place: str, nearby: str, random: Random) -> str:
    """The place and the thing nearby in either order, at times with the light."""
    nearby_first = scene.upon or random.random() < 0.3
    light = LIGHTS[scene.light] if random.random() < 0.1 else ""
    return " ".join([nearby, place, light] if nearby_first else [place, nearby, light])


def pick(wordings: str, random: Random, form: int = 0) -> str:
    """One of several wordings parted by commas, in one of its forms parted by slashes."""
    return random.choice(wordings.split(", ")).split("/")[form]


def with_article(noun: str) -> str:
    """`a dog`, `an orange ball`."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
