"""TLS without I/O: encrypted bytes in, plain bytes out, and back. `ssl` does the cryptography.

The trap: OpenSSL's memory buffers grow to the largest piece they were given and never shrink. Both ways are
cut to the size of a record, else a connection that once carried a long list keeps 140 KiB while it is idle.
"""

import ssl
from typing import Final

PLAIN_BYTES: Final = 16 * 1024
"""The plain text of the largest record."""
RECORD_BYTES: Final = 17 * 1024
"""At least the largest record, encrypted."""
PIECE_BYTES: Final = 128 * 1024
"""As much plain text comes in one piece: what one record of the log holds."""

_NOTHING: Final = memoryview(b"")


class TlsRecords:
    """One side of a TLS connection. Ask `queued` after everything that reads or writes."""

    def __init__(
        self, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None = None
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
        )
        self._unread = _NOTHING  # came, and is not yet in `_incoming`
        self._encrypted = b""  # goes before what is in `_outgoing`
        self.unread = False  # bytes of the peer are not decrypted yet
        self.ended = False  # nothing more can be read: the peer said so, or its last record was broken
        self.problem = ""  # why, if it was broken

    def feed(self, data: bytes) -> None:
        """Take bytes of the peer, at most a few records: `decrypt` until it gives nothing before the next."""
        self.unread = True
        if len(data) <= RECORD_BYTES:
            self._incoming.write(data)
        else:
            self._unread = memoryview(data)

    def do_handshake(self) -> bool:
        """Go on with the handshake; False if it waits for the peer. Raises ssl.SSLError."""
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                if not self._unread:
                    return False
                self._read_on()
            else:
                self._look_what_is_left()
                return True

    def decrypt(self) -> bytes:
        """The plain text at hand, up to PIECE_BYTES; b"" when there is none, for now or, if `ended`, ever."""
        if not self.unread:  # asking an empty decoder would cost an exception
            return b""
        pieces: list[bytes] = []
        size = 0
        while self.unread and size < PIECE_BYTES and not self.ended:
            if self._unread:
                self._read_on()
            piece = self._read_record()
            self.unread = bool(self._incoming.pending or self._unread)
            if not self.unread and not pieces:  # as almost always
                return piece
            pieces.append(piece)
            size += len(piece)
        return b"".join(pieces)

    def _read_record(self) -> bytes:
        """The plain text of the next record; b"" if it is not complete or no speech, or at the end."""
        try:
            piece = self.tls.read(RECORD_BYTES)
        except ssl.SSLWantReadError:
            return b""
        except ssl.SSLZeroReturnError:  # close_notify, after ours
            piece = b""
        except ssl.SSLError as error:  # what came before it is good
            self.problem = f"TLS: {error.reason}"
            piece = b""
        if not piece:  # close_notify
            self.ended = True
        return piece

    def is_silent(self) -> bool:
        """Whether what was fed, a record at most, was no speech: session tickets, say."""
        try:
            self.tls.read(1)
        except ssl.SSLWantReadError:
            self._look_what_is_left()
            return True
        except ssl.SSLError:
            pass
        return False

    def encrypt(self, data: bytes) -> None:
        """Queue data. Raises ssl.SSLError."""
        if len(data) <= PLAIN_BYTES:
            self.tls.write(data)
            return
        view = memoryview(data)
        pieces = [self._encrypted]
        for start in range(0, len(data), PLAIN_BYTES):
            self.tls.write(view[start : start + PLAIN_BYTES])
            pieces.append(self._outgoing.read())
        self._encrypted = b"".join(pieces)

    def say_goodbye(self) -> None:
        """Queue close_notify, if the peer can still be told."""
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass  # WANT_READ: ours is queued, the peer's is not awaited

    @property
    def queued(self) -> bool:
        """Whether there is something for the peer."""
        return bool(self._encrypted) or bool(self._outgoing.pending)

    def take(self) -> bytes:
        """Take the bytes for the peer."""
        encrypted = self._outgoing.read()
        if self._encrypted:
            encrypted, self._encrypted = self._encrypted + encrypted, b""
        return encrypted

    def _look_what_is_left(self) -> None:
        self.unread = bool(self._incoming.pending) or bool(self._unread)

    def _read_on(self) -> None:
        self._incoming.write(self._unread[:RECORD_BYTES])
        self._unread = self._unread[RECORD_BYTES:] or _NOTHING  # an empty slice would keep the whole read
