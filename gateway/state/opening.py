"""Settings -> the store they name, and a gateway's part in the shared state. Blocking, at start only."""

from pathlib import Path

from gateway.state.follower import RecordEntry, SharedState
from gateway.state.memory import Memory
from gateway.state.settings import StateSettings
from gateway.state.signing import open_seal
from gateway.state.sqlite import SqliteStore
from gateway.state.store import StateError, StateStore


def open_shared_state(
    settings: StateSettings, data_dir: Path, gateway_id: str, cluster: str, record: RecordEntry
) -> SharedState:
    """Everything but running it. cluster: its name in the configuration, which every signature covers.

    Raises StateError, StateUnavailable; of storage.errors BadKeyFile, LogFailed.
    """
    seal = open_seal(
        data_dir,
        gateway_id,
        cluster,
        key_file=settings.signing_key_file,
        trusted_keys=settings.trusted_keys,
    )
    store = open_store(settings, data_dir)
    memory = Memory(data_dir) if settings.postgres is not None else None
    return SharedState(store, seal, record, memory=memory)


def open_store(settings: StateSettings, data_dir: Path) -> StateStore:
    """Raises StateError with what is missing, StateUnavailable when the store cannot be reached."""
    if settings.postgres is None:
        return SqliteStore(data_dir)
    try:
        # The driver is an extra, and costs 50 ms to import: only who uses it pays.
        from gateway.state.postgres import PostgresStore
    except ImportError:
        raise StateError("state.postgres needs the PostgreSQL driver: install kubetape[postgres]") from None
    path = Path(settings.postgres.dsn_file)
    try:
        dsn = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a text file"
        raise StateError(f"state.postgres.dsnFile: cannot read {path}: {why}") from None
    if not dsn:
        raise StateError(
            f"state.postgres.dsnFile: {path} is empty: write postgresql://USER:PASSWORD@HOST/DATABASE"
        )
    return PostgresStore(dsn)
