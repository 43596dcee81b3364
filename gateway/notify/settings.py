"""What the operator decides about notices, as frozen structs. Decoded from YAML by the configuration.

Whatever can be checked without the network is checked here, once. Raises ValueError, which msgspec reports with the
place in the file.
"""

import re
from typing import Final

import msgspec

from gateway.outlets.settings import parse_webhook_url

EVENTS: Final = (
    "hold.requested",
    "hold.decided",
    "hold.expired",
    "grant.requested",
    "grant.approved",
    "grant.denied",
    "grant.ended",
    "revoked",
    "budget.crossed",
)
_SLACK_USER: Final = re.compile(r"[UW][A-Z0-9]{2,20}")


class WebhookSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One receiver. Every notice is signed with the secret in the file; see docs/approvals.md."""

    url: str  # https, or http to this machine
    secret_file: str  # at least 16 bytes, read anew for every attempt
    ca_file: str | None = None  # PEM, replaces the system's roots
    events: tuple[str, ...] = EVENTS

    def __post_init__(self) -> None:
        parse_webhook_url(self.url)
        if not self.secret_file:
            raise ValueError("secretFile: name the file with the secret that signs notices")
        unknown = [event for event in self.events if event not in EVENTS]
        if unknown or not self.events:
            raise ValueError(f"events: some of {', '.join(EVENTS)}")


class SlackPerson(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Who a Slack user is to the policy. issuer: as in the tokens of that person."""

    user: str
    groups: tuple[str, ...] = ()
    issuer: str = ""

    def __post_init__(self) -> None:
        if not self.user:
            raise ValueError("user: the name that policies know this person by")


class SlackSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Slack in socket mode: we call out, nothing listens. Needs kubetape[slack]."""

    app_token_file: str  # xapp-..., with connections:write
    bot_token_file: str  # xoxb-..., with chat:write
    channel: str  # its id, C0123456789, or #name
    users: dict[str, SlackPerson] = {}  # Slack's user id -> person; nobody else can decide there

    def __post_init__(self) -> None:
        if not (self.app_token_file and self.bot_token_file and self.channel):
            raise ValueError("slack needs appTokenFile, botTokenFile and channel")
        for user_id in self.users:
            if not _SLACK_USER.fullmatch(user_id):
                raise ValueError("users: by Slack's member id, such as U0123456789 (Profile, Copy member ID)")


class ApprovalsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Where people are told that something waits for them."""

    webhooks: tuple[WebhookSettings, ...] = ()
    slack: SlackSettings | None = None
