SELECT
  'unit_days' AS "origin",
  "occurred_on" AS "day",
  SUM("events") AS "n",
  CAST(MAX("value_sum") AS DECIMAL(38, 0)) AS "state",
  MIN("measure") AS "mark"
FROM "unit_days"
WHERE
  STARTS_WITH("measure", 'stamp@')
GROUP BY
  "occurred_on"
UNION ALL
SELECT
  'first_exposures' AS "origin",
  CAST("f"."exposed_at" AS DATE) AS "day",
  COUNT(*) AS "n",
  SUM(
    CAST(HASH(
      "f"."unit_key",
      "f"."unit_id",
      "f"."variant",
      "f"."phase",
      "f"."exposed_at",
      "f"."day_precision",
      "f"."attributes",
      "f"."excluded_by"
    ) AS DECIMAL(38, 0))
  ) AS "state",
  CAST(NULL AS TEXT) AS "mark"
FROM "first_exposures" AS "f"
WHERE
  "f"."experiment" = '対照''s'
  AND "f"."iteration" = 1
  AND NOT "f"."exposed_at" IS NULL
GROUP BY
  "day"
UNION ALL
SELECT
  'second_variants' AS "origin",
  CAST("f"."second_variant_at" AS DATE) AS "day",
  COUNT(*) AS "n",
  SUM(CAST(HASH("f"."unit_key") AS DECIMAL(38, 0))) AS "state",
  CAST(NULL AS TEXT) AS "mark"
FROM "first_exposures" AS "f"
WHERE
  "f"."experiment" = '対照''s'
  AND "f"."iteration" = 1
  AND NOT "f"."second_variant_at" IS NULL
GROUP BY
  "day"
UNION ALL
SELECT
  'unit_attributes' AS "origin",
  CAST(NULL AS DATE) AS "day",
  COUNT(*) AS "n",
  CAST(MAX("batch") AS DECIMAL(38, 0)) AS "state",
  CAST(NULL AS TEXT) AS "mark"
FROM "unit_attributes"
WHERE
  "unit_type" = 'user' AND "attribute" IN ('国')
