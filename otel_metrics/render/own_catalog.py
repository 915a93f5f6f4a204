"""The part of the metrics' page that tells a user how to write a catalog file of their own."""

from typing import Final

from otel_metrics.catalog.model import SERIES_BUDGET

__all__ = ["EXAMPLE", "OWN_CATALOG"]

EXAMPLE: Final = """\
file_format: definition/2

attributes:
  - key: shop.region
    type: string
    brief: Region that the order came from.
    stability: development
    examples: [eu-west]

metrics:
  - name: shop.order.duration
    instrument: histogram
    unit: s
    brief: Time from the order to its confirmation.
    stability: development
    attributes:
      - ref: shop.region
        requirement_level: required
    annotations:
      buckets: [0.1, 0.5, 2, 10]

metric_refinements:
  - id: shop.skill.executions
    ref: skill.executions
    attributes:
      - ref: shop.region
  - id: shop.queue
    ref: executor.queue_depth
    annotations:
      source: {interval: 10s}
      bands: {good: {upper: 100}, critical: {lower: 500}}
      playbooks: {warning: hire-pickers, critical: scale-workers}

playbooks:
  - id: hire-pickers
    brief: Call further people in.
    risk: low
    parameters:
      - {name: people, type: integer, brief: How many., default: 1, minimum: 1, maximum: 5}
    within: 1h
"""
"""A user's catalog file that holds, with one of each thing that it may do."""
OWN_CATALOG: Final = f"""\
## Metrics of your own

Write a file in the format of [OpenTelemetry Weaver](https://github.com/open-telemetry/weaver)'s registry and name it in `OTEL_PYTHON_METRICS_CATALOG`.
It may define attributes, metrics, events and [playbooks](playbooks.md).
Of a metric of this page it may, under `metric_refinements`, add attributes, and say where the values of a service metric come from, which are good, and which playbook to recommend; it redefines nothing.
`annotations` and `playbooks` are ours; Weaver's tools need neither.
`otel-metrics catalog check FILE` names whatever is wrong in it, with line, key and remedy.

```yaml
{EXAMPLE}```

A metric's `annotations` may hold:

| Key | Meaning | Without it |
|---|---|---|
| `buckets` | Upper bounds of a histogram in the metric's unit, ascending, without +Inf. | An error |
| `value_type` | `int` or `double`. | `double` |
| `prometheus` | The name in Prometheus; checked against what it will be. | Derived from name, unit and instrument |
| `series_budget` | Attribute sets that are kept; what is over it folds into one series with `otel.metric.overflow`. | {SERIES_BUDGET} |
| `ttl` | Time after which a gauge's value is no longer exported, such as `90s`. | Kept until set again |
| `merge` | How worker processes combine one series: `sum`, `max`, `min`, `newest`. | Up-down counters `sum`, gauges `newest` |
| `observable` | `true` where a callback gives the values at each collection. | `true` for gauges |
| `bands` | What is `good` and what is `critical`, and maybe `warning`, each with `lower`, `upper` or both. | No bands |
| `playbooks` | The playbook to recommend at `warning` and at `critical`, of a metric with a source and bands. | None |
| `source` | Where the values of a gauge come from; it must refer to the attribute `service.resource.id`. | None |

A `source` may hold:

| Key | Meaning | Without it |
|---|---|---|
| `type` | `host`, `http_server`, `sql`, `prometheus` or `callable`, a function that the service registers. | An error |
| `interval` | Time between two samples, 1s to 1d. | An error |
| `scope` | What a value is of: `service`, `host`, `queue`, or a word of your own. | An error |
| `timeout` | Time that a sample may take, up to the interval. | 5s, or the interval where it is shorter |
| `aggregation` | The figure that stands for a window: `avg`, `max`, `min`, `sum`, `p95`. | `avg` |
| `unit_name` | The unit's word in records. | The unit |
| `statistic` | Of a host `cpu`, `memory`, `disk`; of an HTTP server `latency_p95`, `error_ratio`, `request_rate`, `saturation`. | An error |
| `capacity` | Requests at once that are 100 % of `saturation`. | An error |
| `query` | Of `sql` one SELECT that gives a number, or rows of resource id and number; it may bind `:now` and `:since`. Of `prometheus` an expression. | An error |
| `url_variable` | The environment variable that holds the URL. | `OTEL_PYTHON_METRICS_SERVICE_SQL_URL`, `OTEL_PYTHON_METRICS_SERVICE_PROMETHEUS_URL` |

In a refinement, what is not said of a source is as it was.
"""  # noqa: E501  # a sentence a line
