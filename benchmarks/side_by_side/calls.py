"""Plain API calls on warm connections: GET of 3 KB and 30 KB, LIST of 5 MB, CREATE and DELETE."""

import contextlib

from benchmarks.http_client import Client
from benchmarks.side_by_side.interleave import Samples, interleave
from benchmarks.side_by_side.plan import Plan
from benchmarks.side_by_side.result import GET
from benchmarks.side_by_side.site import Site, configmap
from benchmarks.side_by_side.ways import Lane, Ways


def measure_calls(ways: Ways, site: Site, plan: Plan, samples: Samples, run: int) -> None:
    lanes = ways.lanes()
    with contextlib.ExitStack() as stack:
        clients = {lane.name: stack.enter_context(contextlib.closing(lane.connect())) for lane in lanes}
        reads = {
            GET: (f"{site.configmaps}/small", plan.gets),
            "get 30 KB": (f"{site.configmaps}/large", plan.gets),
            "list 5 MB": (f"{site.configmaps}?labelSelector=bench%3Dlist", plan.lists),
        }
        for step, (path, schedule) in reads.items():

            def read(lane: Lane, number: int, step: str = step, path: str = path) -> dict[str, float]:
                return {step: clients[lane.name].call("GET", path)}

            interleave("calls", lanes, schedule, read, samples, run)

        def write(lane: Lane, number: int) -> dict[str, float]:
            return create_and_delete(clients[lane.name], site, f"{lane.name}-{run}-{number}")

        interleave("calls", lanes, plan.writes, write, samples, run)


def create_and_delete(client: Client, site: Site, label: str) -> dict[str, float]:
    name = f"made-{label}".replace(" ", "-").replace("--", "-minus-")
    return {
        "create": client.call("POST", site.configmaps, configmap(name, 500)),
        "delete": client.call("DELETE", f"{site.configmaps}/{name}"),
    }
