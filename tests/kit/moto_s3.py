"""moto's S3 on loopback: a server nobody here wrote, with object lock, conditions and versions."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

REGION = "eu-central-1"


@contextmanager
def open_moto() -> Iterator[str]:
    """Its endpoint."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of moto's own, at import
        from moto.server import ThreadedMotoServer
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def make_bucket(endpoint: str, name: str) -> Any:
    """A bucket with object lock; returns a client."""
    import boto3

    client = boto3.client("s3", endpoint_url=endpoint, region_name=REGION)
    client.create_bucket(
        Bucket=name,
        ObjectLockEnabledForBucket=True,
        CreateBucketConfiguration={"LocationConstraint": REGION},
    )
    return client
