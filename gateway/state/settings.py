"""What the operator decides about the shared state, as frozen structs. Decoded from YAML by the configuration."""

import msgspec


class PostgresSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A PostgreSQL database for several replicas; one database for one guarded cluster."""

    dsn_file: str  # holds the connection string, which holds a password


class StateSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Where grants, approvals and revocations are kept. Nothing set: SQLite in the data directory, one gateway.

    Replicas have to know each other's keys: either all share `signing_key_file`, or each lists the others'
    `keys/state.vkey` lines in `trusted_keys`.
    """

    postgres: PostgresSettings | None = None
    signing_key_file: str = ""
    trusted_keys: list[str] = []
