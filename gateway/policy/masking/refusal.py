"""What cannot be masked is not shown."""


class Unmaskable(Exception):
    """An answer that a mask applies to and that cannot be read. Answer `code` with `why`, show nothing of it.

    code: 406 where the client can ask for another encoding, else 502. why: one line for the person, without any value.
    """

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why
