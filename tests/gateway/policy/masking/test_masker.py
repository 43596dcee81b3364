"""The one door: which calls are masked at all, heads of requests, texts and targets."""

import pytest

from gateway.policy.masking.hiding import placeholder
from gateway.policy.masking.masker import Masker, masker_for
from gateway.policy.masking.paths import BadPath
from gateway.policy.model import CustomDetector, Mask
from protocol.apicall import parse_call
from protocol.events import ResponseHead

HIDDEN = placeholder("p/r")
KEY_ID = "AKIAIOSFODNN7EXAMPLE"
KEYS = Masker((Mask("p/r", detectors=("aws-key",)),))
PATHS = Masker((Mask("p/r", ("spec.x",)),))
NOTHING = Masker(())
POD = parse_call(b"GET", b"/api/v1/namespaces/n/pods/p")
HEAD = ResponseHead(200, ((b"content-type", b"application/json"),))


@pytest.mark.parametrize("path", [b"/api", b"/apis", b"/apis/apps/v1", b"/openapi/v2", b"/version"])
def test_descriptions_of_the_api_pass(path: bytes) -> None:
    call = parse_call(b"GET", path)
    assert KEYS.answer(call, HEAD) is None
    assert KEYS.request_headers(((b"accept", b"x/y"),), call) == ((b"accept", b"x/y"),)


def test_other_paths_are_masked() -> None:
    assert KEYS.answer(parse_call(b"GET", b"/logs/kube.log"), HEAD) is not None
    assert KEYS.answer(parse_call(b"GET", b"/apisx"), HEAD) is not None
    assert KEYS.request_headers((), POD) == ((b"accept", b"application/json"),)


def test_without_masks_nothing_is_touched() -> None:
    assert not NOTHING
    assert KEYS
    assert NOTHING.answer(POD, HEAD) is None
    assert NOTHING.request_headers((), POD) == ()
    assert NOTHING.request(POD, b"", b"x") == (b"x", {})
    assert NOTHING.text(KEY_ID) == KEY_ID
    assert NOTHING.target(b"/a?b=" + KEY_ID.encode()) == b"/a?b=" + KEY_ID.encode()


def test_heads_pass_where_only_paths_mask() -> None:
    answer = PATHS.answer(POD, ResponseHead(200, (*HEAD.headers, (b"warning", KEY_ID.encode()))))
    assert answer is not None
    assert answer.head().headers[1] == (b"warning", KEY_ID.encode())


def test_texts_and_targets_are_masked_by_detectors() -> None:
    assert KEYS.text(f"--key={KEY_ID}") == f"--key={HIDDEN}"
    shown = b"%5Bmasked+by+p%2Fr%5D"
    assert KEYS.target(b"/x?a=b%20c&command=AKIA%49OSFODNN7EXAMPLE") == b"/x?a=b+c&command=" + shown
    assert KEYS.target(b"/x?a=b%20c") == b"/x?a=b%20c"
    assert (
        KEYS.target(f"/x/{KEY_ID}/y?;={KEY_ID}".encode()) == b"/x/[masked%20by%20p/r]/y?;=[masked%20by%20p/r]"
    )


def test_the_first_rule_that_names_a_detector_counts() -> None:
    masker = Masker(
        (Mask("p/1", detectors=("own",)), Mask("p/2", detectors=("own",))), (CustomDetector("own", "zz+"),)
    )
    assert masker.text("a zzz") == f"a {placeholder('p/1')}"


def test_maskers_are_made_once_and_bad_ones_refused() -> None:
    masks = (Mask("p/r", ("spec.y",)),)
    assert masker_for(masks) is masker_for((Mask("p/r", ("spec.y",)),))
    with pytest.raises(BadPath):
        Masker((Mask("p/r", ("a[",)),))
    with pytest.raises(ValueError, match="no detector"):
        Masker((Mask("p/r", detectors=("nope",)),))


def test_a_stream_is_masked_where_detectors_look_for_something() -> None:
    stream = KEYS.stream(tty=False)
    assert stream is not None
    assert stream.feed(f"key {KEY_ID}\n".encode()) == b"key [masked by p/r]\n"
    assert PATHS.stream(tty=True) is None


def test_header_values_are_masked_by_detectors() -> None:
    headers = ((b"x-key", KEY_ID.encode()), (b"accept", b"*/*"))
    assert KEYS.headers(headers) == ((b"x-key", HIDDEN.encode()), (b"accept", b"*/*"))
    assert PATHS.headers(headers) == headers
