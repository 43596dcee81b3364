"""TLS over one non-blocking socket: reading, writing, waiting. What TLS says is in `tls_records`.

Why not trio.SSLStream: it cannot tell a dead idle connection from one that holds an unread TLS 1.3 session
ticket, it hands out one record (16 KiB) per call, and it costs several checkpoints per call on a path whose
promise is to add nothing a person could feel. One task may read while another writes; not two of a kind.
"""

import socket
import ssl
from typing import Final

import trio

from gateway.tls_records import RECORD_BYTES, TlsRecords

READ_BYTES: Final = 128 * 1024
"""A read of the socket after one that brought a whole record: large bodies and streams cost few turns, and few records
of the log. Twice as much gains nothing more. Else a read asks for a record: heads and keystrokes need no more, and
allocating so much for each costs more than the read."""
BUSY_READS: Final = 8
"""Reads that may find data waiting before the task yields: one fast stream must not starve the others."""
ANSWER_S: Final = 60.0
"""A peer that asks for new keys and takes no byte of the answer for so long is gone."""
LINGER_S: Final = 1.0
LINGER_BYTES: Final = 1024 * 1024
"""How long and how much we listen after our last byte: closing on unread data would reset the connection
and destroy the answer before the peer reads it (an early 413, a 400)."""


def take_socket(stream: trio.SocketStream | trio.SocketListener) -> socket.socket:
    """The socket of a Trio stream or listener, which is unusable afterwards."""
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
        self._sock, self._fd = sock, sock.fileno()
        self._records = TlsRecords(context, server_side=server_side, server_hostname=server_hostname)
        self._send_lock = trio.Lock()
        self._unsent = b""  # encrypted, left over by a cancelled send: first in line
        self._read_bytes = RECORD_BYTES  # of the next read
        self._drained = True  # the last read left nothing in the socket: wait before the next
        self._busy_reads = 0
        self._waiting = False  # a task waits for bytes
        self._closed = False

    @property
    def tls(self) -> ssl.SSLObject:
        """For questions only: version, ALPN, certificate of the peer."""
        return self._records.tls

    async def do_handshake(self) -> None:
        """Raises ssl.SSLError (the peer's fault or ours, see its text), trio.BrokenResourceError, trio.TooSlowError."""
        try:
            while not self._records.do_handshake():
                await self._answer()
                await self._fill()
                if self._records.ended:
                    raise trio.BrokenResourceError("closed during the TLS handshake")
        except ssl.SSLError:
            self._flush_alert()
            raise
        await self._answer()

    async def receive_some(self) -> bytes:
        """Whatever is there, at least one byte; b"" when the peer ended in an orderly way.

        An end without close_notify is reported as b"" too: HTTP's own framing tells a truncated message.
        Raises trio.BrokenResourceError on a reset or broken TLS, trio.TooSlowError when interrupted.
        """
        records = self._records
        while not records.ended:
            if records.unread and (data := records.decrypt()):
                return data
            if records.queued:  # a key update wants an answer
                await self._answer()
            if not records.ended:
                await self._fill()
        if records.problem:
            raise trio.BrokenResourceError(records.problem)
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
            self._records.encrypt(data)
        except ssl.SSLError as error:
            raise trio.BrokenResourceError(f"TLS: {error.reason}") from error
        return not self._send_lock.locked() and self._send_some()

    async def send_rest(self) -> None:
        """Hand the socket all that is encrypted. Raises trio.BrokenResourceError."""
        async with self._send_lock:
            while not self._send_some():
                try:
                    await trio.lowlevel.wait_writable(self._sock)
                except trio.ClosedResourceError:
                    if self._closed:  # else the task that reads was interrupted, not this one
                        raise

    def interrupt(self) -> bool:
        """Let the task that waits in `receive_some`, if one does, get trio.TooSlowError. All goes on as before.

        For deadlines that somebody else keeps (see read_deadlines), and for who wants that task back. False: none waits.
        """
        if self._waiting and not self._closed:
            trio.lowlevel.notify_closing(self._sock)  # wakes who waits; it closes nothing
            return True
        return False

    def is_idle(self) -> bool:
        """Whether the connection is open, we said all we had and the peer said nothing.

        Session tickets are not speech.
        """
        records = self._records
        if self._unsent or records.queued or records.unread or records.ended:
            return False
        try:
            while data := self._sock.recv(RECORD_BYTES):
                records.feed(data)
                if not records.is_silent():
                    return False  # else the end may be right behind it
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    async def aclose(self) -> None:
        """Say goodbye, let the peer read what is under way, close."""
        try:
            if not self._goodbye():
                with trio.move_on_after(LINGER_S, shield=True):
                    await self._linger()
        except (OSError, ssl.SSLError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the peer is gone: nothing is lost by closing
        self.close()

    def end_nowait(self) -> bool:
        """Say goodbye and end our direction. False: the peer has not taken all yet, `aclose`. Raises what `send_all` does.

        True: `close` once `has_peer_left`, or a moment later.
        """
        if self._goodbye():
            return True
        if self._unsent or self._send_lock.locked():
            return False
        self._sock.shutdown(socket.SHUT_WR)
        return True

    def has_peer_left(self) -> bool:
        """Whether nothing more comes that closing could answer with a reset; what has come is thrown away, as far as
        LINGER_BYTES: who sends without end is closed when its time is over, and has read our last words by then."""
        if self._closed or self._has_peer_ended():
            return True
        try:
            for _ in range(LINGER_BYTES // READ_BYTES):
                if not self._sock.recv(READ_BYTES):
                    return True
        except BlockingIOError:
            return False
        except OSError:
            return True
        return False

    def close(self) -> None:
        """Close at once."""
        if not self._closed:
            self._closed = True
            if self._waiting or self._send_lock.locked():
                trio.lowlevel.notify_closing(self._sock)
            self._sock.close()

    def _goodbye(self) -> bool:
        """Whether that was all: a peer that ended in an orderly way sends nothing more that closing could reset."""
        if self._closed:
            return True
        self._records.say_goodbye()
        return self._send_at_once() and self._has_peer_ended()

    def _has_peer_ended(self) -> bool:
        return self._records.ended and not self._records.problem

    async def _linger(self) -> None:
        await self._send_queued()
        if self._has_peer_ended():
            return
        self._sock.shutdown(socket.SHUT_WR)
        drained = 0
        while drained < LINGER_BYTES:
            await trio.lowlevel.wait_readable(self._sock)
            data = self._sock.recv(READ_BYTES)
            if not data:
                return
            drained += len(data)

    async def _fill(self) -> None:
        """Move bytes from the socket to the decoder, or tell it that they have ended."""
        if self._busy_reads >= BUSY_READS:
            self._busy_reads = 0
            await trio.lowlevel.checkpoint()
        while self._drained or not self._read():
            self._busy_reads = 0
            if self._closed:
                raise trio.ClosedResourceError("this connection was closed")
            self._waiting = True
            try:
                await trio.lowlevel.wait_readable(self._fd)
                self._drained = False
            except trio.ClosedResourceError:
                if self._closed:
                    raise
                raise trio.TooSlowError("the peer sent nothing for too long") from None
            finally:
                self._waiting = False

    def _read(self) -> bool:
        """Read the socket once; False if it has nothing yet."""
        try:
            data = self._sock.recv(self._read_bytes)
        except BlockingIOError:
            self._drained = True
            return False
        except OSError as error:
            raise trio.BrokenResourceError(f"connection broken: {error.strerror}") from error
        self._busy_reads += 1
        # a small message is followed by silence; behind a record's worth there is usually more
        self._drained = len(data) < RECORD_BYTES
        self._read_bytes = RECORD_BYTES if self._drained else READ_BYTES
        if data:
            self._records.feed(data)
        else:
            self._records.ended = True
        return True

    def _send_at_once(self) -> bool:
        return not self._send_lock.locked() and self._send_some()

    async def _answer(self) -> None:
        """As `_send_queued`, by the task that reads. Who keeps its deadline cannot wake it here: one of its own."""
        if self._send_at_once():
            return
        with trio.move_on_after(ANSWER_S) as scope:
            await self.send_rest()
        if scope.cancelled_caught:
            raise trio.BrokenResourceError("the peer takes no data")

    async def _send_queued(self) -> None:
        if not self._send_at_once():  # the lock costs a turn of the loop even when it is free
            await self.send_rest()

    def _flush_alert(self) -> None:
        """Best effort: tell the peer why the handshake fails, without waiting for it."""
        try:
            if self._records.queued:
                self._sock.send(self._records.take())
        except OSError:
            pass  # it will see the connection close

    def _send_some(self) -> bool:
        """Whether the socket took all encrypted bytes. A TLS record must not be torn: the rest is kept."""
        encrypted = self._records.take()
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
