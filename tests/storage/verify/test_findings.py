from storage.verify.findings import EXIT_CODES, Finding, Kind, LogReport, Report


def report(*kinds: Kind) -> Report:
    return Report((LogReport("0", findings=tuple(Finding(kind, "x") for kind in kinds)),))


def test_notes_leave_the_exit_code_alone() -> None:
    notes = [kind for kind in Kind if kind not in EXIT_CODES]
    assert report(*notes).exit_code == 0
    assert all(finding.is_note for finding in report(*notes).all_findings)


def test_the_gravest_finding_decides_and_all_are_listed_in_order() -> None:
    mixed = report(Kind.TORN_TAIL, Kind.CORRUPT, Kind.UNVERIFIABLE, Kind.FORGED, Kind.MISSING)
    assert mixed.exit_code == 14
    assert [finding.kind for finding in mixed.all_findings] == [
        Kind.FORGED,
        Kind.MISSING,
        Kind.CORRUPT,
        Kind.UNVERIFIABLE,
        Kind.TORN_TAIL,
    ]
    assert report(Kind.UNVERIFIABLE, Kind.CORRUPT).exit_code == 10


def test_every_finding_has_an_exit_code_of_its_own() -> None:
    assert sorted(EXIT_CODES.values()) == [10, 11, 12, 13, 14, 15]
    assert list(EXIT_CODES) == [kind for kind in Kind if kind in EXIT_CODES], "in order of gravity"


def test_a_place_reads_as_one_would_say_it() -> None:
    assert Finding(Kind.CORRUPT, "x", "0", "seg", 4096, 7).place == "0/seg at byte 4096, record 7"
    assert Finding(Kind.CORRUPT, "x", "0").place == "0"
    assert Finding(Kind.CORRUPT, "x").place == ""
