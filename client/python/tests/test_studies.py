"""Studies and their trials, from Python."""

from __future__ import annotations

import pytest

import swift_sampler
from swift_sampler import Aborted, Client, FailedPrecondition, InvalidArgument, NotFound, StudyEnded


@pytest.fixture
def study(client: Client, dataset: str) -> str:
    client.create_study("s", dataset, {"seed": 0}, attempts_max=2)
    return "s"


def test_a_study_is_created_once_listed_ended_and_removed(client: Client, study: str) -> None:
    again = client.create_study(study, "d", {"seed": 0}, attempts_max=2)
    assert (again.name, again.dataset, again.config, again.ended, again.result) == ("s", "d", {"seed": 0}, False, None)
    with pytest.raises(swift_sampler.AlreadyExists):
        client.create_study(study, "d", {"seed": 1}, attempts_max=2)
    assert [one.name for one in client.studies()] == ["s"]
    ended = client.end_study(study, {"best": 3})
    assert (ended.ended, ended.result) == (True, {"best": 3}) and client.study(study).ended
    with pytest.raises(StudyEnded, match="no trial will come any more"):
        client.ask(study, "w")
    client.remove_study(study)
    with pytest.raises(NotFound):
        client.study(study)


def test_trials_are_added_in_order_and_once(client: Client, study: str) -> None:
    added = client.add_trial(study, 0, {"point": [0.5]}, 1)
    assert (added.number, added.state, added.parameters, added.objective) == (0, "pending", {"point": [0.5]}, None)
    with pytest.raises(Aborted):
        client.add_trial(study, 0, {"point": [0.6]}, 1)
    with pytest.raises(FailedPrecondition):
        client.add_trial(study, 2, {}, 1)
    with pytest.raises(NotFound):
        client.add_trial(study, 1, {}, 99)
    with pytest.raises(InvalidArgument, match="number -1"):
        client.add_trial(study, -1, {}, 1)


def test_a_worker_gets_its_own_trial_back_and_tells_it(client: Client, study: str) -> None:
    assert client.ask(study, "a", wait_max=0.0) is None
    client.add_trial(study, 0, {}, 1)
    lease = client.ask(study, "a")
    assert lease is not None and (lease.trial.number, lease.trial.attempt, lease.trial.state) == (0, 1, "running")
    again = client.ask(study, "a")
    assert again is not None and again.trial.attempt == 1
    assert lease.report('{"epochs": []}') and not lease.lost
    told = lease.tell("objective", 0.5, '{"epochs": [], "seconds": 1.0}')
    assert (told.state, told.objective, told.report["seconds"]) == ("succeeded", 0.5, 1.0)
    assert lease.tell("objective", 0.9, "").objective == 0.5, "the first telling stands"


def test_each_way_an_attempt_ends_is_kept(client: Client, study: str) -> None:
    for number in range(4):
        client.add_trial(study, number, {}, 1)
    for number, told in enumerate([{"infeasible": "no draws"}, {"objective": float("nan")}, {"released": "bye"}, {"failed": "crash"}]):
        lease = client.ask(study, f"w{number}")
        assert lease is not None and lease.trial.number == number
        if number == 2:
            # Given back, it would be the next one's.
            continue
        client.tell(study, number, 1, f"w{number}", **told)
    client.tell(study, 2, 1, "w2", released="bye")
    trials = [(trial.state, trial.reason) for trial in client.trials(study)]
    assert trials == [
        ("infeasible", "no draws"),
        ("infeasible", "the objective is NaN, which is not finite"),
        ("pending", "bye"),
        ("pending", "crash"),
    ]
    with pytest.raises(ValueError, match="give one of objective, infeasible, failed, released"):
        client.tell(study, 0, 1, "w0", objective=0.5, failed="both")
    with pytest.raises(FailedPrecondition, match="never leased"):
        client.tell(study, 2, 7, "w2", objective=0.5)


def test_another_process_may_keep_a_lease(client: Client, study: str) -> None:
    client.add_trial(study, 0, {}, 1)
    lease = client.ask(study, "a")
    assert lease is not None
    assert client.heartbeat(study, 0, 1, "a", report={"epochs": []}) is False
    assert client.trials(study)[0].report == {"epochs": []}
    with pytest.raises(FailedPrecondition, match="leased by"):
        client.heartbeat(study, 0, 1, "b")
    client.end_study(study)
    assert client.heartbeat(study, 0, 1, "a") is True
