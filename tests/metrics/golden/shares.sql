WITH "asked" AS (
  SELECT
    *
  FROM (VALUES
    (0, 1, 'A', -1, '', 1500000)) AS "rows"("metric", "phase", "variant", "dimension", "level", "threshold")
), "per_unit" AS (
  SELECT
    "a"."metric",
    "a"."phase",
    "a"."variant",
    "a"."dimension",
    "a"."level",
    SUM(CASE WHEN "c"."value" <= "a"."threshold" THEN "c"."events" ELSE 0 END) AS "b",
    SUM("c"."events") AS "v"
  FROM "asked" AS "a"
  JOIN (
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
    ON (
      "a"."metric" = "c"."metric"
      AND "a"."phase" = "c"."phase"
      AND "a"."variant" = "c"."variant"
      AND "a"."dimension" = "c"."dimension"
      AND "a"."level" = "c"."level"
    )
  GROUP BY
    "a"."metric",
    "a"."phase",
    "a"."variant",
    "a"."dimension",
    "a"."level",
    "c"."unit_key"
)
SELECT
  "metric",
  "phase",
  "variant",
  "dimension",
  "level",
  COUNT(*),
  SUM("b"),
  SUM("v"),
  SUM("b" * "b"),
  SUM("b" * "v"),
  SUM("v" * "v")
FROM "per_unit"
GROUP BY
  "metric",
  "phase",
  "variant",
  "dimension",
  "level"
