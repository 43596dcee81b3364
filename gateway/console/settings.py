"""What the operator decides about the management API, as frozen structs. Decoded from YAML by the configuration."""

import msgspec


class Admins(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Who sees all requests and may revoke."""

    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


class ConsoleSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """`listen.console` says where it listens. url: how people reach it, where that is another address (notices say it)."""

    admins: Admins = Admins()
    url: str = ""
