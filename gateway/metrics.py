"""What a monitoring system reads: the gateway's own figures and those its keeper reports, in Prometheus' text.

The one module that knows prometheus_client. Nothing of a call is a label: no user, name or path, only ids of
rules. Figures are
looked up when they are asked for, so the request path pays nothing. A figure the keeper has not reported yet is
absent, never zero: an alert on absence finds a keeper that does not work.
"""

from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.decision_counts import DecisionCounts
from gateway.keeper_messages import KeeperStatus

if TYPE_CHECKING:
    from prometheus_client.core import Metric


class ProcessFigures(NamedTuple):
    """One of several processes of a gateway. calls: being served by it."""

    name: str
    is_up: bool
    restarts: int
    calls: float


class Figure(NamedTuple):
    """One metric: its kind in Prometheus' sense and what it means."""

    kind: str  # "gauge" or "counter"
    help: str


FIGURES: Final = {
    "kubetape_record_backlog_bytes": Figure("gauge", "Bytes recorded and not yet durable."),
    "kubetape_record_failed": Figure("gauge", "1 once recording has failed and every call is refused."),
    "kubetape_disk_headroom": Figure(
        "gauge", "0 enough room, 1 low: no new streams, 2 critical: no new calls."
    ),
    "kubetape_calls_active": Figure("gauge", "Calls being served."),
    "kubetape_streams_active": Figure("gauge", "Watches, log streams and tunnels among them."),
    "kubetape_approvals_pending": Figure("gauge", "Requests that wait for a person."),
    "kubetape_data_keys_problem": Figure("gauge", "1 while no new data key can be had (key service)."),
    "kubetape_keeper_up": Figure("gauge", "1 while the keeper process reports."),
    "kubetape_keeper_status_age_seconds": Figure("gauge", "Since the keeper's last report."),
    "kubetape_indexed_records_total": Figure("counter", "Records indexed since the keeper started."),
    "kubetape_tree_size": Figure(
        "gauge", "Leaves of the hash trees covered by signed checkpoints, of all logs."
    ),
    "kubetape_checkpoint_age_seconds": Figure(
        "gauge", "Since the newest signed checkpoint, of the oldest log."
    ),
    "kubetape_witness_failures_total": Figure("counter", "Cosignatures that were asked for and not given."),
    "kubetape_segment_export_backlog": Figure("gauge", "Files that wait to be copied to S3."),
    "kubetape_segment_export_backlog_bytes": Figure("gauge", "Their bytes."),
    "kubetape_segment_export_age_seconds": Figure("gauge", "Age of the oldest of them."),
    "kubetape_segment_export_total": Figure(
        "counter", "Files copied to S3 and verified since the keeper started."
    ),
    "kubetape_segment_export_alarms": Figure(
        "gauge", "Keys in the bucket that hold something we did not write."
    ),
    "kubetape_checkpoint_export_age_seconds": Figure(
        "gauge", "How far the bucket's newest checkpoint is behind."
    ),
    "kubetape_rows_total": Figure("counter", "Rows made for export since the keeper started."),
    "kubetape_sink_backlog_records": Figure(
        "gauge", "Records that sinks have not delivered yet, of the slowest."
    ),
    "kubetape_sink_age_seconds": Figure("gauge", "Age of the oldest of them."),
    "kubetape_sink_events_total": Figure("counter", "Events delivered since the keeper started."),
    "kubetape_sink_rejected_total": Figure("counter", "Events a receiver refused for good."),
    "kubetape_retention_deleted_total": Figure(
        "counter", "Segments deleted by retention since the keeper started."
    ),
    "kubetape_retention_held_segments": Figure("gauge", "Segments that only a legal hold keeps."),
}
"""Every metric there is. A duty reports its facts under these names."""


class Metrics:
    """own: figures of this process by name; keeper: the last report and its age in seconds; decisions: what
    policy did, counted."""

    def __init__(
        self,
        own: Callable[[], dict[str, float]],
        keeper: Callable[[], tuple[KeeperStatus, float]],
        decisions: Callable[[], DecisionCounts] = DecisionCounts,
        processes: Callable[[], list[ProcessFigures]] = list,
    ) -> None:
        from prometheus_client import CollectorRegistry

        self._own, self._keeper = own, keeper
        self._decisions, self._processes = decisions, processes
        self._registry = CollectorRegistry()
        self._registry.register(self)  # a Collector by its one method

    def text(self) -> bytes:
        """All of it, as a scrape wants it."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)

    def collect(self) -> "Iterable[Metric]":
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

        yield InfoMetricFamily("kubetape_build", "What runs.", {"version": version("kubetape")})
        duties = GaugeMetricFamily(
            "kubetape_keeper_duty_failing",
            "1 while a duty of the keeper fails; the journal says why.",
            labels=["duty"],
        )
        status, age_s = self._keeper()
        for name, duty in sorted(status.duties.items()):
            duties.add_metric([name], float(bool(duty.problem)))
        yield duties
        for name, value in sorted(self._figures(status, age_s).items()):
            figure = FIGURES[name]
            family = GaugeMetricFamily if figure.kind == "gauge" else CounterMetricFamily
            yield family(name, figure.help, value)
        yield from self._policy()
        yield from self._each_process()

    def _each_process(self) -> "Iterable[Metric]":
        """Nothing for a gateway that is one process."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        processes = self._processes()
        if not processes:
            return
        up = GaugeMetricFamily("kubetape_process_up", "1 while it serves.", labels=["process"])
        calls = GaugeMetricFamily("kubetape_process_calls_active", "Calls it is serving.", labels=["process"])
        restarts = CounterMetricFamily(
            "kubetape_process_restarts_total", "Times it died and was started again.", labels=["process"]
        )
        for process in processes:
            up.add_metric([process.name], float(process.is_up))
            calls.add_metric([process.name], process.calls)
            restarts.add_metric([process.name], process.restarts)
        yield from (up, calls, restarts)

    def _policy(self) -> "Iterable[Metric]":
        """What stands under labels: ids of rules and fixed words, bounded by DecisionCounts."""
        from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

        counts = self._decisions()
        decisions = CounterMetricFamily(
            "kubetape_decisions_total",
            "Calls decided, by action and the rule that decided (empty: none).",
            labels=["action", "rule"],
        )
        for (action, rule), number in sorted(counts.decisions.items()):
            decisions.add_metric([action, rule], number)
        yield decisions
        for name, help_text, counter in (
            ("kubetape_shadow_total", "Calls a rule in shadow mode would have stopped.", counts.shadow),
            ("kubetape_masked_values_total", "Values hidden from an answer or a record.", counts.masked),
        ):
            family = CounterMetricFamily(name, help_text, labels=["rule"])
            for rule, number in sorted(counter.items()):
                family.add_metric([rule], number)
            yield family
        waits = HistogramMetricFamily(
            "kubetape_approval_wait_seconds", "How long people waited for an approval.", labels=["result"]
        )
        for result, times in sorted(counts.waits.items()):
            waits.add_metric([result], times.cumulative(), times.sum_s)
        yield waits

    def _figures(self, status: KeeperStatus, age_s: float) -> dict[str, float]:
        figures = dict(self._own())
        for duty in status.duties.values():
            figures |= {name: value for name, value in duty.facts.items() if name in FIGURES}
        figures["kubetape_keeper_up"] = float(bool(status.at_ns) and age_s < _SILENT_S)
        if status.at_ns:
            figures["kubetape_keeper_status_age_seconds"] = age_s
        return figures


_SILENT_S: Final = 30.0
"""A keeper that says nothing for so long is not working: it reports every second."""
