"""The Huffman code of HPACK: compressed bytes to the string they stand for. Nothing else.

The code is canonical, so its 257 lengths define it. It is decoded an octet at a time: a node of the code's
tree knows, for an octet met there, which symbols it completes and at which node it ends. These steps are
worked out when they first occur and kept for all connections; there are at most 65 536 of them.

The trap: what is left after the last symbol must be padding: fewer than 8 bits, all ones.
Source: RFC 7541 section 5.2 and appendix B.
"""

from typing import Final

_EOS: Final = 256

_LENGTHS: Final = tuple(
    int(bits)
    for bits in (
        "13 23 28 28 28 28 28 28 28 24 30 28 28 30 28 28 28 28 28 28 28 28 30 28 28 28 28 28 28 28 28 28 "
        "6 10 10 12 13 6 8 11 10 10 8 11 8 6 6 6 5 5 5 6 6 6 6 6 6 6 7 8 15 6 12 10 "
        "13 6 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 8 7 8 13 19 13 14 6 "
        "15 5 6 5 6 5 6 6 6 5 7 7 6 6 6 5 6 7 6 5 5 6 7 7 7 7 7 15 11 14 13 28 "
        "20 22 20 20 22 22 22 23 22 23 23 23 23 23 24 23 24 24 22 23 24 23 23 23 23 21 22 23 22 23 23 24 "
        "22 21 20 22 22 23 23 21 23 22 22 24 21 22 23 23 21 21 22 21 23 22 23 23 20 22 22 22 23 22 22 23 "
        "26 26 20 19 22 23 22 25 26 26 26 27 27 26 24 25 19 21 26 27 27 26 27 24 21 21 26 26 28 27 27 27 "
        "20 24 20 21 22 21 21 23 22 22 25 25 24 24 26 23 26 27 26 26 27 27 27 27 27 28 27 27 27 27 27 26 "
        "30 "
    ).split()
)
"""Bits of each symbol's code. The last is EOS, which no string may contain."""


class Undecodable(Exception):
    """Bytes that are not HPACK: the compression state is lost, and with it the connection."""


class _Node(dict[int, tuple[bytes, "_Node"]]):
    """A place in the tree of codes. Octet -> the symbols it completes from here, and where it ends."""

    __slots__ = ("children", "may_end")

    def __init__(self) -> None:
        super().__init__()
        self.children: list[_Node | int | None] = [None, None]  # by the next bit: a node, or a symbol
        self.may_end = False  # what was read since the last symbol is padding

    def __missing__(self, octet: int) -> tuple[bytes, "_Node"]:
        node, symbols = self, bytearray()
        for shift in range(7, -1, -1):
            child = node.children[octet >> shift & 1]
            if isinstance(child, _Node):
                node = child
            elif child is None or child == _EOS:
                raise Undecodable("a Huffman string with EOS in it")
            else:
                symbols.append(child)
                node = _ROOT
        self[octet] = step = bytes(symbols), node
        return step


def _build_tree() -> _Node:
    root, code, bits = _Node(), 0, 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(_LENGTHS)):
        code <<= length - bits  # canonical: the next code of the same length, or the first longer one
        bits = length
        node = root
        for shift in range(length - 1, 0, -1):
            bit = code >> shift & 1
            child = node.children[bit]
            if not isinstance(child, _Node):
                child = node.children[bit] = _Node()
            node = child
        node.children[code & 1] = symbol
        code += 1
    _mark_padding(root)
    return root


def _mark_padding(root: _Node) -> None:
    node: _Node | int | None = root
    for _ in range(8):  # no bit of padding, or up to seven
        assert isinstance(node, _Node)
        node.may_end = True
        node = node.children[1]


_ROOT: Final = _build_tree()


def decode_huffman(data: bytes) -> bytes:
    """The string that these bytes encode. Raises Undecodable."""
    node, pieces = _ROOT, []
    for octet in data:
        piece, node = node[octet]
        pieces.append(piece)
    if not node.may_end:
        raise Undecodable("a Huffman string that ends inside a symbol")
    return b"".join(pieces)
