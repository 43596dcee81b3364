"""What a log is called: in its segments, its checkpoints and its key. One place, or signatures would not fit."""

from storage.log import LogIdentity


def identify_log(gateway_id: str, worker: int) -> LogIdentity:
    """The identity of one worker's log; its directory is `log/<worker>`."""
    return LogIdentity(gateway_id, f"kubetape/{gateway_id}/{worker}", worker)
