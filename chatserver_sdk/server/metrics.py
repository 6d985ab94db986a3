"""The figures of one server, for Prometheus. Each server has a registry of its own.

Label values are bounded: templates of routes, the usual methods, the catalogue's models.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.utils import floatToGoString

from chatserver_sdk.engine import Turn
from chatserver_sdk.engine.turn import FAILED
from chatserver_sdk.storage import Store

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_LATENCIES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_COMMITS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
_Request = tuple[str, str, int]


class Metrics:
    """What is counted. The readings of gauges are taken when somebody asks for them."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(self)
        self._requests: dict[_Request, int] = defaultdict(int)
        self._seconds: dict[str, _Spread] = defaultdict(_Spread)
        self._turns: dict[tuple[str, str], int] = defaultdict(int)
        self._tokens: dict[tuple[str, str], int] = defaultdict(int)
        self._events_sent = 0
        self._models: Collection[str] = ()

    def count_request(self, route: str, method: str, status: int | None, seconds: float) -> None:
        """One request was answered, or its caller had gone."""
        self._requests[route, method, (status or 0) // 100] += 1
        self._seconds[route].add(seconds)

    def count_turn(self, turn: Turn) -> None:
        """A turn has ended, or could not begin."""
        if turn.ending is None:
            return
        model = turn.model if turn.model in self._models else "other"
        usage = turn.usage
        self._turns[model, _state(turn)] += 1
        self._tokens[model, "prompt"] += usage.prompt_tokens
        self._tokens[model, "completion"] += usage.completion_tokens

    def count_events(self, count: int) -> None:
        """So many events were sent."""
        self._events_sent += count

    def collect(self) -> Iterator[Metric]:
        """What the registry asks for. Until then these are plain numbers: the library's own
        counters have a lock each, and a request has half a dozen of them."""
        requests = CounterMetricFamily(
            "chatserver_requests",
            "Requests that were answered; status none: the caller had gone.",
            labels=("route", "method", "status"),
        )
        for (route, method, group), count in self._requests.items():
            requests.add_metric((route, method, f"{group}xx" if group else "none"), count)
        seconds = HistogramMetricFamily(
            "chatserver_request_seconds",
            "Seconds from a request's head to the last byte of its answer.",
            labels=("route",),
        )
        for route, spread in self._seconds.items():
            seconds.add_metric((route,), spread.buckets(), spread.sum)
        about = "Events sent in streams."
        yield requests
        yield seconds
        yield _counter("turns", "Turns that have ended.", ("model", "state"), self._turns)
        yield _counter("tokens", "What turns have cost.", ("model", "kind"), self._tokens)
        yield CounterMetricFamily("chatserver_events_sent", about, value=self._events_sent)

    def watch_turns(
        self, models: Collection[str], running: Callable[[], float], readers: Callable[[], float]
    ) -> None:
        """Take the figures of an engine along."""
        self._models = models
        self._gauge("chatserver_turns_running", "Turns that run now.", running)
        self._gauge("chatserver_readers", "Readers of turns, those of whole answers too.", readers)

    def watch_store(self, store: Store) -> None:
        """Take the figures of a store along."""
        jobs = Counter("chatserver_store_jobs", "Jobs that were written.", registry=self.registry)
        seconds = Histogram(
            "chatserver_store_commit_seconds",
            "Seconds that a transaction of the writer took; it holds several jobs.",
            buckets=_COMMITS,
            registry=self.registry,
        )
        self._gauge("chatserver_store_waiting", "Jobs that wait for the writer.", store.waiting)

        def on_commit(duration: float, count: int) -> None:
            jobs.inc(count)
            seconds.observe(duration)

        store.watch_commits(on_commit)

    def exposition(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, about: str, reading: Callable[[], float]) -> None:
        Gauge(name, about, registry=self.registry).set_function(reading)


class _Spread:
    """How many durations were up to which of the bounds."""

    def __init__(self) -> None:
        self.sum = 0.0
        self._counts = [0] * (len(_LATENCIES) + 1)

    def add(self, seconds: float) -> None:
        self.sum += seconds
        self._counts[bisect_left(_LATENCIES, seconds)] += 1

    def buckets(self) -> list[tuple[str, float]]:
        """Each bound, and how many were up to it."""
        bounds = [*map(floatToGoString, _LATENCIES), "+Inf"]
        return list(zip(bounds, accumulate(self._counts)))


def _counter(
    name: str, about: str, labels: tuple[str, str], counts: Mapping[tuple[str, str], int]
) -> CounterMetricFamily:
    family = CounterMetricFamily(f"chatserver_{name}", about, labels=labels)
    for key, count in counts.items():
        family.add_metric(key, count)
    return family


def _state(turn: Turn) -> str:
    is_interrupted = turn.state == FAILED and getattr(turn.ending, "code", None) == "interrupted"
    return "interrupted" if is_interrupted else turn.state
