"""/api/v1/whoami: how the gateway knows you."""

from gateway.console.answers import Reply
from gateway.console.context import ApiCall
from gateway.console.showing import show_person


async def whoami(call: ApiCall) -> Reply:
    """Your name, groups, credential and open session, as policy and record see them."""
    return Reply(show_person(call.person))
