import pytest

from gateway.demo.standin.pod.filetree import BLOCK_BYTES, FileError, FileTree, computed_blocks, resolve


@pytest.mark.parametrize(
    ("directory", "path", "expected"),
    [
        ("/", "a", "/a"),
        ("/a", "../b", "/b"),
        ("/a", "/b/./c", "/b/c"),
        ("/", "../../etc", "/etc"),
        ("/", "//x", "/x"),
    ],
)
def test_paths_never_leave_the_root(directory: str, path: str, expected: str) -> None:
    assert resolve(directory, path) == expected


@pytest.mark.parametrize(
    "start", [0, 1, 8, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES, 10**9]
)
def test_a_computed_file_read_from_the_middle_is_its_rest(start: int) -> None:
    whole = b"".join(computed_blocks(2 * BLOCK_BYTES + 100))
    assert len(whole) == 2 * BLOCK_BYTES + 100
    assert b"".join(computed_blocks(len(whole), start)) == whole[start:]


def test_no_two_blocks_of_a_computed_file_are_alike() -> None:
    blocks = list(computed_blocks(50 * BLOCK_BYTES))
    assert len(set(blocks)) == 50


def test_directories_and_files_keep_their_places() -> None:
    tree = FileTree()
    tree.put("/a/b/file", b"x")
    assert (tree.children("/a"), tree.walk("/a")) == (["b"], ["/a", "/a/b", "/a/b/file"])
    for wrong in (
        lambda: tree.make_directory("/a"),
        lambda: tree.make_directory("/no/parent"),
        lambda: tree.write("/a/b"),
        lambda: tree.write("/a/b/file/below"),
        lambda: tree.remove("/a"),
        lambda: list(tree.read("/a")),
        lambda: list(tree.read("/nope")),
    ):
        with pytest.raises(FileError):
            wrong()
    tree.remove("/a", recursive=True)
    assert tree.find("/a/b/file") is None


def test_appending_keeps_what_was_there() -> None:
    tree = FileTree()
    for piece in (b"a", b"b"):
        writer = tree.write("/f", append=True)
        writer.add(piece)
        writer.close()
    assert b"".join(tree.read("/f")) == b"ab"


def test_a_tree_has_room_for_so_much_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.demo.standin.pod.filetree.MAX_TREE_BYTES", 10)
    monkeypatch.setattr("gateway.demo.standin.pod.filetree.MAX_FILES", 3)
    tree = FileTree()
    tree.put("/a", b"123456")
    tree.put("/b", b"123456")
    assert (tree.get("/a").content, tree.get("/b").content) == (b"123456", None)
    with pytest.raises(FileError, match="No space"):
        tree.put("/c", b"")
