"""What the demo shows: for a person as it happens, for a script at the end."""

import json

import pytest

from gateway.demo.screen import LAST_LINES, MAX_LINES, Screen


def test_a_script_gets_one_document_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(as_json=True)
    screen.title("t")
    screen.begin("ann", "kubectl get pods", "why")
    screen.end("ann", "kubectl get pods", "no\tpods\n")
    screen.document(verified=True)
    found = json.loads(capsys.readouterr().out)
    assert found == {
        "steps": [{"who": "ann", "command": "kubectl get pods", "output": "no\tpods\n"}],
        "verified": True,
    }


def test_a_person_gets_no_document(capsys: pytest.CaptureFixture[str]) -> None:
    Screen(as_json=False).document(verified=True)
    assert capsys.readouterr().out == ""


def test_output_that_comes_after_another_command_says_whose_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(as_json=False)
    screen.begin("ann", "one")
    screen.begin("bob", "two")
    screen.end("bob", "two", "2")
    screen.end("ann", "one", "1")
    assert capsys.readouterr().out == "ann$ one\nbob$ two\n  2\n[ann: one]\n  1\n"


def test_of_a_long_output_the_beginning_and_the_end_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(as_json=False)
    screen.begin("ann", "c")
    screen.end("ann", "c", "\n".join(f"line {number}" for number in range(100)))
    shown = capsys.readouterr().out.splitlines()[1:]
    assert len(shown) == MAX_LINES + 1
    assert shown[0] == "  line 0"
    assert shown[-LAST_LINES - 1] == f"  ... {100 - MAX_LINES} more lines"
    assert shown[-1] == "  line 99"


def test_columns_are_aligned_and_control_characters_made_visible(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(as_json=False)
    screen.begin("ann", "c")
    screen.end("ann", "c", "ID\tNAME\nlonger\t\x1b[2J\n")
    assert capsys.readouterr().out.splitlines()[1:] == ["  ID      NAME", "  longer  \\x1b[2J"]
