"""What the rows of the lake may hold, and what belongs to the deployment and is in no record."""

from typing import Final

import msgspec

from storage.index_rows import IndexSettings

TEXT_LIMITS: Final = IndexSettings(max_body_bytes=0)
"""Bodies stay in the segments; of a stream as much text as in the index."""
NO_TEXT: Final = IndexSettings(max_body_bytes=0, max_stream_bytes=0)


class RowSettings(msgspec.Struct, frozen=True):
    """How rows are made.

    cluster: first partition of every table. metadata_only: no text of streams, no command lines, no query
    strings (nor selectors, which are part of them), no hashes of bodies: a hash of a short secret gives it
    away. agent_groups: who is in one of them is an agent, as policy says it.
    """

    cluster: str = "default"
    metadata_only: bool = False
    agent_groups: tuple[str, ...] = ("agents",)

    @property
    def limits(self) -> IndexSettings:
        return NO_TEXT if self.metadata_only else TEXT_LIMITS
