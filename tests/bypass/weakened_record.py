"""Weak builds for what must be recorded, when, and who may read it (S9, S17, S22, S24, S25, D1, D2)."""

from typing import Final

from gateway import (
    ending,
    evidence,
    malformed,
    preparation,
    record_opening,
    tape,
    tunnel_ending,
    tunnel_pumps,
    tunnel_record,
    upload,
)
from gateway.durability import Durability
from gateway.recorder import Recorder
from gateway.server import management
from protocol import apicall
from storage import ansi, files
from tests.bypass.editing import both, edit, swap
from tests.bypass.test_d1_d2_every_call import ask_for_everything, be_refused, go_behind_the_api
from tests.bypass.test_s09_ephemeral_containers import debug_a_pod
from tests.bypass.test_s17_reading_records import ask_for_records, read_the_files
from tests.bypass.test_s22_replays import attack_the_auditor
from tests.bypass.test_s24_secrets_in_queries import put_a_secret_in_the_query, put_a_token_in_a_proxied_query
from tests.bypass.test_s25_nothing_unrecorded import (
    be_told_of_a_change_that_may_be_lost,
    change_something_while_the_disk_stands_still,
    go_on_once_the_log_has_failed,
    go_on_with_a_large_body_once_the_log_has_failed,
    open_a_shell_once_the_log_has_failed,
    read_while_the_disk_stands_still,
    watch_a_shell_while_the_log_fails,
)
from tests.bypass.weakening import Weakening

fails_open = both(
    edit(
        Recorder.append,
        "if len(records) == 1:",
        "position = -1\n"
        "    with suppress(LogFailed):\n"
        "        position = log.append(*map(encode_record, records), urgent=urgent, ring=False)\n"
        "    if True:\n"
        "        pass\n"
        "    elif len(records) == 1:",
    ),
    edit(Recorder.check, "if failure is not None:", "if False:"),
    edit(Recorder._check_and_ring, "raise self.failure", "self._durable.position = 1 << 62"),
    edit(Recorder.flow, "raise self.failure", "return"),
)

WEAKENINGS: Final = (
    Weakening(
        "S09", "recording is keyed on exec (Teleport PR#40792)", debug_a_pod, "an attach went on unrecorded",
        edit(tunnel_record.TunnelRecord._data, "tape.append(chunk, urgent=is_result)",
             "self.kind != 'exec' or tape.append(chunk, urgent=is_result)"),
    ),
    Weakening(
        "S09", "small request bodies are not recorded", debug_a_pod, "the patch is not in the record",
        edit(tape.Tape.request_body, "self.append(RequestBody(", "(lambda *a, **b: None)(RequestBody("),
    ),
    Weakening(
        "S17", "the management port lists what runs", ask_for_records, "told of a session",
        edit(management._answer, "status, body, content_type = _reply(event, probes, metrics)",
             "status, body, content_type = _reply(event, probes, metrics)\n"
             "        body += b'/api/v1/namespaces/default/pods'"),
    ),
    Weakening(
        "S17", "the data port has pages of its own", ask_for_records, "is not the cluster's",
        edit(apicall.parse_call, "raw_path, _, raw_query = target.partition(b\"?\")",
             "if target == b'/sessions':\n        raise RefusedTarget('a page of ours', status=200)\n"
             "    raw_path, _, raw_query = target.partition(b\"?\")"),
    ),
    Weakening(
        "S17", "the data directory is open to all", read_the_files, "others may look into",
        edit(preparation._data_dir, "mode=0o700", "mode=0o755"),
    ),
    Weakening(
        "S17", "segments are readable by all", read_the_files, "others may read",
        edit(files.RealFiles.create, "0o600", "0o644"),
    ),
    Weakening(
        "S17", "segments are not encrypted", read_the_files, "the record is in clear",
        edit(record_opening.open_record, "KeyPool(maker, pool_size(encryption)) if maker is not None else None", "None"),
    ),
    Weakening(
        "S22", "a replay writes what was recorded", attack_the_auditor, "a replay attacks who watches it",
        swap(ansi, "_safe_form", lambda token: f"\x1b[{token.body}{token.final}"),
    ),
    Weakening(
        "S22", "strings of a terminal pass (OSC 52)", attack_the_auditor, "a replay attacks who watches it",
        edit(ansi._safe_form, "if kind is TokenKind.TEXT:",
             "if kind is TokenKind.STRING:\n        return f'\\x1b]{body}\\x07'\n    if kind is TokenKind.TEXT:"),
    ),
    Weakening(
        "S22", "listings show names as they came", attack_the_auditor, "a listing shows what it does not say",
        edit(ansi.printable, "return _UNPRINTABLE.sub(", "return text\n    return _UNPRINTABLE.sub("),
    ),
    Weakening(
        "S24", "an error is logged with its target", put_a_secret_in_the_query, "a log line repeats the secret",
        edit(ending.answer_error, "exchange=tape.exchange.hex())", "target=request.head.target)"),
    ),
    Weakening(
        "S24", "an answer quotes the request", put_a_secret_in_the_query, "an answer repeats the secret",
        edit(ending.answer_error, "head, body = _status(refusal)\n    try:",
             "head, body = _status(Refusal(refusal.answer, repr(request.head.target)))\n    try:"),
    ),
    Weakening(
        "S24", "the forwarded target is recorded as it went", put_a_token_in_a_proxied_query, "the token is recorded",
        edit(evidence.build_intent, "upstream_target = redact_target(upstream_target)", "pass"),
    ),
    Weakening(
        "S25", "what changes something is sent while its record is written", change_something_while_the_disk_stands_still,
        "the cluster was asked before", edit(Durability.intent_before_forward, "return self is", "return False\n    return self is"),
    ),
    Weakening(
        "S25", "reads of secrets are reads like any other", change_something_while_the_disk_stands_still,
        "the cluster was asked before", edit(apicall.Call.durability_class, " or self.is_secret_read", ""),
    ),
    Weakening(
        "S25", "an answer goes down while its record is written", read_while_the_disk_stands_still,
        "an answer went down before", edit(Durability.intent_before_answer, "self is not Durability.RELAXED", "False"),
    ),
    Weakening(
        "S25", "the end of a change is told while it is written", be_told_of_a_change_that_may_be_lost,
        "whose record may be lost",
        edit(Durability.outcome_before_end, "self.intent_before_forward(durability_class)", "False"),
    ),
    Weakening(
        "S25", "a failed log is warned of, and calls go on (JumpServer, Tailscale, Warpgate)",
        go_on_once_the_log_has_failed, "without a record", fails_open,
    ),
    Weakening(
        "S25", "a failed log is warned of, and shells go on", open_a_shell_once_the_log_has_failed,
        "without a record", fails_open,
    ),
    Weakening(
        "S25", "a chunk of a body is sent before the next is recorded", go_on_with_a_large_body_once_the_log_has_failed,
        "what a failed log may have lost",
        edit(upload._send_rest, "record.add(chunk)", "held and await connection.send(BodyChunk(held))\n"
             "        held = b''\n        record.add(chunk)"),
    ),
    Weakening(
        "S25", "the last words of a shell hand over what was not written", watch_a_shell_while_the_log_fails,
        "what a failed log may have lost", edit(tunnel_ending.TunnelEnding.deliver, "self._tape.check()", "pass"),
    ),
    Weakening(
        "S25", "a stream does not wait for a slow disk", watch_a_shell_while_the_log_fails,
        "though the disk does not", edit(tunnel_pumps.Pumps._hand_down, "await self._tape.flow()", "pass"),
    ),
    Weakening(
        "D1", "probes are not recorded", ask_for_everything, "no record holds",
        edit(tape.Tape.intent, "self.append(intent, urgent=True)",
             "if intent.target.startswith(b'/livez'):\n        return\n    self.append(intent, urgent=True)"),
    ),
    Weakening(
        "D1", "HEAD is answered by us", ask_for_everything, "a call is not in the record",
        edit(tape.Tape.intent, "self.append(intent, urgent=True)",
             "if intent.method == 'HEAD' and not intent.upstream_target:\n        return\n    self.append(intent, urgent=True)"),
    ),
    Weakening(
        "D1", "what is no HTTP is not recorded", be_refused, "a refusal left no trace",
        edit(malformed.refuse_malformed, "if services.recorder.headroom() is Headroom.CRITICAL:", "if True:"),
    ),
    Weakening(
        "D2", "a proxy is read like anything else", go_behind_the_api, "need not be durable first",
        edit(apicall.Call.is_connect, 'self.subresource == "proxy" or self.verb == "proxy"', "False"),
    ),
    Weakening(
        "D2", "answers from behind a proxy are not recorded", go_behind_the_api, "what came from behind a proxy",
        edit(tape.Tape._of_response_body, "if self.scope is Scope.METADATA:", "if True:"),
    ),
)  # fmt: skip
