"""Trust policies: the example of c2sp.org/tlog-policy, what a quorum takes, and files that are wrong."""

import itertools

import pytest

from storage.tlog.checkpoint import Checkpoint, cosign, sign_checkpoint, with_cosignatures
from storage.tlog.note import (
    BadSignature,
    KeyType,
    NotSigned,
    Signature,
    SignerKey,
    encode_signer,
    parse_signer,
)
from storage.tlog.trust import MAX_POLICY_BYTES, BadPolicy, Group, Policy, PolicyNotMet, parse_policy

ORIGIN = "kubetape/gw-1/0"
HEAD = Checkpoint(ORIGIN, 7, bytes(32))
NOW_S = 1_790_000_000


def signer(number: int, name: str, kind: KeyType) -> SignerKey:
    return parse_signer(encode_signer(name, kind, bytes([number]) * 32))


LOG = signer(1, ORIGIN, KeyType.ED25519)
OTHER_LOG = signer(2, "kubetape/gw-2/0", KeyType.ED25519)
NAMES = ["X1", "X2", "X3", "Y1", "Y2", "Y3"]
WITNESSES = {
    name: signer(10 + n, f"{name}.example", KeyType.MLDSA44 if name == "Y3" else KeyType.COSIGNATURE)
    for n, name in enumerate(NAMES)
}
LINES = [
    f"log {LOG.verifier.vkey}",
    f"log {OTHER_LOG.verifier.vkey}\thttps://log.example/",
    "",
    *(f"witness {name} {WITNESSES[name].verifier.vkey}" for name in NAMES),
    "  # two of ours, one of theirs",
    "group X-witnesses 2 X1 X2 X3",
    "group Y-witnesses any Y1 Y2 Y3",
    " \tgroup X-and-Y all \t X-witnesses Y-witnesses ",
    "quorum X-and-Y",
]
POLICY = "\n".join(LINES) + "\n"


def note(*cosigners: str, log: SignerKey = LOG) -> bytes:
    lines = [cosign(HEAD.text, WITNESSES[name], NOW_S) for name in cosigners]
    return with_cosignatures(sign_checkpoint(HEAD, [log]), lines)


def test_the_example_of_the_specification_reads() -> None:
    policy = parse_policy(POLICY.encode())
    assert [log.url for log in policy.logs] == ["", "https://log.example/"]
    assert [witness.name for witness in policy.witnesses] == NAMES
    assert policy.groups == (
        Group("X-witnesses", 2, ("X1", "X2", "X3")),
        Group("Y-witnesses", 1, ("Y1", "Y2", "Y3")),
        Group("X-and-Y", 2, ("X-witnesses", "Y-witnesses")),
    )
    assert policy.quorum == "X-and-Y"


def test_the_quorum_is_reached_by_exactly_the_sets_it_describes() -> None:
    policy = parse_policy(POLICY.encode())
    for count in range(len(NAMES) + 1):
        for chosen in itertools.combinations(NAMES, count):
            enough = sum(name[0] == "X" for name in chosen) >= 2 and any(name[0] == "Y" for name in chosen)
            if enough:
                judgement = policy.judge(note(*chosen))
                assert judgement.checkpoint == HEAD
                assert judgement.log_key == LOG.verifier
                assert judgement.cosigned_at_s == dict.fromkeys(chosen, NOW_S)
            else:
                with pytest.raises(PolicyNotMet, match="quorum 'X-and-Y' is not reached"):
                    policy.judge(note(*chosen))


def test_what_is_missing_is_said() -> None:
    with pytest.raises(
        PolicyNotMet, match=r"at size 7: quorum 'X-and-Y' is not reached \(cosigned by: X2, Y1\)"
    ):
        parse_policy(POLICY.encode()).judge(note("Y1", "X2"))
    with pytest.raises(PolicyNotMet, match=r"cosigned by: none"):
        parse_policy(POLICY.encode()).judge(note())


def small(*lines: str) -> Policy:
    return parse_policy("\n".join([f"log {LOG.verifier.vkey}", *lines]).encode())


def test_a_policy_without_quorum_believes_the_log_alone_and_still_names_its_witnesses() -> None:
    policy = small(f"witness w {WITNESSES['X1'].verifier.vkey} https://w.example", "quorum none")
    assert policy.witnesses[0].url == "https://w.example"
    assert policy.judge(note()).cosigned_at_s == {}
    assert policy.judge(note("X1")).cosigned_at_s == {"w": NOW_S}


def test_a_single_witness_can_be_the_quorum() -> None:
    policy = small(f"witness w {WITNESSES['X1'].verifier.vkey}", "quorum w")
    assert policy.judge(note("X1", "X2")).cosigned_at_s == {"w": NOW_S}
    with pytest.raises(PolicyNotMet):
        policy.judge(note("X2"))


def test_a_log_key_speaks_for_its_own_log_only() -> None:
    with pytest.raises(PolicyNotMet, match="signed by the key of another log only"):
        parse_policy(POLICY.encode()).judge(note("X1", "X2", "Y1", log=OTHER_LOG))


def test_an_unknown_log_is_not_believed_however_many_witnesses_it_has() -> None:
    stranger = signer(3, ORIGIN, KeyType.ED25519)
    with pytest.raises(NotSigned):
        parse_policy(POLICY.encode()).judge(note(*NAMES, log=stranger))


def test_a_forged_cosignature_is_no_missing_one() -> None:
    line = cosign(HEAD.text, WITNESSES["X1"], NOW_S)
    forged = Signature(line.name, line.key_id, line.value[:-1] + bytes([line.value[-1] ^ 1]))
    with pytest.raises(BadSignature):
        small(f"witness w {WITNESSES['X1'].verifier.vkey}", "quorum none").judge(
            with_cosignatures(note(), [forged])
        )


def test_cosignatures_alone_can_be_judged_for_a_log_known_otherwise() -> None:
    policy = parse_policy(f"witness w {WITNESSES['X1'].verifier.vkey}\nquorum w".encode())
    judgement = policy.judge_cosignatures(note("X1"), HEAD)
    assert (judgement.log_key, judgement.cosigned_at_s) == (None, {"w": NOW_S})
    with pytest.raises(PolicyNotMet):
        policy.judge_cosignatures(note(), HEAD)


def test_names_are_octets_and_words_of_the_language_are_names_too() -> None:
    key = WITNESSES["X1"].verifier.vkey.encode()
    policy = parse_policy(b"witness \xe2\x84\xaaelvin\x80 " + key + b"\nquorum \xe2\x84\xaaelvin\x80\n")
    assert policy.quorum == "\u212aelvin\udc80"
    with pytest.raises(BadPolicy, match="line 2: 'Kelvin\ufffd' is not defined above"):
        parse_policy(b"witness \xe2\x84\xaaelvin\x80 " + key + b"\nquorum Kelvin\x80\n")
    words = b"witness all " + key + b"\ngroup group any all\nquorum group\n"
    assert parse_policy(words).groups == (Group("group", 1, ("all",)),)


W1, W2 = (f"witness {name} {WITNESSES[name].verifier.vkey}" for name in ("X1", "X2"))
W1_AGAIN = f"witness again {signer(10, 'impostor', KeyType.COSIGNATURE).verifier.vkey}"
NOTE_KEY = f"witness n {signer(10, 'n', KeyType.ED25519).verifier.vkey}"


@pytest.mark.parametrize(
    ("lines", "line", "why"),
    [
        ([], 0, "no quorum line"),
        ([W1], 0, "no quorum line"),
        (["quorum none", "quorum none"], 2, "a second quorum line"),
        (["quorum"], 1, "write `quorum"),
        (["quorum none none"], 1, "write `quorum"),
        (["quorum w"], 1, "'w' is not defined above"),
        (["quorum X1", W1], 1, "'X1' is not defined above"),
        (["quibble", "quorum none"], 1, "'quibble' is none of log, witness, group, quorum"),
        (["quorum none\r"], 1, "the octet 0x0d is not allowed"),
        (["quorum none", "\x01"], 2, "the octet 0x01 is not allowed"),
        (["quorum none", "# \x7f"], 2, "the octet 0x7f is not allowed"),
        (["log", "quorum none"], 1, "write `log"),
        (["log a b c", "quorum none"], 1, "write `log"),
        (["log garbage", "quorum none"], 1, "not a verifier key"),
        ([LINES[0], LINES[0], "quorum none"], 2, "this log key is listed twice"),
        (["witness w", "quorum none"], 1, "write `witness"),
        ([W1 + " https://w # comment", "quorum none"], 1, "write `witness"),
        (["witness w garbage", "quorum none"], 1, "not a verifier key"),
        ([NOTE_KEY, "quorum none"], 1, "needs a cosignature key"),
        ([W1.replace("X1", "none", 1), "quorum none"], 1, "the name none is taken"),
        ([W1, W2.replace("X2", "X1", 1), "quorum none"], 2, "'X1' is defined twice"),
        ([W1, W1_AGAIN, "quorum none"], 2, "this witness key is listed twice"),
        ([W1, "group X1 any X1", "quorum none"], 2, "'X1' is defined twice"),
        ([W1, "group none any X1", "quorum none"], 2, "the name none is taken"),
        ([W1, "group g any", "quorum none"], 2, "write `group"),
        ([W1, "group g 0 X1", "quorum none"], 2, "'0' of 1 members is impossible"),
        ([W1, "group g 2 X1", "quorum none"], 2, "'2' of 1 members is impossible"),
        ([W1, "group g -1 X1", "quorum none"], 2, "'-1' of 1 members is impossible"),
        ([W1, "group g 1000000 X1", "quorum none"], 2, "is impossible"),
        ([W1, "group g \u0661 X1", "quorum none"], 2, "is impossible"),
        ([W1, "group g any g", "quorum none"], 2, "'g' is not defined above"),
        (["group g any X1", W1, "quorum g"], 1, "'X1' is not defined above"),
        ([W1, "group g any none X1", "quorum g"], 2, "'none' is not defined above"),
        ([W1, "group g all X1 X1", "quorum g"], 2, "'X1' is a member already"),
        ([W1, "group g any X1", "group h any X1", "quorum g"], 3, "'X1' is a member already"),
        (["#" * 10] * 10_001, 0, "more than 10000 lines"),
        (["#" * MAX_POLICY_BYTES], 0, "longer than"),
    ],
)
def test_a_wrong_policy_is_refused_and_its_line_named(lines: list[str], line: int, why: str) -> None:
    with pytest.raises(BadPolicy, match=why) as caught:
        parse_policy(("\n".join(lines) + "\n").encode())
    assert caught.value.line == line
