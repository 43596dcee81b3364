"""What the verbs on holds share: files that the gateway can use, and who is sitting here."""

import os
import pwd
from pathlib import Path
from typing import Final

from gateway.cli.keys.opening import OwnedFiles
from storage.encryption.local_key import own_as


class HoldsFiles(OwnedFiles):
    """Whatever root makes belongs to whom the data directory belongs: a gateway that is not root must read it."""

    def lock(self, path: Path) -> int:
        fd = super().lock(path)
        own_as(fd, path.parent)
        return fd


FILES: Final = HoldsFiles()


def os_user() -> str:
    """Who runs this command: the account, and with sudo the one behind it. Not LOGNAME, which anybody can set."""
    name = _name_of(os.getuid())
    behind = os.environ.get("SUDO_UID", "")  # root could set it; root could also edit the file
    return f"{name} (sudo from {_name_of(int(behind))})" if os.getuid() == 0 and behind.isdigit() else name


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return f"uid {uid}"
