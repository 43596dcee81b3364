"""What can go wrong with the lake that is no mistake in a question (that is storage.errors.BadQuery)."""

from storage.errors import StorageError


class LakeFailed(StorageError):
    """The question was not answered: too much memory or time, a file that cannot be read. Says what to do."""


class NoDuckDB(LakeFailed):
    """The extra that brings DuckDB is not installed."""

    def __init__(self) -> None:
        super().__init__("DuckDB is not installed: pip install 'kubetape[lake]'")
