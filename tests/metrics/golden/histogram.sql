WITH "bins" AS (
  SELECT
    "metric",
    "phase",
    "variant",
    "dimension",
    "level",
    "value",
    CAST(SUM("events") AS BIGINT) AS "events"
  FROM (
    SELECT
      "metric",
      "phase",
      "variant",
      -1 AS "dimension",
      '' AS "level",
      "unit_key",
      "value",
      "events"
    FROM "quantile_values"
    UNION ALL
    SELECT
      "metric",
      "phase",
      "variant",
      0 AS "dimension",
      "segment__0" AS "level",
      "unit_key",
      "value",
      "events"
    FROM "quantile_values"
    UNION ALL
    SELECT
      "metric",
      "phase",
      "variant",
      1 AS "dimension",
      "segment__1" AS "level",
      "unit_key",
      "value",
      "events"
    FROM "quantile_values"
  ) AS "c"
  GROUP BY
    "metric",
    "phase",
    "variant",
    "dimension",
    "level",
    "value"
)
SELECT
  "metric",
  "phase",
  "variant",
  "dimension",
  "level",
  "value",
  "events",
  CAST(SUM("events") OVER (
    PARTITION BY "metric", "phase", "variant", "dimension", "level"
    ORDER BY "value"
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS BIGINT) AS "upto"
FROM "bins"
