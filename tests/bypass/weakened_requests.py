"""Weak builds for what a request says: headers, credentials, hosts, targets (S1 to S6, S10, S15, S16, S19, S20)."""

from typing import Final

from gateway import admission, request_headers
from gateway.identity import authenticate
from gateway.identity.claims import _check_audience
from gateway.server.names import HostNames
from gateway.upstream import pool, tls
from gateway.upstream import request as upstream
from protocol import apicall, headers, http1_framing, http1_heads, http2, http2_headers, upgrade
from tests.bypass.editing import both, edit, swap
from tests.bypass.test_s01_connection_header import (
    list_our_headers_in_connection,
    send_connection_over_http_2,
)
from tests.bypass.test_s02_s03_impersonation import (
    impersonate_in_trailers,
    impersonate_in_trailers_of_http_2,
    impersonate_over_http_1,
    impersonate_over_http_2,
)
from tests.bypass.test_s04_other_clusters import (
    ask_for_another_host,
    reuse_one_http_2_connection_for_another_host,
    use_a_token_of_another_cluster,
)
from tests.bypass.test_s05_no_credential import come_without_a_credential, send_two_credentials
from tests.bypass.test_s06_bearer_subprotocol import (
    carry_the_token_in_a_subprotocol,
    offer_a_second_credential,
    offer_an_empty_token,
)
from tests.bypass.test_s06_origin import let_a_page_use_the_certificate, send_an_origin_with_a_token
from tests.bypass.test_s10_spellings import spell_exec_differently, spell_plain_calls_differently
from tests.bypass.test_s15_s16_claims import (
    choose_the_audit_id,
    lie_in_an_upgrade,
    lie_over_http_1,
    lie_over_http_2,
)
from tests.bypass.test_s20_upstream_address import impersonate_the_cluster, name_another_server
from tests.bypass.weakening import Weakening

IMPERSONATE = upstream.IdentityMode.IMPERSONATE

obeys_connection = edit(headers.parse_connection, "if not options <= CONNECTION_OPTIONS:", "if False:")
keeps_connection = edit(
    http1_heads.parse_request_head,
    "headers=tuple(headers),",
    "headers=(*headers, *((b'connection', v) for v in taken.get(b'connection', ()))),",
)
drops_listed_last = edit(
    admission._upstream_head,
    "if upgrade is not None:",
    "listed = {o.strip().lower() for n, v in head.headers if n == b'connection' for o in v.split(b',')}\n"
    "    headers = tuple(pair for pair in headers if pair[0] not in listed)\n"
    "    if upgrade is not None:",
)
refuses_user_and_group_only = edit(
    upstream.refuse_client_identity,
    'name.startswith((b"impersonate-", b"impersonate_"))',
    'name in (b"impersonate-user", b"impersonate-group")',
)
refuses_no_impersonation = edit(
    upstream.refuse_client_identity, 'name.startswith((b"impersonate-", b"impersonate_"))', "False"
)
forwards_impersonation = edit(
    upstream.forwarded,
    "if pair[0] in allowed]",
    'if pair[0] in allowed or pair[0].startswith(b"impersonate")]',
)
forwards_whoever_it_is = edit(
    admission._identify,
    "raise Refusal(UNAUTHORIZED, unauthorized_message(error.reason)) from error",
    "return Principal('', (), 'token', '')",
)
forwards_claims = swap(
    upstream,
    "FORWARDED",
    upstream.FORWARDED | {b"x-remote-user", b"x-remote-group", b"x-original-url", b"x-http-method-override"},
)
believes_x_forwarded_for = edit(
    admission._upstream_head,
    "source_address=request.facts.source_address",
    "source_address=dict(head.headers).get(b'x-forwarded-for', request.facts.source_address.encode()).decode()",
)
trusts_anybody = edit(
    tls.make_client_context,
    "return context",
    "context.check_hostname = False\n    context.verify_mode = ssl.CERT_NONE\n    return context",
)
takes_the_first_credential = edit(authenticate.Authenticator.authenticate, "if len(given) > 1:", "if False:")
repeats_authorization = swap(headers, "SINGLETONS", headers.SINGLETONS - {b"authorization"})

WEAKENINGS: Final = (
    Weakening(
        "S01", "Connection may list any header", list_our_headers_in_connection, "was obeyed", obeys_connection,
    ),
    Weakening(
        "S01", "hop-by-hop removal after our headers were added (CVE-2021-31999)", list_our_headers_in_connection,
        "a header of ours was removed", both(obeys_connection, keeps_connection, drops_listed_last),
    ),
    Weakening(
        "S01", "HTTP/2 drops connection-specific headers instead of refusing them", send_connection_over_http_2,
        "HTTP/2 has no Connection", swap(http2_headers, "_DROPPED", frozenset({b"te", b"trailer", b"connection"})),
    ),
    Weakening(
        "S02", "impersonation headers of clients are ignored", impersonate_over_http_1, "served as if nothing",
        refuses_no_impersonation,
    ),
    Weakening(
        "S02", "client groups are appended to ours (CVE-2026-17107)", impersonate_over_http_1.under(IMPERSONATE),
        "an identity a client chose", both(refuses_no_impersonation, forwards_impersonation),
    ),
    Weakening(
        "S02", "X_Remote_User passes by a filter for X-Remote-User", impersonate_over_http_1,
        "an identity a client chose",
        both(
            edit(upstream.refuse_client_identity, 'name.startswith((b"impersonate-", b"impersonate_"))',
                 'name.startswith(b"impersonate-")'),
            swap(http1_heads, "is_request_field_name", headers.is_field_name),
            forwards_impersonation,
        ),
    ),
    Weakening(
        "S03", "a list of names instead of the prefix (Pomerium, kube-oidc-proxy)", impersonate_over_http_1,
        "an identity a client chose", both(refuses_user_and_group_only, forwards_impersonation),
    ),
    Weakening(
        "S03", "the same over HTTP/2", impersonate_over_http_2, "an identity a client chose",
        both(refuses_user_and_group_only, forwards_impersonation),
    ),
    Weakening(
        "S02", "trailers of HTTP/1.1 are read and dropped", impersonate_in_trailers, "trailers of a client",
        edit(http1_framing.ChunkedReader._read_trailer, "if self._from_client:", "if False:"),
    ),
    Weakening(
        "S02", "trailers of HTTP/2 are dropped", impersonate_in_trailers_of_http_2, "trailers of an HTTP/2 client",
        edit(http2.Http2Server._on_trailers, "(fields or stream.body_left)", "stream.body_left"),
    ),
    Weakening(
        "S04", "the audience is not looked at", use_a_token_of_another_cluster, "a token for another cluster",
        edit(_check_audience, "if not set(audiences) & set(settings.audiences):", "if False:"),
    ),
    Weakening(
        "S04", "any Host is ours", ask_for_another_host, "sent to this one",
        edit(HostNames._names_us, "return host in self._names or", "return True or"),
    ),
    Weakening(
        "S04", "any :authority is ours",
        reuse_one_http_2_connection_for_another_host, "sent to this one",
        edit(HostNames._names_us, "return host in self._names or", "return True or"),
    ),
    Weakening(
        "S05", "an error of authentication forwards with an empty identity (capsule-proxy)", come_without_a_credential,
        "somebody without a credential", forwards_whoever_it_is,
    ),
    Weakening(
        "S05", "no credential at all is an anonymous user", come_without_a_credential, "somebody without a credential",
        edit(authenticate.Authenticator.authenticate, 'raise Unauthenticated("no credential was sent")',
             "return Principal('system:anonymous', (), 'token', '')"),
    ),
    Weakening(
        "S05", "of two Authorization headers the first counts", send_two_credentials, "two credentials were taken",
        both(repeats_authorization, edit(authenticate._authorization, "if len(values) > 1:", "if False:"),
             edit(authenticate.Authenticator.cached, "if len(fields) < len(head.headers):", "if False:")),
    ),
    Weakening(
        "S06", "the token among the offers goes upstream", carry_the_token_in_a_subprotocol,
        "the cluster saw the client's token",
        both(
            edit(upgrade._take_bearer_token, "return protocols, BearerToken", "return offers, BearerToken"),
            edit(upgrade._in_common, "tuple(offer for offer in distinct if offer in decodable)", "tuple(reversed(distinct))"),
        ),
    ),
    Weakening(
        "S06", "the record keeps Sec-WebSocket-Protocol as it came", carry_the_token_in_a_subprotocol,
        "the record holds the token", edit(request_headers._clean, "BEARER_SUBPROTOCOL in value:", "False:"),
    ),
    Weakening(
        "S06", "an empty token is no token, and no token is somebody", offer_an_empty_token,
        "an empty token opened a shell",
        both(
            edit(upgrade._take_bearer_token, "if not encoded:", "if encoded in ([], ['']):"),
            edit(authenticate.Authenticator.authenticate, 'raise Unauthenticated("no credential was sent")',
                 "return Principal('system:anonymous', (), 'token', '')"),
        ),
    ),
    Weakening(
        "S06", "a header beside the subprotocol wins", offer_a_second_credential, "two credentials were taken for one",
        takes_the_first_credential,
    ),
    Weakening(
        "S06", "of two tokens among the offers the first counts", offer_a_second_credential,
        "two credentials were taken for one", edit(upgrade._take_bearer_token, "if len(encoded) > 1:", "if False:"),
    ),
    Weakening(
        "S06", "no Origin rule", let_a_page_use_the_certificate, "a page of another origin used",
        edit(admission._understand, 'if principal.method == "certificate":', "if False:"),
    ),
    Weakening(
        "S06", "an Origin is ours when it begins like ours", let_a_page_use_the_certificate, "a page of another origin used",
        edit(HostNames.accept_origin, "and self.accept(authority)", "and host.startswith(b'127.0.0.1')"),
    ),
    Weakening(
        "S06", "the Origin rule shuts out libraries", send_an_origin_with_a_token, "is shut out",
        edit(admission._understand, 'if principal.method == "certificate":', "if True:"),
    ),
    Weakening(
        "S10", "empty and dot segments pass", spell_exec_differently, "a target with two readings",
        edit(apicall._check_segment, 'if segment in ("", ".", ".."):', "if False:"),
    ),
    Weakening(
        "S10", "a slash may hide in a segment, and the record reads it as one", spell_plain_calls_differently,
        "a target with two readings",
        edit(apicall._check_segment, "if _REFUSED_IN_SEGMENT.search(segment):", "if False:"),
    ),
    Weakening(
        "S10", "the verb is taken from the path alone", spell_plain_calls_differently, "two different calls",
        edit(apicall._resource_call, 'verb = "watch" if is_true(first.get("watch")) else "list"', 'verb = "list"'),
    ),
    Weakening(
        "S10", "names are compared without case", spell_exec_differently, "a stream was opened on what is not exec",
        edit(apicall.Call.stream_kind, "self.subresource if is_of_pod and self.subresource in _STREAMS",
             "self.subresource.lower() if is_of_pod and self.subresource.lower() in _STREAMS"),
    ),
    Weakening("S15", "X-Remote-* of clients pass", lie_over_http_1, "the cluster heard a lie", forwards_claims),
    Weakening("S15", "X-Remote-* of clients pass over HTTP/2", lie_over_http_2, "the cluster heard a lie", forwards_claims),
    Weakening(
        "S15", "X-Remote-* of clients pass in an upgrade (CVE-2026-63329)", lie_in_an_upgrade,
        "the cluster heard a lie", forwards_claims,
    ),
    Weakening(
        "S15", "X-Forwarded-For of a client is believed (Tailscale)", lie_over_http_1, "the cluster",
        believes_x_forwarded_for,
    ),
    Weakening(
        "S15", "X-Remote-User of a client is who asks (kubectl-rexec)", lie_over_http_1,
        "the record believes who a client says it is",
        edit(
            authenticate.Authenticator.cached,
            "return self._recall(hashlib.sha256(match[1]).digest()) if match else None",
            "return Principal(dict(head.headers)[b'x-remote-user'].decode(), (), 'token', '')",
        ),
    ),
    Weakening(
        "S16", "Audit-ID of a client is kept", choose_the_audit_id, "a client chose the id",
        edit(
            admission._upstream_head,
            "if upgrade is not None:",
            "given = dict(head.headers).get(b'audit-id')\n"
            "    headers = tuple((name, given or value) if name == b'audit-id' else (name, value) for name, value in headers)\n"
            "    if upgrade is not None:",
        ),
    ),
    Weakening(
        "S16", "Kubectl-Session of a client is our session", choose_the_audit_id, "became our session",
        edit(admission._understand, "session, begins = services.sessions.session_for(principal, now_ns=tape.started_ns)",
             "session, begins = dict(request.head.headers).get(b'kubectl-session', b'').decode(), False"),
    ),
    Weakening(
        "S20", "Host of a client goes upstream", name_another_server, "by which name the cluster is asked",
        both(
            edit(HostNames._names_us, "return host in self._names or", "return True or"),
            edit(admission._upstream_head, "authority=cluster.authority", "authority=request.head.authority"),
        ),
    ),
    Weakening(
        "S20", "an absolute target says where to (CVE-2025-27095)", name_another_server, "a client chose where",
        both(
            edit(HostNames._names_us, "return host in self._names or", "return True or"),
            edit(admission._check_host, "if not services.host_names.accept(head.authority):",
                 "object.__setattr__(services.pool.cluster, 'port', int(head.authority.rpartition(b':')[2]))\n    if False:"),
            edit(pool.Pool.acquire, "connection = self._take_idle(fresh=fresh)", "connection = None"),
            trusts_anybody,
        ),
    ),
    Weakening(
        "S20", "the certificate of the cluster is not verified", impersonate_the_cluster,
        "an impostor of the cluster got our credential", trusts_anybody,
    ),
)  # fmt: skip
