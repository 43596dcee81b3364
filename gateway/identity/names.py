"""What may be a user or a group name, whatever credential it comes from. Pure.

Names are compared exactly and never normalised: two spellings are two people. The trap is what happens
to a name later: upstream it becomes a header value, whose outer blanks a receiver strips, so that
" system:masters" would turn into "system:masters"; in a log or on an approver's screen control
characters and direction overrides show another name than the one that is meant. Both are refused.

"system:" is how Kubernetes names its own privileged identities (kube-apiserver, authentication/user);
an outside authority may not hand them out.
"""

from collections.abc import Collection
from typing import Final

from gateway.identity.errors import Unauthenticated

MAX_NAME_BYTES: Final = 256
"""UTF-8 bytes of one name, prefix included. OpenID Connect allows 255 characters in a subject."""
SYSTEM_PREFIX: Final = "system:"


def check_name(name: str, what: str, *, allowed_system_names: Collection[str] = ()) -> str:
    """`name` itself, if it may name a user or a group; raises Unauthenticated.

    what: how to call it in the error, e.g. "user name". allowed_system_names: exact names beginning
    with "system:" that the operator accepts from this source.
    """
    if not name:
        raise Unauthenticated(f"the {what} of the credential is empty")
    if not name.isprintable() or name != name.strip():
        raise Unauthenticated(f"the {what} of the credential holds control characters or outer blanks")
    if len(name.encode()) > MAX_NAME_BYTES:
        raise Unauthenticated(f"the {what} of the credential is longer than {MAX_NAME_BYTES} bytes")
    if name.startswith(SYSTEM_PREFIX) and name not in allowed_system_names:
        raise Unauthenticated(
            f'the {what} of the credential begins with "{SYSTEM_PREFIX}", which is reserved',
            detail="configure a prefix for this source, or allow the name where the source supports it",
        )
    return name
