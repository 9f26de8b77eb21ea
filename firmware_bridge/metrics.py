"""The Prometheus endpoint (extra `metrics`): what the health message says, as gauges and counters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from edge_emotion.errors import ConfigError

Facts = Callable[[], dict[str, Any]]


class Exporter:
    """Serves the newest facts on HTTP.

    Parameters
    ----------
    facts
        Returns a flat table: a name gives a number, or a table of label values to numbers. Names that end in ``_total``
        are counters, others gauges.
    """

    def __init__(self, address: str, port: int, facts: Facts) -> None:
        try:
            import prometheus_client
        except ImportError:
            raise ConfigError(
                "metrics.port: prometheus-client is not installed; pip install 'edge-emotion[metrics]'"
            ) from None
        registry = prometheus_client.CollectorRegistry()
        registry.register(_Collector(facts))
        try:
            self._server, self._thread = prometheus_client.start_http_server(port, address, registry)
        except OSError as error:
            raise ConfigError(f"metrics.port: {address}:{port} cannot be opened ({error.strerror})") from None

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Collector:
    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        for name, value in self._facts().items():
            family = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            labelled = isinstance(value, dict)
            metric = family(f"edge_emotion_{name}", name.replace("_", " "), labels=["of"] if labelled else [])
            for label, number in value.items() if labelled else [(None, value)]:
                if number is not None:
                    metric.add_metric([] if label is None else [label], float(number))
            yield metric
