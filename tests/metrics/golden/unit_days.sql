WITH "wide" AS MATERIALIZED (
  SELECT
    "environment",
    "unit_type",
    "unit_key",
    "occurred_on",
    COUNT(*) FILTER(WHERE
      (
        "event" = 'purchase'
        AND (
          COALESCE(
            JSON_TYPE("properties", '/country') = 'VARCHAR'
            AND JSON_EXTRACT_STRING("properties", '/country') IN ('JP', '日本'),
            FALSE
          )
          AND NOT (
            COALESCE(
              CASE
                WHEN (
                  JSON_TYPE("properties", '/version') = 'VARCHAR'
                )
                AND REGEXP_MATCHES(
                  JSON_EXTRACT_STRING("properties", '/version'),
                  '^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})(-((0|[1-9][0-9]{0,8}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9][0-9]{0,8}|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*))?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$'
                )
                THEN LPAD(
                  REGEXP_EXTRACT(
                    JSON_EXTRACT_STRING("properties", '/version'),
                    '^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})(-((0|[1-9][0-9]{0,8}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9][0-9]{0,8}|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*))?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$',
                    1
                  ),
                  9,
                  '0'
                ) || LPAD(
                  REGEXP_EXTRACT(
                    JSON_EXTRACT_STRING("properties", '/version'),
                    '^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})(-((0|[1-9][0-9]{0,8}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9][0-9]{0,8}|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*))?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$',
                    2
                  ),
                  9,
                  '0'
                ) || LPAD(
                  REGEXP_EXTRACT(
                    JSON_EXTRACT_STRING("properties", '/version'),
                    '^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})(-((0|[1-9][0-9]{0,8}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9][0-9]{0,8}|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*))?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$',
                    3
                  ),
                  9,
                  '0'
                ) || CASE
                  WHEN REGEXP_EXTRACT(
                    JSON_EXTRACT_STRING("properties", '/version'),
                    '^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})(-((0|[1-9][0-9]{0,8}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9][0-9]{0,8}|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*))?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$',
                    5
                  ) = ''
                  THEN '~'
                  ELSE ' ' || ARRAY_TO_STRING(
                    LIST_TRANSFORM(
                      STR_SPLIT(
                        REGEXP_EXTRACT(
                          JSON_EXTRACT_STRING("properties", '/version'),
                          '^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})(-((0|[1-9][0-9]{0,8}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9][0-9]{0,8}|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*))?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$',
                          5
                        ),
                        '.'
                      ),
                      LAMBDA "part" : CASE
                        WHEN REGEXP_MATCHES(part, '^[0-9]+$')
                        THEN '0' || LPAD(part, 9, '0')
                        ELSE '1' || "part"
                      END
                    ),
                    '!'
                  )
                END
              END < '000000002000000000000000000 1rc!0000000001',
              FALSE
            )
          )
          AND COALESCE(
            CASE
              WHEN (
                JSON_TYPE("properties", '/at') = 'VARCHAR'
              )
              AND REGEXP_MATCHES(
                JSON_EXTRACT_STRING("properties", '/at'),
                '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])?)?$'
              )
              AND NOT STARTS_WITH(JSON_EXTRACT_STRING("properties", '/at'), '0000')
              THEN EPOCH_US(TRY_CAST(JSON_EXTRACT_STRING("properties", '/at') AS TIMESTAMPTZ))
            END >= 1769817600000000,
            FALSE
          )
          AND COALESCE(
            JSON_TYPE("properties", '/plan') = 'VARCHAR'
            AND REGEXP_MATCHES(JSON_EXTRACT_STRING("properties", '/plan'), '^pro'),
            FALSE
          )
        )
      )) AS "events_0",
    COUNT(*) FILTER(WHERE
      (
        "event" = 'click'
      )) AS "events_1",
    COUNT(*) FILTER(WHERE
      (
        "event" = 'view'
      )) AS "events_2",
    COUNT(*) FILTER(WHERE
      (
        "event" = 'purchase' AND COALESCE("currency" = 'JPY', TRUE)
      )) AS "events_3",
    SUM("value") FILTER(WHERE
      (
        "event" = 'purchase' AND COALESCE("currency" = 'JPY', TRUE)
      )) AS "value_3",
    COUNT(*) FILTER(WHERE
      (
        "event" = 'purchase'
      )) AS "events_4",
    COUNT(*) FILTER(WHERE
      (
        "event" = 'purchase' AND COALESCE("currency" = 'JPY', TRUE)
      )) AS "events_5",
    SUM(
      CASE
        WHEN JSON_TYPE("properties", '/amount') IN ('BIGINT', 'UBIGINT', 'HUGEINT', 'UHUGEINT', 'DECIMAL', 'DOUBLE')
        OR (
          (
            JSON_TYPE("properties", '/amount') = 'VARCHAR'
          )
          AND REGEXP_MATCHES(JSON_EXTRACT_STRING("properties", '/amount'), '^-?[0-9]{1,40}(\.[0-9]{1,40})?$')
        )
        THEN TRY_CAST(JSON_EXTRACT_STRING("properties", '/amount') AS DECIMAL(28, 6))
      END
    ) FILTER(WHERE
      (
        "event" = 'purchase' AND COALESCE("currency" = 'JPY', TRUE)
      )) AS "value_5",
    COUNT(*) FILTER(WHERE
      (
        "event" = 'purchase'
      )) AS "events_6",
    MIN(CASE WHEN "day_precision" THEN NULL ELSE "occurred_at" END) FILTER(WHERE
      (
        "event" = 'purchase'
      )) AS "first_6",
    MAX(CASE WHEN "day_precision" THEN 1 ELSE 0 END) FILTER(WHERE
      (
        "event" = 'purchase'
      )) AS "dated_6"
  FROM "events"
  WHERE
    (
      "occurred_on" BETWEEN $first AND $last AND ARRAY_CONTAINS($days, "occurred_on")
    )
    AND "event" IN ('click', 'purchase', 'view')
  GROUP BY
    "environment",
    "unit_type",
    "unit_key",
    "occurred_on"
)
SELECT
  (
    'm11ae2a9199676757@' || "environment"
  ) AS "measure",
  "unit_type",
  "unit_key",
  "occurred_on",
  CAST("events_0" AS BIGINT) AS "events",
  CAST(NULL AS DECIMAL(38, 6)) AS "value_sum",
  CAST(NULL AS TIMESTAMPTZ) AS "first_at",
  CAST(NULL AS BOOLEAN) AS "is_dated"
FROM "wide"
WHERE
  "events_0" > 0
UNION ALL
SELECT
  (
    'm22d8a6907aceab89@' || "environment"
  ) AS "measure",
  "unit_type",
  "unit_key",
  "occurred_on",
  CAST("events_1" AS BIGINT) AS "events",
  CAST(NULL AS DECIMAL(38, 6)) AS "value_sum",
  CAST(NULL AS TIMESTAMPTZ) AS "first_at",
  CAST(NULL AS BOOLEAN) AS "is_dated"
FROM "wide"
WHERE
  "events_1" > 0
UNION ALL
SELECT
  (
    'm30bf96ebb98b8da4@' || "environment"
  ) AS "measure",
  "unit_type",
  "unit_key",
  "occurred_on",
  CAST("events_2" AS BIGINT) AS "events",
  CAST(NULL AS DECIMAL(38, 6)) AS "value_sum",
  CAST(NULL AS TIMESTAMPTZ) AS "first_at",
  CAST(NULL AS BOOLEAN) AS "is_dated"
FROM "wide"
WHERE
  "events_2" > 0
UNION ALL
SELECT
  (
    'm566adcef04e6215a@' || "environment"
  ) AS "measure",
  "unit_type",
  "unit_key",
  "occurred_on",
  CAST("events_3" AS BIGINT) AS "events",
  CAST(COALESCE("value_3", 0) AS DECIMAL(38, 6)) AS "value_sum",
  CAST(NULL AS TIMESTAMPTZ) AS "first_at",
  CAST(NULL AS BOOLEAN) AS "is_dated"
FROM "wide"
WHERE
  "events_3" > 0
UNION ALL
SELECT
  (
    'm65ebc7205b947ff4@' || "environment"
  ) AS "measure",
  "unit_type",
  "unit_key",
  "occurred_on",
  CAST("events_4" AS BIGINT) AS "events",
  CAST(NULL AS DECIMAL(38, 6)) AS "value_sum",
  CAST(NULL AS TIMESTAMPTZ) AS "first_at",
  CAST(NULL AS BOOLEAN) AS "is_dated"
FROM "wide"
WHERE
  "events_4" > 0
UNION ALL
SELECT
  (
    'm86ee8e3997f2beb9@' || "environment"
  ) AS "measure",
  "unit_type",
  "unit_key",
  "occurred_on",
  CAST("events_5" AS BIGINT) AS "events",
  CAST(COALESCE("value_5", 0) AS DECIMAL(38, 6)) AS "value_sum",
  CAST(NULL AS TIMESTAMPTZ) AS "first_at",
  CAST(NULL AS BOOLEAN) AS "is_dated"
FROM "wide"
WHERE
  "events_5" > 0
UNION ALL
SELECT
  (
    'mbfb40390867aa8bc@' || "environment"
  ) AS "measure",
  "unit_type",
  "unit_key",
  "occurred_on",
  CAST("events_6" AS BIGINT) AS "events",
  CAST(NULL AS DECIMAL(38, 6)) AS "value_sum",
  "first_6" AS "first_at",
  "dated_6" = 1 AS "is_dated"
FROM "wide"
WHERE
  "events_6" > 0
UNION ALL
SELECT
  'stamp@95680a1e5810e0c9' AS "measure",
  CAST(NULL AS TEXT) AS "unit_type",
  CAST(NULL AS BIGINT) AS "unit_key",
  "occurred_on",
  COUNT(*) AS "events",
  CAST(COALESCE(MAX("batch"), 0) AS DECIMAL(38, 6)) AS "value_sum",
  CAST(NULL AS TIMESTAMPTZ) AS "first_at",
  CAST(NULL AS BOOLEAN) AS "is_dated"
FROM "events"
WHERE
  (
    "occurred_on" BETWEEN $first AND $last AND ARRAY_CONTAINS($days, "occurred_on")
  )
GROUP BY
  "occurred_on"
