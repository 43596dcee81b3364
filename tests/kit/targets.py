"""Request targets: 500 hostile paths, and a hypothesis strategy for arbitrary ones.

Hostile: each is a legitimate target changed in one way that some parser somewhere reads differently.
"""

from hypothesis import strategies as st

_RESOURCE_PATHS = (
    b"/api/v1/namespaces/a/pods/p/exec",
    b"/api/v1/namespaces/a/secrets/s",
    b"/api/v1/namespaces/a/pods/p/log",
    b"/apis/apps/v1/namespaces/a/deployments/d/scale",
    b"/apis/rbac.authorization.k8s.io/v1/clusterroles/admin",
)

# Put between two segments, or in place of the last slash.
_BAD_SEPARATORS = (
    b"//", b"///", b"/./", b"/../", b"/%2e/", b"/%2E%2e/", b"/.%2e/", b"/x/../", b"/%2F", b"%2F", b"%2f", b"%2F%2F",
    b"\\", b"/\\", b"%5C", b"/%5c/", b"/..%2f", b"/..;/", b"/;/", b";/", b"/;a=b/", b"/%3b/", b"/%00/", b"%00/",
    b"/%0a/", b"/%0d%0a/", b"/%09", b"/%7f", b"/%c0%af", b"/%c0%ae%c0%ae/", b"/%e0%80%af", b"/%252e%252e/", b"/%252f",
    b"%252F", b"/%25/", b"/%/", b"/%2/", b"/%zz/", b"/%u002f/", b"/%ff/", b"/%c3%28/", b"/%ed%a0%80/", b"/%f5%80%80%80/",
    b"/\x00/", b"/\t/", b"/ /", b"/\r\n/", b"/\x7f/", b"/\xc3\xa9/", b"/#/", b"#", b"/%c2%85/", b"/%c2%9b/",
)  # fmt: skip
_BAD_ENDS = (
    b"/",
    b"//",
    b"/.",
    b"/..",
    b"/%2e",
    b"%2F",
    b"/;",
    b";a",
    b"%00",
    b"\\",
    b"%",
    b"%5",
    b"#",
    b"%0d%0a",
    b"%3B",
)
_BAD_STARTS = (
    b"", b"http://evil", b"https://evil:443", b"//evil", b"/", b"/.", b"/..", b"\\", b"*", b" ", b"\t", b"evil:443", b"/%2F", b"?",
    b"/./.", b"/;",
)  # fmt: skip


def hostile_paths() -> list[bytes]:
    """Targets no gateway may forward, made of five paths; all distinct."""
    found: dict[bytes, None] = {}
    for path in _RESOURCE_PATHS:
        segments = path[1:].split(b"/")
        for bad in _BAD_SEPARATORS:
            for cut in (2, len(segments) - 1):
                found[b"/" + b"/".join(segments[:cut]) + bad + b"/".join(segments[cut:])] = None
        for bad in _BAD_ENDS:
            found[path + bad] = None
        for bad in _BAD_STARTS:
            found[(bad + path) if bad else path[1:]] = None
    return list(found)


_SEGMENTS = st.sampled_from(
    (
        b"", b".", b"..", b"%2e", b"a", b"p", b"v1", b"api", b"apis", b"apps", b"namespaces", b"%6eamespaces", b"pods", b"p%6fds",
        b"secrets", b"exec", b"log", b"portforward", b"status", b"finalize", b"watch", b"proxy", b"prox%79", b"nodes", b"services",
        b"https:web:443", b"system%3Anode", b"system:node", b"x%2Fexec", b"%2F", b"%00", b"a%3Fwatch=1", b"%zz", b"%", b"%C3%A9",
        b"%ff", b"a+b", b"a%20b", b"a;b", b"a\\b", b"~", b"a.b", b"..a", b"token", b"version", b"debug", b"pprof", b"x\x7f", b"%25",
    )
)  # fmt: skip
_KEYS = st.sampled_from(
    (
        b"watch",
        b"w%61tch",
        b"Watch",
        b"fieldSelector",
        b"labelSelector",
        b"limit",
        b"timeoutSeconds",
        b"command",
        b"dryRun",
        b"x",
        b"",
    )
)
_VALUES = st.sampled_from(
    (
        b"", b"1", b"0", b"true", b"FALSE", b"no", b"%zz", b"a;b", b"metadata.name%3Dp", b"metadata.name=p", b"metadata.name==q",
        b"metadata.name!=p", b"a%3Db%2Cmetadata.name%3Dp", b"metadata.name=..", b"metadata.name=a%2Fb", b"metadata.name=a%5C%2Cb",
        b"metadata.name=p,metadata.name=o", b"metadata.name=%5Cx", b"app%3Dx", b"a+in+(b,c)", b"a+in+b", b"!", b"10", b"-1", b"1e3",
        b"All", b"%C3%A9", b"%ff", b"%00", b"fal%C5%BFe", b"+", b"%2B", b"%0a",
    )
)  # fmt: skip
_STARTS = st.sampled_from(
    (
        b"/",
        b"/api/v1/",
        b"/apis/apps/v1/",
        b"/api/v1/namespaces/a/",
        b"/api/v1/namespaces/a/pods/p/",
        b"/api/v1/nodes/n/proxy/",
        b"",
    )
)


@st.composite
def targets(draw: st.DrawFn) -> bytes:
    """Any target, more often nearly right than not."""
    path = draw(_STARTS) + b"/".join(draw(st.lists(_SEGMENTS, max_size=5)))
    if draw(st.booleans()):
        return path
    pairs = draw(st.lists(st.tuples(_KEYS, st.sampled_from((b"=", b"=", b"")), _VALUES), max_size=4))
    return path + b"?" + b"&".join(b"".join(pair) for pair in pairs)


def clean_targets() -> st.SearchStrategy[bytes]:
    """Targets that a client library would send: most are accepted."""
    name = st.sampled_from(
        (b"p", b"web-0", b"system%3Anode", b"system:node", b"a.b.c", b"a%20b", b"caf%C3%A9", b"a%2Bb", b"x~y")
    )
    resource = st.sampled_from((b"pods", b"secrets", b"services", b"deployments", b"namespaces", b"events"))
    subresource = st.sampled_from(
        (b"", b"", b"/log", b"/exec", b"/status", b"/scale", b"/proxy", b"/proxy/a%2Fb/../c//", b"/finalize")
    )
    prefix = st.sampled_from(
        (
            b"/api/v1/",
            b"/apis/apps/v1/",
            b"/api/v1/namespaces/a/",
            b"/apis/apps/v1/namespaces/b-1/",
            b"/api/v1/watch/",
        )
    )
    path = st.one_of(
        st.builds(lambda p, r: p + r, prefix, resource),
        st.builds(lambda p, r, n, s: p + r + b"/" + n + s, prefix, resource, name, subresource),
        st.sampled_from(
            (b"/", b"/api/", b"/apis", b"/version/", b"/openapi/v3/apis/apps/v1", b"/debug/pprof/heap")
        ),
    )
    pairs = st.lists(st.tuples(_KEYS, st.just(b"="), _VALUES), max_size=3, unique_by=lambda pair: pair[0])
    return st.builds(
        lambda p, q: p + (b"?" + b"&".join(b"".join(pair) for pair in q) if q else b""), path, pairs
    )
