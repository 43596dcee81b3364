"""Nudges between the processes of a host."""

import queue
import shutil
import socket
from pathlib import Path

from gateway.state.nudge import DIRECTORY, NudgeSocket, address_of, nudge_all


def test_every_listener_is_woken(tmp_path: Path) -> None:
    heard: queue.Queue[str] = queue.Queue()
    sockets = [NudgeSocket(tmp_path, lambda name=name: heard.put(name)) for name in ("a", "b")]  # type: ignore[misc]
    nudge_all(tmp_path)
    assert {heard.get(timeout=10), heard.get(timeout=10)} == {"a", "b"}
    for one in sockets:
        one.close()


def test_a_closed_listener_leaves_nothing_behind(tmp_path: Path) -> None:
    NudgeSocket(tmp_path, lambda: None).close()
    assert list((tmp_path / DIRECTORY).iterdir()) == []


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / DIRECTORY).mkdir()
    left = tmp_path / DIRECTORY / "4711-dead"
    left.touch()
    heard: queue.Queue[None] = queue.Queue()
    listener = NudgeSocket(tmp_path, lambda: heard.put(None))
    nudge_all(tmp_path)
    heard.get(timeout=10)
    listener.close()
    assert not left.exists()


def test_nobody_listening_is_no_error(tmp_path: Path) -> None:
    nudge_all(tmp_path)
    (tmp_path / DIRECTORY).mkdir()
    (tmp_path / DIRECTORY / "no-socket").write_text("")
    nudge_all(tmp_path)


def test_a_directory_deeper_than_a_sockets_path_may_be(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    heard: queue.Queue[None] = queue.Queue()
    listener = NudgeSocket(deep, lambda: heard.put(None))
    nudge_all(deep)
    heard.get(timeout=10)
    listener.close()


def test_a_socket_that_fails_later_is_made_up_for_by_looking_all_the_time(tmp_path: Path) -> None:
    heard: queue.Queue[None] = queue.Queue()
    listener = NudgeSocket(tmp_path, lambda: heard.put(None))
    assert listener.is_listening
    listener._socket.close()
    for _ in range(3):
        heard.get(timeout=10)
    listener.close()
    assert not listener.is_listening


def test_without_a_place_for_a_socket_there_is_just_polling(tmp_path: Path) -> None:
    (tmp_path / DIRECTORY).write_text("in the way")
    NudgeSocket(tmp_path, lambda: None).close()


def test_a_flood_of_nudges_blocks_nobody(tmp_path: Path) -> None:
    (tmp_path / DIRECTORY).mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(address_of(tmp_path, "deaf"))
        (tmp_path / DIRECTORY / "deaf").touch()
        for _ in range(1000):
            nudge_all(tmp_path)


def test_what_lies_in_the_directory_can_be_copied_with_it(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    listener = NudgeSocket(tmp_path / "data", lambda: None)
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    listener.close()


def test_a_listener_looks_for_itself_whether_there_may_be_news(tmp_path: Path) -> None:
    heard: queue.Queue[None] = queue.Queue()
    answers = iter((False, True))
    listener = NudgeSocket(tmp_path, lambda: heard.put(None), lambda: next(answers, False))
    heard.get(timeout=10)
    assert listener.is_listening
    listener.close()
    assert heard.empty()
