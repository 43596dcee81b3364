"""Globs over one text: `*` any characters, also `/`; `?` one. No other character is special.

By hand and not `fnmatch`: that hands the pattern to Python's `re`, which no pattern of a policy may reach. At most
len(text) x len(pattern) steps.
"""


def matches_glob(text: str, pattern: str) -> bool:
    """Whether the whole text matches."""
    at = place = 0
    star: int | None = None  # behind the last star of the pattern ...
    resume = 0  # ... and where in the text what follows it was tried last
    while at < len(text):
        if pattern[place : place + 1] == "*":
            place += 1
            star, resume = place, at
        elif place < len(pattern) and pattern[place] in ("?", text[at]):
            at += 1
            place += 1
        elif star is not None:
            resume += 1
            at, place = resume, star
        else:
            return False
    return not pattern[place:].strip("*")
