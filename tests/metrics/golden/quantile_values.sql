WITH "frequent_1" AS (
  SELECT
    "segment__1" AS "value"
  FROM "unit_metrics_now"
  GROUP BY
    "segment__1"
  ORDER BY
    COUNT(*) DESC,
    "segment__1"
  LIMIT 50
)
SELECT
  0 AS "metric",
  "u"."phase",
  "u"."variant",
  "v"."unit_key",
  "v"."value",
  SUM("v"."events") AS "events",
  "u"."segment__0",
  "u"."segment__1"
FROM "each_value" AS "v"
JOIN (
  SELECT
    "unit_key",
    "phase",
    "variant",
    "p90__mature" AS "mature",
    "segment__0" AS "segment__0",
    CASE
      WHEN "segment__1" IN (
        SELECT
          "value"
        FROM "frequent_1"
      )
      THEN "segment__1"
      ELSE '(other)'
    END AS "segment__1"
  FROM "unit_metrics_now"
) AS "u"
  ON "u"."unit_key" = "v"."unit_key"
WHERE
  "v"."slot" = 0 AND "v"."day" <= $as_of AND "u"."mature"
GROUP BY
  "u"."phase",
  "u"."variant",
  "v"."unit_key",
  "v"."value",
  "u"."segment__0",
  "u"."segment__1"
