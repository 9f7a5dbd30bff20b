WITH "seen" AS MATERIALIZED (
  SELECT
    "x"."unit_key",
    "x"."unit_id",
    "x"."variant",
    "x"."exposed_at",
    "x"."day_precision",
    "x"."ruleset_version",
    "x"."attributes",
    ROW_NUMBER() OVER "first_seen" AS "place",
    FIRST_VALUE("x"."variant") OVER "first_seen" AS "first_variant"
  FROM "exposures" AS "x"
  WHERE
    (
      (
        "x"."experiment" = '対照''s'
        AND "x"."iteration" = 1
        AND "x"."environment" = 'production'
        AND "x"."unit_type" = 'user'
      )
      AND NOT "x"."variant" IS NULL
    )
    AND CASE
      WHEN "x"."day_precision"
      THEN "x"."occurred_on" BETWEEN CAST('2026-01-01' AS DATE) AND CAST('2026-02-06' AS DATE)
      ELSE "x"."exposed_at" >= CAST('2026-01-01 00:00:00+00:00' AS TIMESTAMPTZ)
      AND "x"."exposed_at" < CAST('2026-02-07 00:00:00+00:00' AS TIMESTAMPTZ)
    END
  WINDOW "first_seen" AS (
    PARTITION BY "x"."unit_key"
    ORDER BY "x"."exposed_at", "x"."received_at", "x"."exposure_id", "x"."variant"
  )
), "switched" AS (
  SELECT
    "unit_key",
    MIN("exposed_at") AS "second_variant_at"
  FROM "seen"
  WHERE
    "variant" <> "first_variant"
  GROUP BY
    "unit_key"
)
SELECT
  '対照''s' AS "experiment",
  CAST(1 AS INT) AS "iteration",
  'user' AS "unit_type",
  "s"."unit_key",
  "s"."unit_id",
  "s"."variant",
  CAST(1 AS INT) AS "phase",
  "s"."exposed_at",
  COALESCE("s"."day_precision", FALSE) AS "day_precision",
  "w"."second_variant_at",
  "s"."ruleset_version",
  "s"."attributes"
FROM "seen" AS "s"
LEFT JOIN "switched" AS "w"
  ON "w"."unit_key" = "s"."unit_key"
WHERE
  "s"."place" = 1
