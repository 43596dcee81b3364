"""The first user of a gateway without identity settings: one token, and the kubeconfig that carries it."""

import base64
import getpass
import os
from pathlib import Path
from typing import Final

import yaml

from gateway.identity.tokens import append_token
from gateway.upstream.kubeconfig import CONSOLE_EXTENSION

TOKENS_FILE: Final = "tokens.csv"
KUBECONFIG: Final = "kubeconfig"
GROUP: Final = "kubetape:first-user"


def ensure_token(directory: Path) -> str:
    """The first user's token: that of an earlier start, so that shells which use it go on working, or new."""
    earlier = _earlier_token(directory / KUBECONFIG)
    if earlier is not None and (directory / TOKENS_FILE).exists():
        return earlier
    return append_token(directory / TOKENS_FILE, user=_user_name(), groups=(GROUP,))


def write_kubeconfig(directory: Path, token: str, *, server: str, ca_file: Path, console: str = "") -> Path:
    """Write `directory`/kubeconfig (0600). server: the https URL clients use; console: of the management API."""
    kubeconfig = directory / KUBECONFIG
    extensions = [{"name": CONSOLE_EXTENSION, "extension": {"console": console}}] if console else []
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "kubetape",
                "cluster": {
                    "server": server,
                    "certificate-authority-data": base64.b64encode(ca_file.read_bytes()).decode(),
                    **({"extensions": extensions} if extensions else {}),
                },
            }
        ],
        "users": [{"name": "kubetape", "user": {"token": token}}],
        "contexts": [{"name": "kubetape", "context": {"cluster": "kubetape", "user": "kubetape"}}],
        "current-context": "kubetape",
    }
    temporary = kubeconfig.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w") as file:
        yaml.safe_dump(content, file, sort_keys=False)
    os.replace(temporary, kubeconfig)
    return kubeconfig


def console_url(address: str, port: int) -> str:
    """Of the management API, for the first user, who is on this machine. address: listen.console; port: the real
    one, 0: there is none."""
    host = address.rpartition(":")[0].strip("[]") or "127.0.0.1"
    name = f"[{host}]" if ":" in host else host
    return f"https://{name}:{port}" if port else ""


def _earlier_token(kubeconfig: Path) -> str | None:
    try:
        users = yaml.safe_load(kubeconfig.read_text())["users"]
        return str(users[0]["user"]["token"])
    except (OSError, yaml.YAMLError, KeyError, IndexError, TypeError):
        return None


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "first-user"
