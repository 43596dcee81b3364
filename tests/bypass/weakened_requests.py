"""Weak builds for what a request says: headers, credentials, hosts, targets (S1 to S6, S10, S15, S16, S19, S20)."""

from typing import Final

from gateway.admission import _identify
from gateway.identity.claims import _check_audience
from gateway.server.names import HostNames
from gateway.upstream import request as upstream
from protocol import headers, http1_framing, http1_heads, http2, http2_headers
from tests.bypass.editing import both, edit, swap
from tests.bypass.test_s01_connection_header import list_our_headers_in_connection, send_connection_over_http_2
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
from tests.bypass.weakening import Weakening

IMPERSONATE = upstream.IdentityMode.IMPERSONATE

obeys_connection = edit(headers.parse_connection, "if not options <= CONNECTION_OPTIONS:", "if False:")
keeps_connection = edit(
    http1_heads.parse_request_head,
    "headers=tuple(headers),",
    "headers=(*headers, *((b'connection', v) for v in taken.get(b'connection', ()))),",
)
drops_listed_last = edit(
    upstream.upstream_headers,
    "return tuple(kept)",
    "listed = {o.strip().lower() for n, v in head.headers if n == b'connection' for o in v.split(b',')}\n"
    "    return tuple(pair for pair in kept if pair[0] not in listed)",
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
    upstream.upstream_headers, "if name in allowed]", 'if name in allowed or name.startswith(b"impersonate")]'
)

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
        edit(http2.Http2Server._on_trailers, "(event.headers or stream.body_left)", "stream.body_left"),
    ),
    Weakening(
        "S04", "the audience is not looked at", use_a_token_of_another_cluster, "a token for another cluster",
        edit(_check_audience, "if not set(audiences) & set(settings.audiences):", "if False:"),
    ),
    Weakening(
        "S04", "any Host is ours", ask_for_another_host, "sent to this one",
        edit(HostNames.accept, "return host in self._names or", "return True or"),
    ),
    Weakening(
        "S04", "any :authority is ours",
        reuse_one_http_2_connection_for_another_host, "sent to this one",
        edit(HostNames.accept, "return host in self._names or", "return True or"),
    ),
)  # fmt: skip
