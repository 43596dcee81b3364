"""A guard before YAML is parsed into a tree. Pure.

libyaml's composer recurses in C: a file of a hundred thousand opening brackets would end the process.
"""

from typing import Final

import yaml

MAX_DEPTH: Final = 64
"""Nothing that is read here is nested deeper than ten levels."""


def check_depth(content: bytes) -> None:
    """Raise ValueError for deep nesting; yaml.YAMLError for what is not YAML."""
    depth = 0
    for event in yaml.parse(content, yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ValueError("nested too deep")
