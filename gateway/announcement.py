"""What `serve` tells the person at the terminal: what runs, and what to type next."""

from pathlib import Path

import msgspec

from gateway.clear_text import index_mode
from gateway.config import IndexMode, Settings, parse_address
from gateway.policy_in_force import PolicyInForce


class Announcement(msgspec.Struct, frozen=True):
    """A gateway that serves. log_keys: the public key of each log. policy: `say_what_decides`. console_port: 0: none.
    kubeconfig: of the first user, where there is one."""

    settings: Settings
    upstream: str
    port: int
    management_port: int
    console_port: int
    log_keys: tuple[str, ...]
    policy: str
    kubeconfig: Path | None = None
    processes: str = ""  # which there are, where there are several

    def lines(self) -> list[str]:
        """To be printed once."""
        settings, data_dir = self.settings, self.settings.record.dir
        *others, last = self.log_keys
        lines = [
            f"kubetape guards {self.upstream} on port {self.port}; records in {data_dir}",
            f"health: http://127.0.0.1:{self.management_port}/readyz?verbose",
            *(f"a log is signed by {key}," for key in others),
            f"{'another' if others else 'the log is signed'} by {last}: give {'all of these' if others else 'this'} "
            f"to whoever verifies it; {_clear_text(settings)}",
            self.policy,
        ]
        if self.processes:
            lines.append(self.processes)
        if self.console_port:
            host, _ = parse_address(settings.console_address)
            lines.append(f"approvals, grants, revocations: https://{host}:{self.console_port}")
        if self.kubeconfig is not None:
            lines += [
                "There is no issuer: this machine's first user has a token. Use it with:",
                f"  export KUBECONFIG={self.kubeconfig.resolve()}",
                "and read the record with:",
                f"  kubetape sessions ls --data-dir {data_dir}",
            ]
        return lines


def say_what_decides(policy: PolicyInForce, origin: str) -> str:
    """origin: where its files are, in words."""
    current = policy.current
    if current is None:
        return "OBSERVE MODE: no policy: every identified call is allowed, and recorded."
    return f"policy {current.sha256[:12]} of {origin} decides ({len(current.rules)} rules); " + (
        "what nothing allows is allowed" if current.default_allows else "what nothing allows is denied"
    )


def _clear_text(settings: Settings) -> str:
    """What is readable on this disk without a key."""
    log = "encrypted" if settings.record.encryption.is_encrypted else "NOT encrypted"
    index = {
        IndexMode.FULL: "the index holds its texts in the clear",
        IndexMode.METADATA: "the index holds metadata in the clear",
        IndexMode.NONE: "there is no index here",
    }
    return f"it is {log}, {index[index_mode(settings)]}"
