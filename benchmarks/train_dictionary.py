"""Train the compression dictionary that ships in storage/dictionaries, and measure it.

    python -m benchmarks.train_dictionary --id 32770 --out storage/dictionaries/32770.zdict
    python -m benchmarks.train_dictionary --measure 32770

A dictionary embeds pieces of its samples: it is trained on synthetic ones only (record_samples). A
shipped dictionary is never trained again under the same id, for segments name it by id and SHA-256.
"""

import argparse
import json
import time
from pathlib import Path

import zstandard

from benchmarks.kubernetes_samples import KNOWN, UNSEEN, Sample
from benchmarks.record_samples import commits, records
from storage.dictionary import Compression, shipped_parameters
from storage.format import FRAME_HEADER_BYTES, encode_block

TRAINING_SEED, MEASURING_SEED = 1, 2
SAMPLES = 6000
SIZE_BYTES = 32 * 1024
BLOCKS = (1, 4, 16, 64)


def train(dict_id: int) -> bytes:
    """Train on commits as they are at low load; large bodies are cut, since what repeats in them repeats early."""
    samples = [
        encode_block([record[:4096] for record in commit]) for commit in commits(TRAINING_SEED, SAMPLES)
    ]
    trained = zstandard.train_dictionary(SIZE_BYTES, samples, k=1024, d=8, level=3, dict_id=dict_id)
    return trained.as_bytes()


def measure(dict_id: int, samples: tuple[Sample, ...], per_block: int, count: int = 3000) -> dict[str, float]:
    """Ratio and cost of frames of so many records, frame header included."""
    compression = Compression(shipped_parameters(dict_id))
    sample = records(MEASURING_SEED, count, samples)
    blocks = [encode_block(sample[at : at + per_block]) for at in range(0, count, per_block)]
    started = time.perf_counter()
    stored = sum(FRAME_HEADER_BYTES + len(compression.compress(block)) for block in blocks)
    spent = time.perf_counter() - started
    return {
        "ratio": round(sum(map(len, sample)) / stored, 2),
        "bytes_per_record": round(stored / count),
        "us_per_record": round(spent / count * 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--id", type=int, default=32_770)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", type=int, metavar="ID")
    arguments = parser.parse_args()
    if arguments.out:
        if arguments.out.exists():
            parser.error(f"{arguments.out} exists: a shipped dictionary is never trained again, use a new id")
        arguments.out.write_bytes(train(arguments.id))
    if arguments.measure:
        for kinds, samples in (("known kinds", KNOWN), ("a kind never seen", UNSEEN)):
            for per_block in BLOCKS:
                for dict_id in (0, arguments.measure):
                    row = {"kinds": kinds, "records": per_block, "dictionary": dict_id}
                    print(json.dumps(row | measure(dict_id, samples, per_block)))


if __name__ == "__main__":
    main()
