"""Claim rules: one field wrong, and nobody gets in."""

import pytest

from gateway.identity.claims import MAX_GROUPS, NS, principal_from_claims
from gateway.identity.errors import Unauthenticated
from gateway.identity.predecode import DecodedToken
from gateway.identity.settings import IssuerSettings
from gateway.principal import Principal

NOW = 1_800_000_000
URL = "https://issuer.test"
GOOD: dict[str, object] = {"iss": URL, "sub": "alice", "aud": "kubetape", "iat": NOW - 10, "exp": NOW + 600}
ABSENT = object()


def judge(
    changes: dict[str, object] | None = None, *, typ: str = "jwt", now_ns: int = NOW * NS, **settings: object
) -> Principal:
    payload = {name: value for name, value in {**GOOD, **(changes or {})}.items() if value is not ABSENT}
    decoded = DecodedToken(b"", b"", {}, payload, "RS256", None, typ)
    given = {"url": URL, "audiences": ("kubetape", "other"), **settings}
    return principal_from_claims(decoded, IssuerSettings(**given), now_ns=now_ns, credential_id="c" * 32)  # type: ignore[arg-type]


def refused(changes: dict[str, object] | None = None, **settings: object) -> str:
    with pytest.raises(Unauthenticated) as caught:
        judge(changes, **settings)  # type: ignore[arg-type]
    assert not caught.value.unavailable
    return str(caught.value)


def test_a_good_token_is_its_principal() -> None:
    assert judge() == Principal(
        user="alice",
        groups=(),
        method="oidc",
        credential_id="c" * 32,
        issuer=URL,
        subject="alice",
        claims=GOOD,
        expires_ns=(NOW + 630) * NS,
    )


# --- iss, aud, azp, typ -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "iss",
    [
        ABSENT,
        None,
        "",
        URL + "/",
        URL.upper(),
        URL[:-1],
        URL + " ",
        "http://issuer.test",
        [URL],
        {"a": URL},
        1,
        True,
    ],
)
def test_the_issuer_is_exact(iss: object) -> None:
    assert "issuer" in refused({"iss": iss})


@pytest.mark.parametrize(
    "aud",
    [ABSENT, None, "", [], "Kubetape", "kubetape ", "kubetape,other", "kube", 1, True, {"kubetape": 1}, ["x"], [""],
     ["kubetape", 1], ["kubetape", None], [["kubetape"]], ["x"] * 33, ["kubetape"] * 33],
)  # fmt: skip
def test_a_wrong_audience_is_refused(aud: object) -> None:
    assert "aud" in refused({"aud": aud, "azp": "kubetape"})


@pytest.mark.parametrize("aud", ["kubetape", "other", ["kubetape"], ["other"]])
def test_any_configured_audience_will_do(aud: object) -> None:
    assert judge({"aud": aud}).user == "alice"


@pytest.mark.parametrize("azp", [ABSENT, None, "", "x", "Kubetape", 1, ["kubetape"], True])
def test_several_audiences_need_an_authorized_party_of_ours(azp: object) -> None:
    refused({"aud": ["kubetape", "x"], "azp": azp})


def test_several_audiences_with_our_party_pass() -> None:
    assert judge({"aud": ["kubetape", "x"], "azp": "kubetape"}).user == "alice"
    assert judge({"aud": ["kubetape", "x"], "azp": "cli"}, authorized_parties=("cli",)).user == "alice"


def test_configured_parties_count_for_a_single_audience_too() -> None:
    assert judge({"azp": "somebody"}).user == "alice"
    assert judge({"azp": "cli"}, authorized_parties=("cli",)).user == "alice"
    assert "party" in refused({"azp": "somebody"}, authorized_parties=("cli",))
    assert "party" in refused({}, authorized_parties=("cli",))


@pytest.mark.parametrize("azp", [None, "", 1, [], {}, True])
def test_a_malformed_party_is_refused(azp: object) -> None:
    assert "azp" in refused({"azp": azp})


@pytest.mark.parametrize("typ", ["at+jwt", "logout+jwt", "secevent+jwt", "dpop+jwt", "jwe", "x"])
def test_a_token_of_another_type_is_refused(typ: str) -> None:
    assert "type" in refused(typ=typ)


def test_a_type_can_be_configured_and_may_be_absent() -> None:
    assert judge(typ="at+jwt", token_types=("jwt", "at+jwt")).user == "alice"
    assert judge(typ="").user == "alice"
    assert "type" in refused(typ="jwt", token_types=("at+jwt",))


def test_a_logout_token_is_no_login() -> None:
    assert "event" in refused({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}, typ="")


# --- exp, nbf, iat ------------------------------------------------------------------------------------

BAD_DATES: list[object] = [
    None, "", "1800000600", str(NOW + 600), float(NOW + 600), NOW + 600.5, True, False, -1, -(2**62), [NOW + 600], {"t": 1},
    253_402_300_800, 2**62, 1e300,
]  # fmt: skip


@pytest.mark.parametrize("value", BAD_DATES)
@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
def test_a_date_is_a_whole_number_in_range(name: str, value: object) -> None:
    assert f'"{name}"' in refused({name: value})


def test_a_token_without_end_is_refused() -> None:
    assert '"exp"' in refused({"exp": ABSENT})


@pytest.mark.parametrize(("exp", "good"), [(0, False), (-29, True), (-30, False), (-31, False), (1, True)])
def test_the_end_is_exact_to_the_leeway(exp: int, good: bool) -> None:
    changes: dict[str, object] = {"exp": NOW + exp, "iat": NOW - 100}
    if good:
        assert judge(changes).expires_ns == (NOW + exp + 30) * NS
    else:
        if exp == 0:
            assert "expired" in refused(changes, leeway_seconds=0)
        else:
            assert "expired" in refused(changes)


def test_the_end_is_exact_to_the_nanosecond() -> None:
    judge(now_ns=(NOW + 630) * NS - 1)
    with pytest.raises(Unauthenticated, match="expired"):
        judge(now_ns=(NOW + 630) * NS)


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_a_token_from_the_future_is_refused(name: str) -> None:
    judge({name: NOW + 30})
    judge({name: NOW}, leeway_seconds=0)
    assert f'"{name}" is in the future' in refused({name: NOW + 31})
    assert "future" in refused({name: NOW + 1}, leeway_seconds=0)


def test_the_longest_life_is_bounded() -> None:
    judge({"iat": NOW - 100, "exp": NOW + 500}, max_age_seconds=600)
    assert "longer" in refused({"iat": NOW - 101, "exp": NOW + 500}, max_age_seconds=600)
    judge({"iat": ABSENT, "exp": NOW + 600}, max_age_seconds=600)
    assert "longer" in refused({"iat": ABSENT, "exp": NOW + 601}, max_age_seconds=600)
    assert "longer" in refused({"exp": 253_402_300_799})


# --- names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sub", [ABSENT, None, "", 1, True, ["alice"], {"a": 1}, "x" * 257])
def test_a_subject_is_always_needed(sub: object) -> None:
    assert '"sub"' in refused({"sub": sub, "name": "alice"}, username_claim="name")


def test_the_user_comes_from_the_configured_claim() -> None:
    assert (
        judge({"preferred_username": "al"}, username_claim="preferred_username", username_prefix="oidc:").user
        == "oidc:al"
    )


@pytest.mark.parametrize(
    "name",
    [
        ABSENT,
        None,
        "",
        1,
        True,
        ["al"],
        " al",
        "al ",
        "a\nb",
        "a\0b",
        "a\u202eb",
        "system:masters",
        "system:",
        "x" * 257,
    ],
)
def test_a_user_name_that_is_none_is_refused(name: object) -> None:
    refused({"name": name}, username_claim="name")


def test_blanks_do_not_hide_behind_a_prefix() -> None:
    refused({"name": " al"}, username_claim="name", username_prefix="oidc:")
    refused({"name": ""}, username_claim="name", username_prefix="oidc:")


def test_a_reserved_name_becomes_harmless_by_a_prefix() -> None:
    sub = "system:serviceaccount:ci:runner"
    assert "reserved" in refused({"sub": sub})
    assert judge({"sub": sub}, username_prefix="k8s:").user == "k8s:" + sub


@pytest.mark.parametrize("verified", [False, None, "true", "false", 1, 0, "", [], {}])
def test_an_unverified_address_is_refused(verified: object) -> None:
    assert "verified" in refused({"email": "a@b.c", "email_verified": verified}, username_claim="email")


@pytest.mark.parametrize("verified", [True, ABSENT])
def test_a_verified_address_is_a_name(verified: object) -> None:
    assert judge({"email": "a@b.c", "email_verified": verified}, username_claim="email").user == "a@b.c"


def test_an_unverified_address_does_not_matter_if_it_is_no_name() -> None:
    assert judge({"email": "a@b.c", "email_verified": False}).user == "alice"


@pytest.mark.parametrize(
    ("value", "groups"),
    [
        (ABSENT, ()),
        (None, ()),
        ([], ()),
        ("sre", ("sre",)),
        (["b", "a"], ("b", "a")),
        (["a", "b", "a"], ("a", "b")),
        (["A", "a"], ("A", "a")),
        (["\u00e9", "e\u0301"], ("\u00e9", "e\u0301")),  # composed or not: two groups, never one
        (["a b"], ("a b",)),
    ],
)
def test_groups_are_a_string_a_list_or_absent(value: object, groups: tuple[str, ...]) -> None:
    assert judge({"groups": value}).groups == groups


@pytest.mark.parametrize(
    "value",
    ["", [""], " a", ["a", " b"], ["a\n"], 1, True, False, {"a": 1}, ["a", 1], ["a", None], [["a"]], [{"name": "a"}],
     ["system:masters"], ["a", "system:nodes"], "system:masters", [f"g{n}" for n in range(MAX_GROUPS + 1)], ["x" * 257]],
)  # fmt: skip
def test_malformed_groups_refuse_the_token(value: object) -> None:
    assert "group" in refused({"groups": value})


def test_as_many_groups_as_allowed_pass_with_prefix() -> None:
    names = [f"g{n}" for n in range(MAX_GROUPS)]
    principal = judge({"roles": names}, groups_claim="roles", groups_prefix="oidc:")
    assert principal.groups == tuple("oidc:" + name for name in names)


def test_groups_are_read_only_from_the_configured_claim() -> None:
    assert judge({"groups": ["admin"], "roles": ["dev"]}, groups_claim="roles").groups == ("dev",)
    assert judge({"groups": ["admin"]}, groups_claim="roles").groups == ()
    assert judge({"groups": ["admin"]}, groups_claim="").groups == ()


# --- required claims, kept claims ---------------------------------------------------------------------


@pytest.mark.parametrize("value", [ABSENT, None, "EXAMPLE.com", "example.com ", ["example.com"], True, 1, ""])
def test_a_required_claim_has_exactly_its_value(value: object) -> None:
    assert "hd" in refused({"hd": value}, required_claims={"hd": "example.com"})


@pytest.mark.parametrize(("wanted", "others"), [(True, [1, "true", False, 1.0]), (1, [True, 1.0, "1", 2])])
def test_a_required_value_has_its_type_too(wanted: object, others: list[object]) -> None:
    assert judge({"mfa": wanted}, required_claims={"mfa": wanted}).user == "alice"
    for other in others:
        refused({"mfa": other}, required_claims={"mfa": wanted})


def test_a_small_payload_is_kept_whole_and_of_a_large_one_what_is_named() -> None:
    assert judge({"team": "x"}).claims["team"] == "x"
    large: dict[str, object] = {"filler": "x" * 5000, "team": "x", "hd": "h", "groups": ["a"]}
    kept = judge(large, required_claims={"hd": "h"}, policy_claims=("team", "nowhere")).claims
    assert kept == {"iss": URL, "sub": "alice", "groups": ["a"], "team": "x", "hd": "h"}


def test_no_refusal_quotes_a_value() -> None:
    canary = "canary-value"
    for changes in (
        {"iss": canary},
        {"aud": canary},
        {"exp": canary},
        {"groups": [canary, 5]},
        {"azp": 5, "x": canary},
    ):
        assert canary not in refused(changes)
