"""Ready-made questions to an archive, as SQL over its views.

Each counts by `increments`. A cost that is not known is NULL, never zero.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["QUESTIONS", "Question"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question in words, and the SQL that answers it."""

    summary: str
    sql: str


_COST_PER_CORRECT_OUTCOME: Final = """\
-- cost_is: known, at least (the service used tokens whose price is not known), or unknown
WITH counted AS (
    SELECT
        service,
        attr(attributes, 'gen_ai.skill.name') AS skill,
        sum(increase) FILTER (metric = 'skill.outcomes') AS outcomes,
        sum(increase) FILTER (
            metric = 'skill.outcomes' AND attr(attributes, 'skill.outcome') = 'correct'
        ) AS correct,
        sum(increase) FILTER (metric = 'skill.cost') AS cost_usd,
        sum(increase) FILTER (metric = 'llm.unpriced_tokens') AS unpriced_tokens
    FROM increments
    WHERE metric IN ('skill.outcomes', 'skill.cost', 'llm.unpriced_tokens')
    GROUP BY service, skill
), priced AS (
    SELECT *, sum(unpriced_tokens) OVER (PARTITION BY service) AS unpriced_of_service
    FROM counted
)
SELECT
    service,
    skill,
    coalesce(outcomes, 0)::BIGINT AS outcomes,
    coalesce(correct, 0)::BIGINT AS correct,
    round(cost_usd, 6) AS cost_usd,
    CASE WHEN correct > 0 THEN round(cost_usd / correct, 6) END AS cost_per_correct_usd,
    CASE
        WHEN priced.cost_usd IS NULL THEN 'unknown'
        WHEN unpriced_of_service > 0 THEN 'at least'
        ELSE 'known'
    END AS cost_is,
    coalesce(unpriced_of_service, 0)::BIGINT AS unpriced_tokens_of_service
FROM priced
WHERE skill IS NOT NULL
ORDER BY cost_per_correct_usd DESC NULLS LAST, service, skill
"""

_SOVEREIGNTY_BY_HOUR: Final = """\
-- An interval counts for the hour in which it ended. Shares are of 1.
WITH counted AS (
    SELECT
        date_trunc('hour', time) AS hour,
        service,
        attr(attributes, 'sovereignty.layer') AS layer,
        sum(increase) FILTER (attr(attributes, 'sovereignty.path') = 'sovereign') AS sovereign,
        sum(increase) AS total
    FROM increments
    WHERE metric = 'sovereignty.events' AND attr(attributes, 'sovereignty.layer') IS NOT NULL
    GROUP BY hour, service, layer
), shares AS (
    SELECT *, CASE WHEN total > 0 THEN coalesce(sovereign, 0) / total END AS share
    FROM counted
)
SELECT
    hour,
    service,
    coalesce(sum(sovereign), 0)::BIGINT AS sovereign,
    (sum(total) - coalesce(sum(sovereign), 0))::BIGINT AS model,
    CASE WHEN sum(total) > 0 THEN round(coalesce(sum(sovereign), 0) / sum(total), 4) END AS share,
    round(any_value(share) FILTER (layer = 'perception'), 4) AS perception,
    round(any_value(share) FILTER (layer = 'decision'), 4) AS decision,
    round(any_value(share) FILTER (layer = 'narration'), 4) AS narration
FROM shares
GROUP BY hour, service
ORDER BY hour, service
"""

_SLOWEST_SKILLS: Final = """\
-- p95_at_most_s: the bucket's upper bound below which 95 % of the runs stayed; NULL above the last.
WITH runs AS (
    SELECT
        service,
        attr(attributes, 'gen_ai.skill.name') AS skill,
        attr(attributes, 'error.type') AS error,
        increase, sum_increase, bounds, counts_increase
    FROM increments
    WHERE metric = 'skill.execution.duration'
), buckets AS (
    SELECT service, skill, bounds,
        unnest(counts_increase) AS runs,
        unnest(range(1, len(counts_increase) + 1)) AS bucket
    FROM runs
), summed AS (
    SELECT service, skill, bounds[bucket] AS bound, bucket, sum(runs) AS runs
    FROM buckets
    GROUP BY service, skill, bound, bucket
), reached AS (
    SELECT *,
        sum(runs) OVER (PARTITION BY service, skill ORDER BY bound NULLS LAST) AS upto,
        sum(runs) OVER (PARTITION BY service, skill) AS total
    FROM summed
), percentile AS (
    SELECT service, skill, min(bound) FILTER (upto >= 0.95 * total) AS p95_at_most_s
    FROM reached
    GROUP BY service, skill
), totals AS (
    SELECT service, skill,
        sum(increase)::BIGINT AS runs,
        coalesce(sum(increase) FILTER (error IS NOT NULL), 0)::BIGINT AS errors,
        sum(sum_increase) AS total_s
    FROM runs
    GROUP BY service, skill
)
SELECT service, skill, runs, errors, round(total_s / nullif(runs, 0), 6) AS mean_s, p95_at_most_s,
    round(total_s, 6) AS total_s
FROM totals LEFT JOIN percentile USING (service, skill)
ORDER BY mean_s DESC NULLS LAST, service, skill
"""

_OUTCOME_TREND: Final = """\
-- correct_share is of what could be verified; change is against the skill's day before.
WITH counted AS (
    SELECT
        date_trunc('day', time)::DATE AS day,
        service,
        attr(attributes, 'gen_ai.skill.name') AS skill,
        attr(attributes, 'skill.outcome') AS outcome,
        sum(increase) AS outcomes
    FROM increments
    WHERE metric = 'skill.outcomes'
    GROUP BY day, service, skill, outcome
), daily AS (
    SELECT day, service, skill,
        coalesce(sum(outcomes) FILTER (outcome = 'correct'), 0)::BIGINT AS correct,
        coalesce(sum(outcomes) FILTER (outcome = 'incorrect'), 0)::BIGINT AS incorrect,
        coalesce(sum(outcomes) FILTER (outcome = 'unverified'), 0)::BIGINT AS unverified
    FROM counted
    GROUP BY day, service, skill
    HAVING sum(outcomes) > 0
), shares AS (
    SELECT *, round(correct / nullif(correct + incorrect, 0), 4) AS correct_share
    FROM daily
)
SELECT *,
    round(correct_share - lag(correct_share) OVER (
        PARTITION BY service, skill ORDER BY day
    ), 4) AS change
FROM shares
ORDER BY day, service, skill
"""

QUESTIONS: Final[Mapping[str, Question]] = {
    "cost-per-correct-outcome": Question(
        summary="What a correct outcome of each skill costs.", sql=_COST_PER_CORRECT_OUTCOME
    ),
    "sovereignty-by-hour": Question(
        summary="The share of work done without a model, by hour.", sql=_SOVEREIGNTY_BY_HOUR
    ),
    "slowest-skills": Question(
        summary="How long the runs of each skill take, the slowest first.", sql=_SLOWEST_SKILLS
    ),
    "outcome-trend": Question(
        summary="How many outcomes of each skill were correct, day by day.", sql=_OUTCOME_TREND
    ),
}
"""Every question by the name that `otel-metrics archive query --question` knows it by."""
