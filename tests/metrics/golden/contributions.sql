SELECT
  "d"."unit_key",
  "d"."occurred_on" AS "day",
  CAST(SUM("d"."events") FILTER(WHERE
    (
      "d"."measure" = 'm3398e952b81b70df@production'
      AND (
        "d"."occurred_on" >= "u"."counts_from"
        AND "d"."occurred_on" < "u"."ends_on_604800"
      )
    )) AS BIGINT) AS "events__0",
  CAST(SUM("d"."events") FILTER(WHERE
    (
      "d"."measure" = 'mfcc6f1c9c8f4d678@production'
      AND (
        "d"."occurred_on" >= "u"."counts_from"
        AND "d"."occurred_on" < "u"."ends_on_1209600"
      )
    )) AS BIGINT) AS "events__1",
  CAST(SUM("d"."value_sum") FILTER(WHERE
    (
      "d"."measure" = 'mfcc6f1c9c8f4d678@production'
      AND (
        "d"."occurred_on" >= "u"."counts_from"
        AND "d"."occurred_on" < "u"."ends_on_1209600"
      )
    )) AS DECIMAL(38, 6)) AS "value__1",
  CAST(SUM("d"."events") FILTER(WHERE
    (
      "d"."measure" = 'mfcc6f1c9c8f4d678@production'
      AND (
        "d"."occurred_on" < "u"."exposed_on"
        AND "d"."occurred_on" >= "u"."before_from_1209600"
      )
    )) AS BIGINT) AS "events__2",
  CAST(SUM("d"."value_sum") FILTER(WHERE
    (
      "d"."measure" = 'mfcc6f1c9c8f4d678@production'
      AND (
        "d"."occurred_on" < "u"."exposed_on"
        AND "d"."occurred_on" >= "u"."before_from_1209600"
      )
    )) AS DECIMAL(38, 6)) AS "value__2",
  CAST(SUM("d"."events") FILTER(WHERE
    (
      "d"."measure" = 'mc583e449a9a73ab0@production'
      AND (
        "d"."occurred_on" >= "u"."counts_from"
      )
    )) AS BIGINT) AS "events__3",
  CAST(SUM("d"."events") FILTER(WHERE
    (
      "d"."measure" = 'm334531ca794a11d6@production'
      AND (
        "d"."occurred_on" >= "u"."counts_from"
      )
    )) AS BIGINT) AS "events__4"
FROM "unit_days" AS "d"
JOIN "enrolled" AS "u"
  ON "u"."unit_key" = "d"."unit_key"
WHERE
  "d"."unit_type" = 'user'
  AND "d"."measure" IN (
    'm334531ca794a11d6@production',
    'm3398e952b81b70df@production',
    'mc583e449a9a73ab0@production',
    'mfcc6f1c9c8f4d678@production'
  )
  AND "d"."occurred_on" <= $until
GROUP BY
  "d"."unit_key",
  "d"."occurred_on"
UNION ALL
SELECT
  "e"."unit_key",
  "e"."occurred_on" AS "day",
  COUNT(*) FILTER(WHERE
    (
      (
        "e"."event" = 'purchase'
        AND (
          COALESCE(
            JSON_TYPE("e"."properties", '/country') = 'VARCHAR'
            AND JSON_EXTRACT_STRING("e"."properties", '/country') IN ('JP', '日本'),
            FALSE
          )
          AND NOT (
            COALESCE(
              CASE
                WHEN (
                  JSON_TYPE("e"."properties", '/version') = 'VARCHAR'
                )
                AND REGEXP_MATCHES(
                  JSON_EXTRACT_STRING("e"."properties", '/version'),
                  '^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})(-((0|[1-9][0-9]{0,8}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9][0-9]{0,8}|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*))?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$'
                )
                THEN LPAD(
                  REGEXP_EXTRACT(
                    JSON_EXTRACT_STRING("e"."properties", '/version'),
                    '^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})(-((0|[1-9][0-9]{0,8}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9][0-9]{0,8}|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*))?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$',
                    1
                  ),
                  9,
                  '0'
                ) || LPAD(
                  REGEXP_EXTRACT(
                    JSON_EXTRACT_STRING("e"."properties", '/version'),
                    '^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})(-((0|[1-9][0-9]{0,8}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9][0-9]{0,8}|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*))?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$',
                    2
                  ),
                  9,
                  '0'
                ) || LPAD(
                  REGEXP_EXTRACT(
                    JSON_EXTRACT_STRING("e"."properties", '/version'),
                    '^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})(-((0|[1-9][0-9]{0,8}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9][0-9]{0,8}|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*))?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$',
                    3
                  ),
                  9,
                  '0'
                ) || CASE
                  WHEN REGEXP_EXTRACT(
                    JSON_EXTRACT_STRING("e"."properties", '/version'),
                    '^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})(-((0|[1-9][0-9]{0,8}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9][0-9]{0,8}|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*))?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$',
                    5
                  ) = ''
                  THEN '~'
                  ELSE ' ' || ARRAY_TO_STRING(
                    LIST_TRANSFORM(
                      STR_SPLIT(
                        REGEXP_EXTRACT(
                          JSON_EXTRACT_STRING("e"."properties", '/version'),
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
                JSON_TYPE("e"."properties", '/at') = 'VARCHAR'
              )
              AND REGEXP_MATCHES(
                JSON_EXTRACT_STRING("e"."properties", '/at'),
                '^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])?)?$'
              )
              AND NOT STARTS_WITH(JSON_EXTRACT_STRING("e"."properties", '/at'), '0000')
              THEN EPOCH_US(TRY_CAST(JSON_EXTRACT_STRING("e"."properties", '/at') AS TIMESTAMPTZ))
            END >= 1769817600000000,
            FALSE
          )
          AND COALESCE(
            JSON_TYPE("e"."properties", '/plan') = 'VARCHAR'
            AND REGEXP_MATCHES(JSON_EXTRACT_STRING("e"."properties", '/plan'), '^pro'),
            FALSE
          )
        )
      )
      AND "e"."occurred_on" IN ("u"."exposed_on", "u"."ends_on_604800")
      AND CASE
        WHEN "u"."day_precision" OR "e"."day_precision"
        THEN "e"."occurred_on" >= "u"."exposed_on"
        AND "e"."occurred_on" < "u"."exposed_on" + 7
        ELSE "e"."occurred_at" >= "u"."exposed_at"
        AND "e"."occurred_at" < "u"."ends_at_604800"
      END
    )) AS "events__0",
  COUNT(*) FILTER(WHERE
    (
      (
        "e"."event" = 'purchase' AND COALESCE("e"."currency" = 'JPY', TRUE)
      )
      AND "e"."occurred_on" IN ("u"."exposed_on", "u"."ends_on_1209600")
      AND CASE
        WHEN "u"."day_precision" OR "e"."day_precision"
        THEN "e"."occurred_on" >= "u"."exposed_on"
        AND "e"."occurred_on" < "u"."exposed_on" + 14
        ELSE "e"."occurred_at" >= "u"."exposed_at"
        AND "e"."occurred_at" < "u"."ends_at_1209600"
      END
    )) AS "events__1",
  CAST(SUM(
    CASE
      WHEN JSON_TYPE("e"."properties", '/amount') IN ('BIGINT', 'UBIGINT', 'HUGEINT', 'UHUGEINT', 'DECIMAL', 'DOUBLE')
      OR (
        (
          JSON_TYPE("e"."properties", '/amount') = 'VARCHAR'
        )
        AND REGEXP_MATCHES(
          JSON_EXTRACT_STRING("e"."properties", '/amount'),
          '^-?[0-9]{1,40}(\.[0-9]{1,40})?$'
        )
      )
      THEN TRY_CAST(JSON_EXTRACT_STRING("e"."properties", '/amount') AS DECIMAL(28, 6))
    END
  ) FILTER(WHERE
    (
      (
        "e"."event" = 'purchase' AND COALESCE("e"."currency" = 'JPY', TRUE)
      )
      AND "e"."occurred_on" IN ("u"."exposed_on", "u"."ends_on_1209600")
      AND CASE
        WHEN "u"."day_precision" OR "e"."day_precision"
        THEN "e"."occurred_on" >= "u"."exposed_on"
        AND "e"."occurred_on" < "u"."exposed_on" + 14
        ELSE "e"."occurred_at" >= "u"."exposed_at"
        AND "e"."occurred_at" < "u"."ends_at_1209600"
      END
    )) AS DECIMAL(38, 6)) AS "value__1",
  COUNT(*) FILTER(WHERE
    (
      (
        "e"."event" = 'purchase' AND COALESCE("e"."currency" = 'JPY', TRUE)
      )
      AND "e"."occurred_on" IN ("u"."exposed_on", "u"."before_on_1209600")
      AND CASE
        WHEN "u"."day_precision" OR "e"."day_precision"
        THEN "e"."occurred_on" < "u"."exposed_on"
        AND "e"."occurred_on" >= "u"."exposed_on" - 14
        ELSE "e"."occurred_at" < "u"."exposed_at"
        AND "e"."occurred_at" >= "u"."before_at_1209600"
      END
    )) AS "events__2",
  CAST(SUM(
    CASE
      WHEN JSON_TYPE("e"."properties", '/amount') IN ('BIGINT', 'UBIGINT', 'HUGEINT', 'UHUGEINT', 'DECIMAL', 'DOUBLE')
      OR (
        (
          JSON_TYPE("e"."properties", '/amount') = 'VARCHAR'
        )
        AND REGEXP_MATCHES(
          JSON_EXTRACT_STRING("e"."properties", '/amount'),
          '^-?[0-9]{1,40}(\.[0-9]{1,40})?$'
        )
      )
      THEN TRY_CAST(JSON_EXTRACT_STRING("e"."properties", '/amount') AS DECIMAL(28, 6))
    END
  ) FILTER(WHERE
    (
      (
        "e"."event" = 'purchase' AND COALESCE("e"."currency" = 'JPY', TRUE)
      )
      AND "e"."occurred_on" IN ("u"."exposed_on", "u"."before_on_1209600")
      AND CASE
        WHEN "u"."day_precision" OR "e"."day_precision"
        THEN "e"."occurred_on" < "u"."exposed_on"
        AND "e"."occurred_on" >= "u"."exposed_on" - 14
        ELSE "e"."occurred_at" < "u"."exposed_at"
        AND "e"."occurred_at" >= "u"."before_at_1209600"
      END
    )) AS DECIMAL(38, 6)) AS "value__2",
  COUNT(*) FILTER(WHERE
    (
      "e"."event" = 'view'
      AND "e"."occurred_on" IN ("u"."exposed_on")
      AND CASE
        WHEN "u"."day_precision" OR "e"."day_precision"
        THEN "e"."occurred_on" >= "u"."exposed_on"
        ELSE "e"."occurred_at" >= "u"."exposed_at"
      END
    )) AS "events__3",
  COUNT(*) FILTER(WHERE
    (
      "e"."event" = 'click'
      AND "e"."occurred_on" IN ("u"."exposed_on")
      AND CASE
        WHEN "u"."day_precision" OR "e"."day_precision"
        THEN "e"."occurred_on" >= "u"."exposed_on"
        ELSE "e"."occurred_at" >= "u"."exposed_at"
      END
    )) AS "events__4"
FROM "events" AS "e"
JOIN "enrolled" AS "u"
  ON "u"."unit_key" = "e"."unit_key"
WHERE
  "e"."unit_type" = 'user'
  AND "e"."environment" = 'production'
  AND "e"."event" IN ('click', 'purchase', 'view')
  AND "e"."occurred_on" <= $until
  AND NOT "u"."day_precision"
  AND "e"."occurred_on" IN (
    "u"."exposed_on",
    "u"."ends_on_604800",
    "u"."ends_on_1209600",
    "u"."before_on_1209600"
  )
GROUP BY
  "e"."unit_key",
  "e"."occurred_on"
