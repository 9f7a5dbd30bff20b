SELECT
  (
    'm2d0690904ace1f70@' || "environment"
  ) AS "measure",
  "unit_type",
  "unit_key",
  "occurred_on",
  "value",
  "text",
  "events"
FROM (
  SELECT
    CAST("number" - "number" % CAST(RPAD('1', CAST(GREATEST(LENGTH(CAST(ABS("number") AS TEXT)) - 3, 0) + 1 AS INT), '0') AS DECIMAL(38, 0)) + CASE
      WHEN (
        "number" % CAST(RPAD('1', CAST(GREATEST(LENGTH(CAST(ABS("number") AS TEXT)) - 3, 0) + 1 AS INT), '0') AS DECIMAL(38, 0))
      ) * 2 >= CAST(RPAD('1', CAST(GREATEST(LENGTH(CAST(ABS("number") AS TEXT)) - 3, 0) + 1 AS INT), '0') AS DECIMAL(38, 0))
      THEN CAST(RPAD('1', CAST(GREATEST(LENGTH(CAST(ABS("number") AS TEXT)) - 3, 0) + 1 AS INT), '0') AS DECIMAL(38, 0))
      WHEN (
        "number" % CAST(RPAD('1', CAST(GREATEST(LENGTH(CAST(ABS("number") AS TEXT)) - 3, 0) + 1 AS INT), '0') AS DECIMAL(38, 0))
      ) * 2 <= 0 - CAST(RPAD('1', CAST(GREATEST(LENGTH(CAST(ABS("number") AS TEXT)) - 3, 0) + 1 AS INT), '0') AS DECIMAL(38, 0))
      THEN 0 - CAST(RPAD('1', CAST(GREATEST(LENGTH(CAST(ABS("number") AS TEXT)) - 3, 0) + 1 AS INT), '0') AS DECIMAL(38, 0))
      ELSE 0
    END AS DECIMAL(38, 0)) AS "value",
    "text",
    COUNT(*) AS "events",
    "environment",
    "unit_type",
    "unit_key",
    "occurred_on"
  FROM (
    SELECT
      "e"."environment" AS "environment",
      "e"."unit_type" AS "unit_type",
      "e"."unit_key" AS "unit_key",
      "e"."occurred_on" AS "occurred_on",
      CAST(CASE
        WHEN JSON_TYPE("e"."properties", '/ms') IN ('BIGINT', 'UBIGINT', 'HUGEINT', 'UHUGEINT', 'DECIMAL', 'DOUBLE')
        OR (
          (
            JSON_TYPE("e"."properties", '/ms') = 'VARCHAR'
          )
          AND REGEXP_MATCHES(JSON_EXTRACT_STRING("e"."properties", '/ms'), '^-?[0-9]{1,40}(\.[0-9]{1,40})?$')
        )
        THEN TRY_CAST(JSON_EXTRACT_STRING("e"."properties", '/ms') AS DECIMAL(28, 6))
      END * 1000000 AS DECIMAL(38, 0)) AS "number",
      CAST(NULL AS TEXT) AS "text"
    FROM "events" AS "e"
    WHERE
      (
        "occurred_on" BETWEEN $first AND $last AND ARRAY_CONTAINS($days, "occurred_on")
      )
      AND "e"."event" = 'load'
  ) AS "e"
  WHERE
    NOT (
      "number" IS NULL AND "text" IS NULL
    )
  GROUP BY
    "environment",
    "unit_type",
    "unit_key",
    "occurred_on",
    "value",
    "text"
) AS "found"
UNION ALL
SELECT
  (
    'mcb3b3b3f68e43505@' || "environment"
  ) AS "measure",
  "unit_type",
  "unit_key",
  "occurred_on",
  "value",
  "text",
  "events"
FROM (
  SELECT
    "number" AS "value",
    "text",
    COUNT(*) AS "events",
    "environment",
    "unit_type",
    "unit_key",
    "occurred_on"
  FROM (
    SELECT
      "e"."environment" AS "environment",
      "e"."unit_type" AS "unit_type",
      "e"."unit_key" AS "unit_key",
      "e"."occurred_on" AS "occurred_on",
      CAST(NULL AS DECIMAL(38, 0)) AS "number",
      CASE
        WHEN (
          JSON_TYPE("e"."properties", '/item') = 'VARCHAR'
          OR JSON_TYPE("e"."properties", '/item') IN ('BIGINT', 'UBIGINT', 'HUGEINT', 'UHUGEINT', 'DECIMAL', 'DOUBLE')
          OR JSON_TYPE("e"."properties", '/item') = 'BOOLEAN'
        )
        THEN JSON_EXTRACT_STRING("e"."properties", '/item')
      END AS "text"
    FROM "events" AS "e"
    WHERE
      (
        "occurred_on" BETWEEN $first AND $last AND ARRAY_CONTAINS($days, "occurred_on")
      )
      AND "e"."event" = 'view'
  ) AS "e"
  WHERE
    NOT (
      "number" IS NULL AND "text" IS NULL
    )
  GROUP BY
    "environment",
    "unit_type",
    "unit_key",
    "occurred_on",
    "value",
    "text"
) AS "found"
UNION ALL
SELECT
  'stamp@2b4b04dd930d2122' AS "measure",
  CAST(NULL AS TEXT) AS "unit_type",
  CAST(NULL AS BIGINT) AS "unit_key",
  "occurred_on",
  CAST(COALESCE(MAX("batch"), 0) AS DECIMAL(38, 0)) AS "value",
  CAST(NULL AS TEXT) AS "text",
  COUNT(*) AS "events"
FROM "events"
WHERE
  (
    "occurred_on" BETWEEN $first AND $last AND ARRAY_CONTAINS($days, "occurred_on")
  )
GROUP BY
  "occurred_on"
