"""`python -m gateway.demo.standin`: the stand-in as a process of its own.

Prints one line of JSON when it is ready: port, url and the paths of what it wrote. SIGTERM and Ctrl-C
end it.
"""

import json
from functools import partial
from pathlib import Path

import click
import trio

from gateway.demo.standin.server import Standin, serve_standin
from gateway.demo.standin.settings import StandinSettings, old_server


@click.command()
@click.option("--port", default=0, show_default=True, help="Port; 0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--dir",
    "directory",
    required=True,
    type=click.Path(path_type=Path),
    help="Where kubeconfigs, ca.crt and seen.jsonl go.",
)
@click.option(
    "--old",
    is_flag=True,
    help="Answer as a server of 1.20: no aggregated discovery, no WebSocket v5, no tunnel.",
)
def main(port: int, host: str, directory: Path, old: bool) -> None:
    """Serve a stand-in API server, not Kubernetes, for demos and tests."""
    settings = StandinSettings(directory=directory, host=host, port=port)
    trio.run(partial(_serve, old_server(settings) if old else settings))


async def _serve(settings: StandinSettings) -> None:
    async with trio.open_nursery() as nursery:
        standin: Standin = await nursery.start(serve_standin, settings)
        directory = settings.directory
        ready = {"port": standin.port, "url": standin.url}
        if directory:
            ready |= {
                "kubeconfig": str(directory / "admin.kubeconfig"),
                "seen": str(directory / "seen.jsonl"),
            }
        print(json.dumps(ready), flush=True)


if __name__ == "__main__":
    main()
