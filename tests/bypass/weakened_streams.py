"""Weak builds for upgrades and what flows in them (S7, S8, S9, S11 to S14, S21, S23)."""

from typing import Final

from gateway import (
    admission,
    answer_masking,
    live,
    revocations,
    tunnel_asking,
    tunnel_ending,
    tunnel_pumps,
    tunnel_record,
)
from gateway.policy import rule
from gateway.upstream import response
from protocol import http1_heads, upgrade, websocket, websocket_frames
from protocol.upgrade import EXEC_WEBSOCKET
from tests.bypass.editing import both, edit
from tests.bypass.test_s07_s08_answers_to_upgrades import go_on_after_a_refused_upgrade, redirect_elsewhere
from tests.bypass.test_s11_read_only import get_a_shell_as_a_reader
from tests.bypass.test_s11_s12_other_upgrades import (
    ask_for_an_unknown_upgrade,
    spell_the_upgrade_differently,
    upgrade_elsewhere,
    upgrade_with_another_method,
)
from tests.bypass.test_s13_s14_shells import (
    choose_what_was_not_offered,
    compress_the_frames,
    offer_what_nobody_reads,
    set_reserved_bits,
    speak_every_subprotocol,
    type_in_fragments,
    type_without_a_terminal,
)
from tests.bypass.test_s21_revocation import go_on_after_a_revocation, go_on_after_the_credential_expired
from tests.bypass.test_s23_masks import read_a_masked_secret, show_half_a_key, vanish_after_typing
from tests.bypass.weakening import Weakening

takes_any_101 = edit(
    upgrade.check_upgrade_response, "if head.status != 101:", "return request.protocols[0]\n    if False:"
)

WEAKENINGS: Final = (
    Weakening(
        "S07", "any answer to an upgrade opens the pipe (CVE-2018-1002105)", go_on_after_a_refused_upgrade,
        "a refused upgrade became a pipe",
        both(
            takes_any_101,
            edit(tunnel_asking.ask, "if isinstance(batch[-1], Upgraded):\n            return batch[-1]",
                 "return Upgraded(batch[0])"),
        ),
    ),
    Weakening(
        "S07", "a 101 is not checked against the handshake", go_on_after_a_refused_upgrade,
        "a refused upgrade became a pipe", takes_any_101,
    ),
    Weakening(
        "S08", "a Location is handed down as it came", redirect_elsewhere, "a client was sent to another host",
        edit(response._check_redirect, 'if name == b"location" and not (redirects_here and _stays_here(value)):', "if False:"),
    ),
    Weakening(
        "S08", "behind proxy any Location is taken for one on our origin", redirect_elsewhere,
        "a client was sent to another host",
        edit(response._stays_here, 'return location.startswith(b"/") and location[1:2] not in (b"/", b"\\\\")', "return True"),
    ),
    Weakening(
        "S11", "an upgrade is carried wherever it is asked for", upgrade_elsewhere,
        "not refused before it was asked for",
        edit(admission._check_carried, "if upgrade is not None and not call.stream_kind:", "if False:"),
    ),
    Weakening(
        "S12", "the Upgrade token is compared exactly (Tailscale)", spell_the_upgrade_differently,
        "an upgrade in another case was not understood",
        edit(http1_heads._parse_upgrade, 'taken[b"upgrade"][0].lower()', 'taken[b"upgrade"][0]'),
    ),
    Weakening(
        "S12", "an unknown Upgrade is dropped and the rest forwarded", ask_for_an_unknown_upgrade,
        "forwarded as a plain call",
        edit(http1_heads._parse_upgrade,
             'raise RemoteProtocolError("Upgrade is neither websocket nor SPDY/3.1")', 'return b""'),
    ),
    Weakening(
        "S12", "any method may upgrade", upgrade_with_another_method, "a method that opens none",
        edit(upgrade.parse_upgrade, "if head.method not in methods:", "if False:"),
    ),
    Weakening(
        "S13", "text frames are carried and not recorded (Tailscale, Warpgate, rexec)", speak_every_subprotocol,
        "what was typed is in no record",
        edit(tunnel_record.TunnelRecord._data, "tape.append(chunk, urgent=is_result)",
             '"base64" in self._protocol or tape.append(chunk, urgent=is_result)'),
    ),
    Weakening(
        "S13", "the client's offers go upstream as they came", offer_what_nobody_reads,
        "the cluster was offered what nobody here reads",
        edit(upgrade._in_common, "tuple(offer for offer in distinct if offer in decodable)", "tuple(distinct)"),
    ),
    Weakening(
        "S13", "any protocol the cluster chooses is spoken", choose_what_was_not_offered, "had not been offered",
        edit(upgrade._chosen, "if chosen in request.protocols:", f"if chosen in {EXEC_WEBSOCKET!r}:"),
    ),
    Weakening(
        "S13", "an extension in the 101 is not noticed", compress_the_frames, "frames that nobody here can read",
        edit(upgrade.check_upgrade_response,
             'if split_list(_values(head.headers, b"sec-websocket-extensions")):', "if False:"),
    ),
    Weakening(
        "S13", "reserved bits are ignored", set_reserved_bits, "a frame with two readings was carried",
        edit(websocket_frames.FrameReader._read_header, "_FIRST_BYTES.get(first)", "_FIRST_BYTES.get(first & ~_RESERVED_BITS)"),
    ),
    Weakening(
        "S13", "frames of a client need no mask", set_reserved_bits, "a frame with two readings was carried",
        edit(websocket_frames.FrameReader._read_header, "or is_masked is not self._expects_mask", ""),
    ),
    Weakening(
        "S14", "stdin is recorded with a terminal only (kubectl-rexec #180)", type_without_a_terminal,
        "what was typed is in no record",
        edit(tunnel_record.TunnelRecord.carried, "self._data(event, from_client)",
             "(self.tty or not from_client) and self._data(event, from_client)"),
    ),
    Weakening(
        "S14", "continuation frames are skipped (kubectl-rexec)", type_in_fragments,
        "what was typed did not arrive",
        edit(websocket.WebSocketConnection._read_data, "if data or last:",
             "if piece.opcode is not Opcode.CONTINUATION and (data or last):"),
    ),
    Weakening(
        "S21", "a revocation counts at the next call", go_on_after_a_revocation, "of somebody without access went on",
        edit(revocations.Revocations._cut, "exchange.cut(*ended)", "pass"),
    ),
    Weakening(
        "S21", "only streams are cut, not calls that wait", go_on_after_a_revocation, "of somebody without access went on",
        edit(live.LiveExchange.cut, "(self.scope if self._in_cuttable_part else self.whole).cancel()", "self._in_cuttable_part and self.scope.cancel()"),
    ),
    Weakening(
        "S21", "a credential is looked at when a stream begins (Teleport #24910)", go_on_after_the_credential_expired,
        "of somebody without access went on",
        edit(revocations.Revocations._end_of, "if principal.expires_ns is not None and principal.expires_ns <= now_ns:", "if False:"),
    ),
    Weakening(
        "S21", "a stream is ended without a word", go_on_after_a_revocation, "without a word of why",
        edit(tunnel_ending.TunnelEnding.conclude, "self._say_farewell(self._why or", "0 and self._say_farewell(self._why or"),
    ),
    Weakening(
        "S11", "a shell asked for with GET is a read (KEP-4006)", get_a_shell_as_a_reader, "who may only read got in",
        edit(rule.verb_of, 'return "create" if call.stream_kind else call.verb', "return call.verb"),
    ),
    Weakening(
        "S09", "what no rule allows is allowed", get_a_shell_as_a_reader, "who may only read got in",
        edit(admission.admit, "if verdict.action is Action.DENY:", "if False:"),
    ),
    Weakening(
        "S23", "what was typed last is forgotten with its mask", vanish_after_typing, "is in no record",
        edit(tunnel_ending.TunnelEnding._record_held_back, "self.guard.finish_input()", "None"),
    ),
    Weakening(
        "S23", "output is recorded as it came and shown masked", show_half_a_key, "saw different output",
        edit(tunnel_pumps.Pumps._record_output, "self._record.carried(event, from_client=False)",
             "event.__class__.__name__ == 'ChannelData' or self._record.carried(event, from_client=False)"),
    ),
    Weakening(
        "S23", "masks of a policy are not applied", read_a_masked_secret, "a masked value reached the client",
        edit(answer_masking.MaskedAnswer.mask, "if self._masker else events", "if False else events"),
    ),
)  # fmt: skip
