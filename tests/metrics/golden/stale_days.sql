WITH "seen" AS (
  SELECT
    "occurred_on",
    COUNT(*) AS "events",
    COALESCE(MAX("batch"), 0) AS "batch"
  FROM "events"
  WHERE
    "occurred_on" <= $until
  GROUP BY
    "occurred_on"
), "stored" AS (
  SELECT
    "occurred_on",
    MAX(CASE WHEN "measure" = 'stamp@95680a1e5810e0c9' THEN "events" END) AS "events",
    MAX(CASE WHEN "measure" = 'stamp@95680a1e5810e0c9' THEN "value_sum" END) AS "batch"
  FROM "unit_days"
  WHERE
    "occurred_on" <= $until
  GROUP BY
    "occurred_on"
)
SELECT
  COALESCE("seen"."occurred_on", "stored"."occurred_on") AS "day",
  COALESCE("seen"."events", 0) AS "events"
FROM "seen"
FULL JOIN "stored"
  ON "stored"."occurred_on" = "seen"."occurred_on"
WHERE
  COALESCE("seen"."events" <> "stored"."events" OR "seen"."batch" <> "stored"."batch", TRUE)
ORDER BY
  "day"
