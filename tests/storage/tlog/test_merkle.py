"""RFC 6962 hashing and proofs, against the vectors of Certificate Transparency and a direct definition."""

import random

import pytest

from storage.tlog.merkle import (
    EMPTY_ROOT,
    Frontier,
    HashReader,
    ProofMismatch,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    peaks_of,
    root_of,
    verify_consistency,
    verify_inclusion,
)

# The eight leaves and the roots of sizes 1 to 8 that the CT implementations test with.
CT_ENTRIES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
CT_LEAVES = [leaf_hash(entry) for entry in CT_ENTRIES]
CT_ROOTS = [
    bytes.fromhex(text)
    for text in (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
CT_INCLUSION = [
    (0, 1, []),
    (
        0,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
]
CT_CONSISTENCY = [
    (1, 1, []),
    (
        1,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]


def direct_root(leaves: list[bytes]) -> bytes:
    """MTH as RFC 6962 section 2.1 defines it."""
    if len(leaves) <= 1:
        return leaves[0] if leaves else EMPTY_ROOT
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(direct_root(leaves[:split]), direct_root(leaves[split:]))


def direct_path(index: int, leaves: list[bytes]) -> list[bytes]:
    """PATH as RFC 6962 section 2.1.1 defines it."""
    if len(leaves) == 1:
        return []
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if index < split:
        return [*direct_path(index, leaves[:split]), direct_root(leaves[split:])]
    return [*direct_path(index - split, leaves[split:]), direct_root(leaves[:split])]


def direct_subproof(old: int, leaves: list[bytes], known: bool) -> list[bytes]:
    """SUBPROOF as RFC 6962 section 2.1.2 defines it."""
    if old == len(leaves):
        return [] if known else [direct_root(leaves)]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if old <= split:
        return [*direct_subproof(old, leaves[:split], known), direct_root(leaves[split:])]
    return [*direct_subproof(old - split, leaves[split:], False), direct_root(leaves[:split])]


def reader_of(leaves: list[bytes]) -> HashReader:
    def read(level: int, index: int) -> bytes:
        nodes = leaves[index << level : (index + 1) << level]
        assert len(nodes) == 1 << level, "only complete subtrees may be asked for"
        return direct_root(nodes)

    return read


def random_leaves(rng: random.Random, count: int) -> list[bytes]:
    return [rng.randbytes(32) for _ in range(count)]


def hashes(texts: list[str]) -> list[bytes]:
    return [bytes.fromhex(text) for text in texts]


def test_roots_are_those_of_certificate_transparency() -> None:
    assert [root_of(CT_LEAVES[:size]) for size in range(9)] == CT_ROOTS


@pytest.mark.parametrize(("index", "size", "proof"), CT_INCLUSION)
def test_inclusion_proofs_are_those_of_certificate_transparency(
    index: int, size: int, proof: list[str]
) -> None:
    assert inclusion_proof(index, size, reader_of(CT_LEAVES[:size])) == hashes(proof)
    verify_inclusion(CT_LEAVES[index], index, size, hashes(proof), CT_ROOTS[size])


@pytest.mark.parametrize(("old", "new", "proof"), CT_CONSISTENCY)
def test_consistency_proofs_are_those_of_certificate_transparency(
    old: int, new: int, proof: list[str]
) -> None:
    assert consistency_proof(old, new, reader_of(CT_LEAVES[:new])) == hashes(proof)
    verify_consistency(old, new, hashes(proof), CT_ROOTS[old], CT_ROOTS[new])


def test_a_frontier_goes_on_from_its_peaks_at_every_size() -> None:
    rng = random.Random(1)
    leaves = random_leaves(rng, 70)
    for size in range(70):
        frontier = Frontier(size, peaks_of(size, reader_of(leaves)))
        assert frontier.root() == direct_root(leaves[:size])
        frontier.append(leaves[size])
        assert (frontier.size, frontier.root()) == (size + 1, direct_root(leaves[: size + 1]))
        assert frontier.peaks == tuple(peaks_of(size + 1, reader_of(leaves)))


def test_a_frontier_with_the_wrong_number_of_peaks_is_refused() -> None:
    with pytest.raises(ValueError, match="a tree of 3 leaves has 2 peaks, not 1"):
        Frontier(3, [EMPTY_ROOT])


def test_every_proof_of_every_small_tree_is_the_direct_one_and_verifies() -> None:
    leaves = random_leaves(random.Random(2), 34)
    for size in range(1, 35):
        read, root = reader_of(leaves[:size]), direct_root(leaves[:size])
        for index in range(size):
            proof = inclusion_proof(index, size, read)
            assert proof == direct_path(index, leaves[:size])
            verify_inclusion(leaves[index], index, size, proof, root)
        for old in range(size + 1):
            proof = consistency_proof(old, size, read)
            assert proof == (direct_subproof(old, leaves[:size], True) if old else [])
            verify_consistency(old, size, proof, direct_root(leaves[:old]), root)


def test_random_proofs_of_larger_trees_verify() -> None:
    rng = random.Random(3)
    leaves = random_leaves(rng, 1500)
    read = reader_of(leaves)
    for _ in range(60):
        new = rng.randint(1, 1500)
        old, index, root = rng.randint(0, new), rng.randrange(new), direct_root(leaves[:new])
        verify_inclusion(leaves[index], index, new, inclusion_proof(index, new, read), root)
        proof = consistency_proof(old, new, read)
        verify_consistency(old, new, proof, direct_root(leaves[:old]), root)


def spoilt(rng: random.Random, proof: list[bytes]) -> list[list[bytes]]:
    """The proof with one thing wrong, in every way and place."""
    found = [[*proof, rng.randbytes(32)], [rng.randbytes(32), *proof], [*proof, EMPTY_ROOT]]
    for at in range(len(proof)):
        found.append(proof[:at] + proof[at + 1 :])
        found.append([*proof[:at], rng.randbytes(32), *proof[at + 1 :]])
        found.append([*proof[:at], proof[at][:-1], *proof[at + 1 :]])
        found.append([*proof[:at], proof[at], *proof[at:]])
    return found


def refuse_inclusion(leaf: bytes, index: int, size: int, proof: list[bytes], root: bytes) -> None:
    with pytest.raises(ProofMismatch):
        verify_inclusion(leaf, index, size, proof, root)


def refuse_consistency(old: int, new: int, proof: list[bytes], old_root: bytes, new_root: bytes) -> None:
    with pytest.raises(ProofMismatch):
        verify_consistency(old, new, proof, old_root, new_root)


def test_no_spoilt_inclusion_proof_verifies() -> None:
    rng = random.Random(4)
    leaves = random_leaves(rng, 13)
    for size in (1, 2, 5, 8, 13):
        root, read = direct_root(leaves[:size]), reader_of(leaves[:size])
        for index in range(size):
            proof = inclusion_proof(index, size, read)
            for wrong in spoilt(rng, proof):
                refuse_inclusion(leaves[index], index, size, wrong, root)
            refuse_inclusion(rng.randbytes(32), index, size, proof, root)
            refuse_inclusion(leaves[index], index, size, proof, rng.randbytes(32))
            for other in {*range(-1, size + 1)} - {index}:
                refuse_inclusion(leaves[index], other, size, proof, root)


def test_no_spoilt_consistency_proof_verifies() -> None:
    rng = random.Random(5)
    leaves = random_leaves(rng, 13)
    for new in (0, 1, 2, 4, 7, 8, 13):
        new_root, read = direct_root(leaves[:new]), reader_of(leaves[:new])
        for old in range(new + 1):
            old_root = direct_root(leaves[:old])
            proof = consistency_proof(old, new, read)
            for wrong in spoilt(rng, proof):
                refuse_consistency(old, new, wrong, old_root, new_root)
            refuse_consistency(old, new, proof, rng.randbytes(32), new_root)
            if old or not new:  # any tree continues the empty one
                refuse_consistency(old, new, proof, old_root, rng.randbytes(32))
            refuse_consistency(new + 1, new, proof, old_root, new_root)


def test_an_empty_proof_between_different_trees_is_refused() -> None:
    leaves = random_leaves(random.Random(6), 7)
    with pytest.raises(ProofMismatch, match="the proof is empty"):
        verify_consistency(3, 7, [], direct_root(leaves[:3]), direct_root(leaves))


def test_proofs_of_what_a_tree_does_not_have_cannot_be_asked_for() -> None:
    read = reader_of(CT_LEAVES)
    with pytest.raises(ValueError, match="there is no leaf 8 in a tree of 8"):
        inclusion_proof(8, 8, read)
    with pytest.raises(ValueError, match="a tree of 3 leaves has no prefix of 4"):
        consistency_proof(4, 3, read)
