"""Several processes seen as one gateway."""

from gateway.fleet_report import joined_checks, joined_figures
from gateway.process_messages import WorkerStatus


def test_what_is_counted_is_summed_and_of_what_is_shared_the_worst_is_taken() -> None:
    one = WorkerStatus(figures={"kubetape_calls_active": 2.0, "kubetape_disk_headroom": 1.0})
    other = WorkerStatus(figures={"kubetape_calls_active": 3.0, "kubetape_disk_headroom": 0.0})
    assert joined_figures([one, other]) == {"kubetape_calls_active": 5.0, "kubetape_disk_headroom": 1.0}


def test_a_check_fails_with_the_name_of_the_first_process_that_fails_it() -> None:
    statuses = {
        "worker-0": WorkerStatus({"recorder": "", "upstream": ""}),
        "worker-1": WorkerStatus({"recorder": "no space", "upstream": ""}),
        "control": WorkerStatus({"recorder": "no space either"}),
    }
    assert joined_checks(statuses) == {"recorder": "worker-1: no space", "upstream": ""}
