from __future__ import annotations

from agent_service.loadtest.load import OpenLoop
from agent_service.loadtest.report import text_of, warnings_of
from tests.loadtest.summaries import summary


def test_the_table_has_a_line_for_each_load_and_server() -> None:
    """Figures in the units of their headings."""
    head, line, *_ = text_of([summary()]).splitlines()
    assert head.split()[:3] == ["load", "server", "q/s"]
    assert line.split("  ")[0] == "8 clients"
    assert line.split()[3:] == [
        "100",
        "10",
        "20",
        "30",
        "40",
        "1500",
        "2",
        "0.50",
        "100",
        "-",
        "110",
        "3.00",
        "0",
    ]
    assert len(head) == len(line)


def test_what_is_not_known_is_a_question_mark() -> None:
    """No figure is made up."""
    unknown = summary(
        cpu_seconds_per_query=None, cores_busy=None, rss_bytes=None, lm_calls=None, latencies_seconds={}
    )
    line = text_of([unknown]).splitlines()[1]
    assert line.split()[4:] == ["?"] * 9 + ["0"]


def test_errors_are_told_by_code_and_ratios_in_words() -> None:
    """Both stand below the table."""
    text = text_of(
        [summary(queries=103, errors={"timeout": 2, "http_500": 1}), summary("acall", throughput=5.0)]
    )
    assert "Errors of service, 8 clients: timeout 2, http_500 1" in text
    assert "At 8 clients the service does 20 x the queries of acall" in text
    assert "a query takes 1/1 of its CPU" in text


def test_it_says_how_busy_generator_and_model_were() -> None:
    """Who measures must see whether he measured himself."""
    text = text_of([summary(), summary(load=OpenLoop(100), generator_busy=0.55)])
    assert "The load generator was busy at most 55% of a core" in text
    assert "the simulated model 20%" in text
    assert "simulated model" not in text_of([summary(model_busy=0.0)])


def test_a_measurement_of_the_wrong_thing_is_warned_of() -> None:
    """Generator, model or a full pool: the figures are then not those of the service."""
    assert warnings_of([summary()]) == []
    (generator,) = warnings_of([summary(generator_busy=0.81)])
    assert "load generator was busy 81%" in generator
    (model,) = warnings_of([summary(model_busy=0.9)])
    assert "--simulators" in model
    (pool,) = warnings_of([summary(errors={"pool_exhausted": 3})])
    assert "AGENT_POOL_SIZE" in pool
    assert f"Warning: {pool}." in text_of([summary(errors={"pool_exhausted": 3})])


def test_nothing_measured_is_said() -> None:
    """An interruption before the first query."""
    assert text_of([]) == "Nothing was measured."
