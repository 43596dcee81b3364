"""TLS over one non-blocking socket: `ssl` does the cryptography, Trio the waiting.

Why not trio.SSLStream: it cannot tell a dead idle connection from one that holds an unread TLS 1.3 session
ticket, it hands out one record (16 KiB) per call, and it costs several checkpoints per call on a path whose
promise is to add nothing a person could feel. One task may read while another writes; not two of a kind.
"""

import socket
import ssl
from typing import Final

import trio

RECORD_BYTES: Final = 17 * 1024
"""The largest record, encrypted: one call decrypts no more. Also what a read asks for: heads and keystrokes need no
more, and allocating four times as much for each costs more than the read itself."""
READ_BYTES: Final = 64 * 1024
"""A read after one that was full: large bodies cost few wake-ups. And how much plain text comes in one piece."""
BUSY_READS: Final = 16
"""Reads that may find data waiting before the task yields: one fast stream must not starve the others."""
LINGER_S: Final = 1.0
LINGER_BYTES: Final = 1024 * 1024
"""How long and how much we listen after our last byte: closing on unread data would reset the connection
and destroy the answer before the peer reads it (an early 413, a 400)."""


def take_socket(stream: trio.SocketStream) -> socket.socket:
    """The connected socket of a Trio stream, which is unusable afterwards."""
    sock = stream.socket
    family, kind, protocol = sock.family, sock.type, sock.proto  # else each is asked of the system
    return socket.socket(family, kind, protocol, fileno=sock.detach())


class TlsStream:
    """A TLS connection. Make it with a connected socket, then `do_handshake`."""

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_hostname: str | None = None,
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
        )
        self._send_lock = trio.Lock()
        self._unsent = b""  # encrypted, left over by a cancelled send: first in line
        self._read_bytes = RECORD_BYTES  # of the next read
        self._drained = True  # the last read left nothing in the socket: wait before the next
        self._busy_reads = 0
        self._waiting = False  # a task waits for bytes
        self._ended = False  # nothing more can be read: the peer said so, or its last record was broken
        self._problem = ""  # why, if it was broken
        self._closed = False

    @property
    def tls(self) -> ssl.SSLObject:
        """For questions only: version, ALPN, certificate of the peer."""
        return self._tls

    async def do_handshake(self) -> None:
        """Raises ssl.SSLError (the peer's fault or ours, see its text) or trio.BrokenResourceError."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._send_queued()
                if not await self._fill():
                    raise trio.BrokenResourceError("closed during the TLS handshake") from None
            except ssl.SSLError:
                await self._flush_alert()
                raise
            else:
                await self._send_queued()
                return

    async def receive_some(self) -> bytes:
        """Whatever is there, at least one byte; b"" when the peer ended in an orderly way.

        An end without close_notify is reported as b"" too: HTTP's own framing tells a truncated message.
        Raises trio.BrokenResourceError on a reset or broken TLS, trio.TooSlowError when interrupted.
        """
        while not self._ended:
            # asking an empty decoder would cost an exception each time
            if self._incoming.pending and (data := self._decrypt()):
                return data
            if self._outgoing.pending:  # a key update wants an answer
                await self._send_queued()
            if not self._ended and not await self._fill():
                self._ended = True
        if self._problem:
            raise trio.BrokenResourceError(self._problem)
        return b""

    async def send_all(self, data: bytes) -> None:
        """Encrypt and hand everything to the socket. Raises trio.BrokenResourceError, or ClosedResourceError.

        When cancelled, all of the data is still the first thing the next send writes, so that last words
        can follow it.
        """
        if not self.send_nowait(data):
            await self.send_rest()

    def send_nowait(self, data: bytes) -> bool:
        """Encrypt, and hand the socket what it takes at once: almost always all. Raises what `send_all` does.

        False: `send_rest` is to bring the rest. Spares the usual answer a deadline and a turn of the loop.
        """
        if self._closed:
            raise trio.ClosedResourceError("this connection was closed")
        if not data:
            return True
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            raise trio.BrokenResourceError(f"TLS: {error.reason}") from error
        return self._send_at_once()

    async def send_rest(self) -> None:
        """Hand the socket all that is encrypted. Raises trio.BrokenResourceError."""
        async with self._send_lock:
            while not self._send_some():
                try:
                    await trio.lowlevel.wait_writable(self._sock)
                except trio.ClosedResourceError:
                    if self._closed:  # else the task that reads was interrupted, not this one
                        raise

    def interrupt(self) -> None:
        """Let the task that waits in `receive_some`, if one does, get trio.TooSlowError. All goes on as before.

        For deadlines that somebody else keeps (see read_deadlines).
        """
        if self._waiting and not self._closed:
            trio.lowlevel.notify_closing(self._sock)  # wakes who waits; it closes nothing

    def is_idle(self) -> bool:
        """Whether the connection is open, we said all we had and the peer said nothing.

        Session tickets are not speech.
        """
        if self._unsent or self._outgoing.pending:
            return False
        try:
            while data := self._sock.recv(RECORD_BYTES):
                self._incoming.write(data)
                try:
                    self._tls.read(1)
                except ssl.SSLWantReadError:
                    continue  # a ticket; the end may be right behind it
                return False
        except BlockingIOError:
            return True
        except (OSError, ssl.SSLError):
            return False
        return False

    async def aclose(self) -> None:
        """Say goodbye, let the peer read what is under way, close."""
        with trio.move_on_after(LINGER_S) as scope:
            scope.shield = True
            try:
                await self._goodbye()
            except (OSError, ssl.SSLError, trio.BrokenResourceError, trio.ClosedResourceError):
                pass  # the peer is gone: nothing is lost by closing
        self.close()

    def close(self) -> None:
        """Close at once."""
        if not self._closed:
            self._closed = True
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()

    async def _goodbye(self) -> None:
        if self._closed:
            return
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            pass  # WANT_READ: our close_notify is queued, the peer's is not awaited
        await self._send_queued()
        if (
            self._ended and not self._problem
        ):  # nothing of the peer is unread or will come: closing resets nothing
            return
        self._sock.shutdown(socket.SHUT_WR)
        drained = 0
        while drained < LINGER_BYTES:
            await trio.lowlevel.wait_readable(self._sock)
            data = self._sock.recv(READ_BYTES)
            if not data:
                return
            drained += len(data)

    def _decrypt(self) -> bytes:
        """All plain text at hand, up to READ_BYTES; b"" when there is none, for now or, if `_ended`, ever."""
        pieces: list[bytes] = []
        size = 0
        try:
            while size < READ_BYTES and self._incoming.pending:
                piece = self._tls.read(RECORD_BYTES)
                if not piece:  # close_notify
                    self._ended = True
                    break
                pieces.append(piece)
                size += len(piece)
        except ssl.SSLWantReadError:
            pass  # a record that is not complete
        except ssl.SSLZeroReturnError:  # close_notify, after ours
            self._ended = True
        except ssl.SSLError as error:  # what came before it is good
            self._ended, self._problem = True, f"TLS: {error.reason}"
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _fill(self) -> bool:
        """Move bytes from the socket to the decoder; False at the end."""
        if self._busy_reads >= BUSY_READS:
            self._busy_reads = 0
            await trio.lowlevel.checkpoint()
        while True:
            if self._drained:
                self._busy_reads = 0
                await self._wait_readable()
            try:
                data = self._sock.recv(self._read_bytes)
            except BlockingIOError:
                self._drained = True
                continue
            except OSError as error:
                raise trio.BrokenResourceError(f"connection broken: {error.strerror}") from error
            self._busy_reads += 1
            # a small message is followed by silence; behind a record's worth there is usually more
            self._drained = len(data) < RECORD_BYTES
            self._read_bytes = READ_BYTES if len(data) >= RECORD_BYTES else RECORD_BYTES
            self._incoming.write(data)
            return bool(data)

    def _send_at_once(self) -> bool:
        return not self._send_lock.locked() and self._send_some()

    async def _send_queued(self) -> None:
        if not self._send_at_once():  # the lock costs a turn of the loop even when it is free
            await self.send_rest()

    async def _wait_readable(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this connection was closed")
        self._waiting = True
        try:
            await trio.lowlevel.wait_readable(self._sock)
        except trio.ClosedResourceError:
            if self._closed:
                raise
            raise trio.TooSlowError("the peer sent nothing for too long") from None
        finally:
            self._waiting = False

    async def _flush_alert(self) -> None:
        """Best effort: tell the peer why the handshake fails, without waiting for it."""
        try:
            if self._outgoing.pending:
                self._sock.send(self._outgoing.read())
        except OSError:
            pass  # it will see the connection close

    def _send_some(self) -> bool:
        """Whether the socket took all encrypted bytes. A TLS record must not be torn: the rest is kept."""
        encrypted = self._outgoing.read()
        if self._unsent:
            encrypted = self._unsent + encrypted
        if not encrypted:
            return True
        sent = 0
        try:
            sent = self._sock.send(encrypted)
            while sent < len(encrypted):
                sent += self._sock.send(memoryview(encrypted)[sent:])
        except BlockingIOError:
            return False
        except OSError as error:
            raise trio.BrokenResourceError(f"connection broken: {error.strerror}") from error
        finally:
            self._unsent = encrypted[sent:]
        return True
