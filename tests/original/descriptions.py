"""What the original's step 1 makes of a token file, re-written after its arithmetic: the oracle for descriptions.txt."""

import string


def descriptions_file(token_file: str) -> str:
    """Return the whole descriptions.txt for the whole token file."""
    of_image: dict[str, list[str]] = {}
    for line in token_file.split("\n"):
        if len(line) >= 2:
            name, *words = line.split()
            of_image.setdefault(name.split(".")[0], []).append(clean(words))
    return "\n".join(image + " " + text for image, texts in of_image.items() for text in texts)


def clean(words: list[str]) -> str:
    kept = []
    for word in words:
        letters = "".join(character for character in word.lower() if character not in string.punctuation)
        if len(letters) > 1 and letters.isalpha():
            kept.append(letters)
    return " ".join(kept)
