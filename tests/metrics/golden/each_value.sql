SELECT
  CAST(0 AS INT) AS "slot",
  "d"."unit_key",
  "d"."occurred_on" AS "day",
  "d"."value",
  "d"."text",
  "d"."events"
FROM "unit_values" AS "d"
JOIN "enrolled" AS "u"
  ON "u"."unit_key" = "d"."unit_key"
WHERE
  "d"."unit_type" = 'user'
  AND "d"."measure" = 'm2d0690904ace1f70@production'
  AND "d"."occurred_on" <= $until
  AND (
    "d"."occurred_on" >= "u"."whole_from"
    AND "d"."occurred_on" < "u"."whole_until_604800"
  )
UNION ALL
SELECT
  CAST(0 AS INT) AS "slot",
  "unit_key",
  "day",
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
    "unit_key",
    "day"
  FROM (
    SELECT
      "e"."unit_key" AS "unit_key",
      "e"."occurred_on" AS "day",
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
    JOIN "enrolled" AS "u"
      ON "u"."unit_key" = "e"."unit_key"
    WHERE
      (
        (
          (
            "e"."unit_type" = 'user'
            AND "e"."environment" = 'production'
            AND "e"."event" IN ('load')
            AND "e"."occurred_on" <= $until
            AND (
              (
                "e"."occurred_on" >= "u"."counts_from" AND "e"."occurred_on" < "u"."whole_from"
              )
              OR (
                "e"."occurred_on" >= "u"."whole_until_604800"
                AND "e"."occurred_on" <= "u"."mature_on_604800"
              )
            )
          )
          AND NOT "u"."day_precision"
        )
        AND CASE
          WHEN "e"."day_precision"
          THEN "e"."occurred_on" >= "u"."begins_on" AND "e"."occurred_on" < "u"."begins_on" + 7
          ELSE "e"."occurred_at" >= "u"."begins_at" AND "e"."occurred_at" < "u"."ends_at_604800"
        END
      )
      AND "e"."event" = 'load'
  ) AS "e"
  WHERE
    NOT (
      "number" IS NULL AND "text" IS NULL
    )
  GROUP BY
    "unit_key",
    "day",
    "value",
    "text"
) AS "found"
UNION ALL
SELECT
  CAST(1 AS INT) AS "slot",
  "d"."unit_key",
  "d"."occurred_on" AS "day",
  "d"."value",
  "d"."text",
  "d"."events"
FROM "unit_values" AS "d"
JOIN "enrolled" AS "u"
  ON "u"."unit_key" = "d"."unit_key"
WHERE
  "d"."unit_type" = 'user'
  AND "d"."measure" = 'mcb3b3b3f68e43505@production'
  AND "d"."occurred_on" <= $until
  AND (
    "d"."occurred_on" >= "u"."whole_from"
  )
UNION ALL
SELECT
  CAST(1 AS INT) AS "slot",
  "unit_key",
  "day",
  "value",
  "text",
  "events"
FROM (
  SELECT
    "number" AS "value",
    "text",
    COUNT(*) AS "events",
    "unit_key",
    "day"
  FROM (
    SELECT
      "e"."unit_key" AS "unit_key",
      "e"."occurred_on" AS "day",
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
    JOIN "enrolled" AS "u"
      ON "u"."unit_key" = "e"."unit_key"
    WHERE
      (
        (
          (
            "e"."unit_type" = 'user'
            AND "e"."environment" = 'production'
            AND "e"."event" IN ('view')
            AND "e"."occurred_on" <= $until
            AND (
              "e"."occurred_on" >= "u"."counts_from" AND "e"."occurred_on" < "u"."whole_from"
            )
          )
          AND NOT "u"."day_precision"
        )
        AND CASE
          WHEN "e"."day_precision"
          THEN "e"."occurred_on" >= "u"."begins_on"
          ELSE "e"."occurred_at" >= "u"."begins_at"
        END
      )
      AND "e"."event" = 'view'
  ) AS "e"
  WHERE
    NOT (
      "number" IS NULL AND "text" IS NULL
    )
  GROUP BY
    "unit_key",
    "day",
    "value",
    "text"
) AS "found"
UNION ALL
SELECT
  CAST(2 AS INT) AS "slot",
  "d"."unit_key",
  "d"."occurred_on" AS "day",
  "d"."value",
  "d"."text",
  "d"."events"
FROM "unit_values" AS "d"
JOIN "enrolled" AS "u"
  ON "u"."unit_key" = "d"."unit_key"
WHERE
  "d"."unit_type" = 'user'
  AND "d"."measure" = 'mcb3b3b3f68e43505@production'
  AND "d"."occurred_on" <= $until
  AND (
    "d"."occurred_on" < "u"."counts_from"
    AND "d"."occurred_on" >= "u"."before_from_604800"
  )
UNION ALL
SELECT
  CAST(2 AS INT) AS "slot",
  "unit_key",
  "day",
  "value",
  "text",
  "events"
FROM (
  SELECT
    "number" AS "value",
    "text",
    COUNT(*) AS "events",
    "unit_key",
    "day"
  FROM (
    SELECT
      "e"."unit_key" AS "unit_key",
      "e"."occurred_on" AS "day",
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
    JOIN "enrolled" AS "u"
      ON "u"."unit_key" = "e"."unit_key"
    WHERE
      (
        (
          (
            "e"."unit_type" = 'user'
            AND "e"."environment" = 'production'
            AND "e"."event" IN ('view')
            AND "e"."occurred_on" <= $until
            AND (
              (
                "e"."occurred_on" >= "u"."counts_from" AND "e"."occurred_on" < "u"."whole_from"
              )
              OR (
                "e"."occurred_on" >= "u"."before_on_604800"
                AND "e"."occurred_on" < "u"."before_from_604800"
              )
            )
          )
          AND NOT "u"."day_precision"
        )
        AND CASE
          WHEN "e"."day_precision"
          THEN "e"."occurred_on" < "u"."begins_on" AND "e"."occurred_on" >= "u"."begins_on" - 7
          ELSE "e"."occurred_at" < "u"."begins_at"
          AND "e"."occurred_at" >= "u"."before_at_604800"
        END
      )
      AND "e"."event" = 'view'
  ) AS "e"
  WHERE
    NOT (
      "number" IS NULL AND "text" IS NULL
    )
  GROUP BY
    "unit_key",
    "day",
    "value",
    "text"
) AS "found"
