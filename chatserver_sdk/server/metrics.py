"""The figures of one server, for Prometheus. Each server has a registry of its own.

Label values are bounded: templates of routes, the usual methods, the catalogue's models.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import generate_latest

from chatserver_sdk.engine import Turn
from chatserver_sdk.models.events import TurnFailed
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
        self._requests = Counter(
            "chatserver_requests",
            "Requests that were answered; status none: the caller had gone.",
            ("route", "method", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "chatserver_request_seconds",
            "Seconds from a request's head to the last byte of its answer.",
            ("route",),
            buckets=_LATENCIES,
            registry=registry,
        )
        self._turns = self._counter("turns", "Turns that have ended.", "model", "state")
        self._tokens = self._counter("tokens", "What turns have cost.", "model", "kind")
        self._events_sent = 0
        registry.register(self)
        # Finding a label's child costs more than counting with it.
        self._bound: dict[_Request, tuple[Callable[[], None], Callable[[float], None]]] = {}
        self._bound_turns: dict[tuple[str, str], tuple[Callable[[float], None], ...]] = {}
        self._models: Collection[str] = ()

    def count_request(self, route: str, method: str, status: int | None, seconds: float) -> None:
        """One request was answered, or its caller had gone."""
        key = (route, method, (status or 0) // 100)
        bound = self._bound.get(key)
        if bound is None:
            group = f"{key[2]}xx" if status else "none"
            counter = self._requests.labels(route, method, group)
            bound = counter.inc, self._seconds.labels(route).observe
            self._bound[key] = bound
        bound[0]()
        bound[1](seconds)

    def count_turn(self, turn: Turn) -> None:
        """A turn has ended, or could not begin."""
        if turn.ending is None:
            return
        key = turn.model if turn.model in self._models else "other", _state(turn)
        bound = self._bound_turns.get(key)
        if bound is None:
            tokens = [self._tokens.labels(key[0], kind).inc for kind in ("prompt", "completion")]
            bound = self._bound_turns[key] = (self._turns.labels(*key).inc, *tokens)
        usage = turn.usage
        bound[0](1)
        bound[1](usage.prompt_tokens)
        bound[2](usage.completion_tokens)

    def count_events(self, count: int) -> None:
        """So many events were sent. A plain number: a counter's lock costs ten times as much."""
        self._events_sent += count

    def collect(self) -> Iterator[CounterMetricFamily]:
        """What the registry asks for."""
        yield CounterMetricFamily(
            "chatserver_events_sent", "Events sent in streams.", value=self._events_sent
        )

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

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"chatserver_{name}", about, labels, registry=self.registry)

    def _gauge(self, name: str, about: str, reading: Callable[[], float]) -> None:
        Gauge(name, about, registry=self.registry).set_function(reading)


def _state(turn: Turn) -> str:
    is_interrupted = isinstance(turn.ending, TurnFailed) and turn.ending.code == "interrupted"
    return "interrupted" if is_interrupted else turn.state
