"""A line with a cursor."""

from gateway.policy.edited_line import MAX_LINE_CHARS, EditedLine


def test_typing_in_the_middle_inserts() -> None:
    line = EditedLine(insert=True)
    line.write("ac")
    line.move(-1)
    line.write("b")
    line.go_to_end()
    line.write("d")
    assert line.text == "abcd"


def test_writing_on_a_screen_overwrites_and_leaves_blanks() -> None:
    line = EditedLine(insert=False)
    line.write("abc")
    line.go_to(1)
    line.write("X")
    line.go_to(5)
    line.write("Y")
    assert line.text == "aXc  Y"


def test_corrections_erase() -> None:
    line = EditedLine(insert=True)
    line.erase_left()
    line.write("rm -rf  x y")
    line.erase_word_left()
    assert line.text == "rm -rf  x "
    line.erase_word_left()
    assert line.text == "rm -rf  "
    line.erase_left()
    line.move(-4)
    line.erase_to_start()
    assert line.text == "-rf "
    line.erase_right()
    assert line.text == "rf "
    line.move(1)
    line.erase_to_end()
    assert line.text == "r"


def test_the_cursor_stays_in_the_line() -> None:
    line = EditedLine(insert=True)
    line.write("ab")
    line.move(9)
    line.move(-9)
    line.write("x")
    assert line.text == "xab"


def test_a_line_that_is_too_long_is_cut_and_says_so() -> None:
    line = EditedLine(insert=True)
    line.write("a" * MAX_LINE_CHARS)
    line.write("b")
    line.go_to(0)
    line.insert_blanks(1)
    assert line.is_cut
    assert len(line.text) == MAX_LINE_CHARS
    line.clear()
    assert (line.text, line.is_cut) == ("", False)
