"""`kubetape sessions`: read what was recorded. One verb a file.

Shared by the verbs: `opening` (a data directory, live or copied, with an index that is up to date),
`filters` (flags that mean the same as the search language), `views` (rows as tables and JSON).
"""

from typing import Final

import click

from gateway.cli.lazy import Entry, LazyGroup

VERBS: Final = {
    "ls": Entry("gateway.cli.sessions.ls:ls", "List kubectl commands, sessions or calls."),
    "get": Entry("gateway.cli.sessions.get:get", "Show a session, a command or a call in full."),
    "tail": Entry("gateway.cli.sessions.tail:tail", "Follow what is happening now."),
    "search": Entry("gateway.cli.sessions.search:search", "Find words in commands, output and bodies."),
    "play": Entry("gateway.cli.sessions.play:play", "Replay a terminal."),
    "export": Entry("gateway.cli.sessions.export:export", "Write a recording as text, JSON or asciicast."),
}


@click.group("sessions", cls=LazyGroup, table=VERBS)
def sessions() -> None:
    """Read, search, follow and replay what was recorded.

    Works on the data directory of a running gateway and on a copy of one. An ID is that of a session (26
    letters and digits), of a command (k...) or of a call (a UUID); its first characters are enough.

    Example: kubetape sessions ls --user ann --since 1d
    """
