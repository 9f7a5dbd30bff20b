SELECT
  "d"."unit_key",
  MIN("d"."occurred_on") AS "day",
  CAST(SUM("d"."events") FILTER(WHERE
    (
      "d"."measure" = 'm11ae2a9199676757@production'
      AND (
        "d"."occurred_on" >= "u"."whole_from"
        AND "d"."occurred_on" < "u"."whole_until_604800"
      )
    )) AS BIGINT) AS "events__0",
  CAST(SUM("d"."events") FILTER(WHERE
    (
      "d"."measure" = 'm86ee8e3997f2beb9@production'
      AND (
        "d"."occurred_on" >= "u"."whole_from"
        AND "d"."occurred_on" < "u"."whole_until_1209600"
      )
    )) AS BIGINT) AS "events__1",
  CAST(SUM("d"."value_sum") FILTER(WHERE
    (
      "d"."measure" = 'm86ee8e3997f2beb9@production'
      AND (
        "d"."occurred_on" >= "u"."whole_from"
        AND "d"."occurred_on" < "u"."whole_until_1209600"
      )
    )) AS DECIMAL(38, 6)) AS "value__1",
  CAST(SUM("d"."events") FILTER(WHERE
    (
      "d"."measure" = 'm86ee8e3997f2beb9@production'
      AND (
        "d"."occurred_on" < "u"."counts_from"
        AND "d"."occurred_on" >= "u"."before_from_1209600"
      )
    )) AS BIGINT) AS "events__2",
  CAST(SUM("d"."value_sum") FILTER(WHERE
    (
      "d"."measure" = 'm86ee8e3997f2beb9@production'
      AND (
        "d"."occurred_on" < "u"."counts_from"
        AND "d"."occurred_on" >= "u"."before_from_1209600"
      )
    )) AS DECIMAL(38, 6)) AS "value__2",
  CAST(SUM("d"."events") FILTER(WHERE
    (
      "d"."measure" = 'm30bf96ebb98b8da4@production'
      AND (
        "d"."occurred_on" >= "u"."whole_from"
      )
    )) AS BIGINT) AS "events__3",
  COUNT(*) FILTER(WHERE
    (
      "d"."measure" = 'm30bf96ebb98b8da4@production'
      AND (
        "d"."occurred_on" >= "u"."whole_from"
      )
    )) AS "days__3",
  CAST(SUM("d"."events") FILTER(WHERE
    (
      "d"."measure" = 'm22d8a6907aceab89@production'
      AND (
        "d"."occurred_on" >= "u"."whole_from"
      )
    )) AS BIGINT) AS "events__4",
  CAST(SUM("d"."events") FILTER(WHERE
    (
      "d"."measure" = 'm30bf96ebb98b8da4@production'
      AND (
        "d"."occurred_on" >= "u"."starts_whole_604800"
        AND "d"."occurred_on" < "u"."whole_until_1209600"
      )
    )) AS BIGINT) AS "events__5",
  CAST(SUM("d"."events") FILTER(WHERE
    (
      "d"."measure" = 'm65ebc7205b947ff4@production'
      AND (
        "d"."occurred_on" >= "u"."whole_from"
        AND "d"."occurred_on" < "u"."whole_until_1209600"
      )
    )) AS BIGINT) AS "events__6",
  CAST(SUM("d"."events") FILTER(WHERE
    (
      "d"."measure" = 'm65ebc7205b947ff4@production'
      AND (
        "d"."occurred_on" < "u"."counts_from"
        AND "d"."occurred_on" >= "u"."before_from_7776000"
      )
    )) AS BIGINT) AS "events__7",
  CAST(SUM("d"."events") FILTER(WHERE
    (
      "d"."measure" = 'mbfb40390867aa8bc@production'
      AND (
        "d"."occurred_on" >= "u"."whole_from"
        AND "d"."occurred_on" < "u"."whole_until_1209600"
      )
    )) AS BIGINT) AS "events__8",
  CAST(MIN(
    LEAST(
      CASE
        WHEN "d"."is_dated"
        THEN EPOCH_US(CAST("d"."occurred_on" AS TIMESTAMPTZ)) - EPOCH_US(CAST("u"."begins_on" AS TIMESTAMPTZ))
      END,
      CASE
        WHEN "u"."day_precision"
        THEN EPOCH_US(CAST(CAST("d"."first_at" AS DATE) AS TIMESTAMPTZ)) - EPOCH_US(CAST("u"."begins_on" AS TIMESTAMPTZ))
        ELSE EPOCH_US(CAST("d"."first_at" AS TIMESTAMPTZ)) - EPOCH_US(CAST("u"."begins_at" AS TIMESTAMPTZ))
      END
    )
  ) FILTER(WHERE
    (
      "d"."measure" = 'mbfb40390867aa8bc@production'
      AND (
        "d"."occurred_on" >= "u"."whole_from"
        AND "d"."occurred_on" < "u"."whole_until_1209600"
      )
    )) AS BIGINT) AS "first__8",
  CAST(SUM("d"."events") FILTER(WHERE
    (
      "d"."measure" = 'm566adcef04e6215a@production'
      AND (
        "d"."occurred_on" >= "u"."whole_from"
        AND "d"."occurred_on" < "u"."whole_until_604800"
      )
    )) AS BIGINT) AS "events__9",
  CAST(SUM("d"."value_sum") FILTER(WHERE
    (
      "d"."measure" = 'm566adcef04e6215a@production'
      AND (
        "d"."occurred_on" >= "u"."whole_from"
        AND "d"."occurred_on" < "u"."whole_until_604800"
      )
    )) AS DECIMAL(38, 6)) AS "value__9",
  CAST(SUM("d"."events") FILTER(WHERE
    (
      "d"."measure" = 'm30bf96ebb98b8da4@production'
      AND (
        "d"."occurred_on" >= "u"."whole_from"
        AND "d"."occurred_on" < "u"."whole_until_1209600"
      )
    )) AS BIGINT) AS "events__10"
FROM "unit_days" AS "d"
JOIN "enrolled" AS "u"
  ON "u"."unit_key" = "d"."unit_key"
WHERE
  "d"."unit_type" = 'user'
  AND "d"."measure" IN (
    'm11ae2a9199676757@production',
    'm22d8a6907aceab89@production',
    'm30bf96ebb98b8da4@production',
    'm566adcef04e6215a@production',
    'm65ebc7205b947ff4@production',
    'm86ee8e3997f2beb9@production',
    'mbfb40390867aa8bc@production'
  )
  AND "d"."occurred_on" <= $until
GROUP BY
  "d"."unit_key"
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
      AND (
        (
          "e"."occurred_on" >= "u"."counts_from" AND "e"."occurred_on" < "u"."whole_from"
        )
        OR (
          "e"."occurred_on" >= "u"."whole_until_604800"
          AND "e"."occurred_on" <= "u"."mature_on_604800"
        )
      )
      AND CASE
        WHEN "e"."day_precision"
        THEN "e"."occurred_on" >= "u"."begins_on" AND "e"."occurred_on" < "u"."begins_on" + 7
        ELSE "e"."occurred_at" >= "u"."begins_at" AND "e"."occurred_at" < "u"."ends_at_604800"
      END
    )) AS "events__0",
  COUNT(*) FILTER(WHERE
    (
      (
        "e"."event" = 'purchase' AND COALESCE("e"."currency" = 'JPY', TRUE)
      )
      AND (
        (
          "e"."occurred_on" >= "u"."counts_from" AND "e"."occurred_on" < "u"."whole_from"
        )
        OR (
          "e"."occurred_on" >= "u"."whole_until_1209600"
          AND "e"."occurred_on" <= "u"."mature_on_1209600"
        )
      )
      AND CASE
        WHEN "e"."day_precision"
        THEN "e"."occurred_on" >= "u"."begins_on" AND "e"."occurred_on" < "u"."begins_on" + 14
        ELSE "e"."occurred_at" >= "u"."begins_at"
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
      AND (
        (
          "e"."occurred_on" >= "u"."counts_from" AND "e"."occurred_on" < "u"."whole_from"
        )
        OR (
          "e"."occurred_on" >= "u"."whole_until_1209600"
          AND "e"."occurred_on" <= "u"."mature_on_1209600"
        )
      )
      AND CASE
        WHEN "e"."day_precision"
        THEN "e"."occurred_on" >= "u"."begins_on" AND "e"."occurred_on" < "u"."begins_on" + 14
        ELSE "e"."occurred_at" >= "u"."begins_at"
        AND "e"."occurred_at" < "u"."ends_at_1209600"
      END
    )) AS DECIMAL(38, 6)) AS "value__1",
  COUNT(*) FILTER(WHERE
    (
      (
        "e"."event" = 'purchase' AND COALESCE("e"."currency" = 'JPY', TRUE)
      )
      AND (
        (
          "e"."occurred_on" >= "u"."counts_from" AND "e"."occurred_on" < "u"."whole_from"
        )
        OR (
          "e"."occurred_on" >= "u"."before_on_1209600"
          AND "e"."occurred_on" < "u"."before_from_1209600"
        )
      )
      AND CASE
        WHEN "e"."day_precision"
        THEN "e"."occurred_on" < "u"."begins_on" AND "e"."occurred_on" >= "u"."begins_on" - 14
        ELSE "e"."occurred_at" < "u"."begins_at"
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
      AND (
        (
          "e"."occurred_on" >= "u"."counts_from" AND "e"."occurred_on" < "u"."whole_from"
        )
        OR (
          "e"."occurred_on" >= "u"."before_on_1209600"
          AND "e"."occurred_on" < "u"."before_from_1209600"
        )
      )
      AND CASE
        WHEN "e"."day_precision"
        THEN "e"."occurred_on" < "u"."begins_on" AND "e"."occurred_on" >= "u"."begins_on" - 14
        ELSE "e"."occurred_at" < "u"."begins_at"
        AND "e"."occurred_at" >= "u"."before_at_1209600"
      END
    )) AS DECIMAL(38, 6)) AS "value__2",
  COUNT(*) FILTER(WHERE
    (
      "e"."event" = 'view'
      AND (
        "e"."occurred_on" >= "u"."counts_from" AND "e"."occurred_on" < "u"."whole_from"
      )
      AND CASE
        WHEN "e"."day_precision"
        THEN "e"."occurred_on" >= "u"."begins_on"
        ELSE "e"."occurred_at" >= "u"."begins_at"
      END
    )) AS "events__3",
  CAST(MAX(
    CASE
      WHEN (
        "e"."event" = 'view'
        AND (
          "e"."occurred_on" >= "u"."counts_from" AND "e"."occurred_on" < "u"."whole_from"
        )
        AND CASE
          WHEN "e"."day_precision"
          THEN "e"."occurred_on" >= "u"."begins_on"
          ELSE "e"."occurred_at" >= "u"."begins_at"
        END
      )
      THEN 1
      ELSE 0
    END
  ) AS BIGINT) AS "days__3",
  COUNT(*) FILTER(WHERE
    (
      "e"."event" = 'click'
      AND (
        "e"."occurred_on" >= "u"."counts_from" AND "e"."occurred_on" < "u"."whole_from"
      )
      AND CASE
        WHEN "e"."day_precision"
        THEN "e"."occurred_on" >= "u"."begins_on"
        ELSE "e"."occurred_at" >= "u"."begins_at"
      END
    )) AS "events__4",
  COUNT(*) FILTER(WHERE
    (
      "e"."event" = 'view'
      AND (
        (
          "e"."occurred_on" >= "u"."starts_from_604800"
          AND "e"."occurred_on" < "u"."starts_whole_604800"
        )
        OR (
          "e"."occurred_on" >= "u"."whole_until_1209600"
          AND "e"."occurred_on" <= "u"."mature_on_1209600"
        )
      )
      AND CASE
        WHEN "e"."day_precision"
        THEN "e"."occurred_on" >= (
          "u"."begins_on" + 7
        )
        AND "e"."occurred_on" < "u"."begins_on" + 14
        ELSE "e"."occurred_at" >= "u"."starts_at_604800"
        AND "e"."occurred_at" < "u"."ends_at_1209600"
      END
    )) AS "events__5",
  COUNT(*) FILTER(WHERE
    (
      "e"."event" = 'purchase'
      AND (
        (
          "e"."occurred_on" >= "u"."counts_from" AND "e"."occurred_on" < "u"."whole_from"
        )
        OR (
          "e"."occurred_on" >= "u"."whole_until_1209600"
          AND "e"."occurred_on" <= "u"."mature_on_1209600"
        )
      )
      AND CASE
        WHEN "e"."day_precision"
        THEN "e"."occurred_on" >= "u"."begins_on" AND "e"."occurred_on" < "u"."begins_on" + 14
        ELSE "e"."occurred_at" >= "u"."begins_at"
        AND "e"."occurred_at" < "u"."ends_at_1209600"
      END
    )) AS "events__6",
  COUNT(*) FILTER(WHERE
    (
      "e"."event" = 'purchase'
      AND (
        (
          "e"."occurred_on" >= "u"."counts_from" AND "e"."occurred_on" < "u"."whole_from"
        )
        OR (
          "e"."occurred_on" >= "u"."before_on_7776000"
          AND "e"."occurred_on" < "u"."before_from_7776000"
        )
      )
      AND CASE
        WHEN "e"."day_precision"
        THEN "e"."occurred_on" < "u"."begins_on" AND "e"."occurred_on" >= "u"."begins_on" - 90
        ELSE "e"."occurred_at" < "u"."begins_at"
        AND "e"."occurred_at" >= "u"."before_at_7776000"
      END
    )) AS "events__7",
  COUNT(*) FILTER(WHERE
    (
      "e"."event" = 'purchase'
      AND (
        (
          "e"."occurred_on" >= "u"."counts_from" AND "e"."occurred_on" < "u"."whole_from"
        )
        OR (
          "e"."occurred_on" >= "u"."whole_until_1209600"
          AND "e"."occurred_on" <= "u"."mature_on_1209600"
        )
      )
      AND CASE
        WHEN "e"."day_precision"
        THEN "e"."occurred_on" >= "u"."begins_on" AND "e"."occurred_on" < "u"."begins_on" + 14
        ELSE "e"."occurred_at" >= "u"."begins_at"
        AND "e"."occurred_at" < "u"."ends_at_1209600"
      END
    )) AS "events__8",
  CAST(MIN(
    CASE
      WHEN "e"."day_precision"
      THEN EPOCH_US(CAST("e"."occurred_on" AS TIMESTAMPTZ)) - EPOCH_US(CAST("u"."begins_on" AS TIMESTAMPTZ))
      WHEN "u"."day_precision"
      THEN EPOCH_US(CAST(CAST("e"."occurred_at" AS DATE) AS TIMESTAMPTZ)) - EPOCH_US(CAST("u"."begins_on" AS TIMESTAMPTZ))
      ELSE EPOCH_US(CAST("e"."occurred_at" AS TIMESTAMPTZ)) - EPOCH_US(CAST("u"."begins_at" AS TIMESTAMPTZ))
    END
  ) FILTER(WHERE
    (
      "e"."event" = 'purchase'
      AND (
        (
          "e"."occurred_on" >= "u"."counts_from" AND "e"."occurred_on" < "u"."whole_from"
        )
        OR (
          "e"."occurred_on" >= "u"."whole_until_1209600"
          AND "e"."occurred_on" <= "u"."mature_on_1209600"
        )
      )
      AND CASE
        WHEN "e"."day_precision"
        THEN "e"."occurred_on" >= "u"."begins_on" AND "e"."occurred_on" < "u"."begins_on" + 14
        ELSE "e"."occurred_at" >= "u"."begins_at"
        AND "e"."occurred_at" < "u"."ends_at_1209600"
      END
    )) AS BIGINT) AS "first__8",
  COUNT(*) FILTER(WHERE
    (
      (
        "e"."event" = 'purchase' AND COALESCE("e"."currency" = 'JPY', TRUE)
      )
      AND (
        (
          "e"."occurred_on" >= "u"."counts_from" AND "e"."occurred_on" < "u"."whole_from"
        )
        OR (
          "e"."occurred_on" >= "u"."whole_until_604800"
          AND "e"."occurred_on" <= "u"."mature_on_604800"
        )
      )
      AND CASE
        WHEN "e"."day_precision"
        THEN "e"."occurred_on" >= "u"."begins_on" AND "e"."occurred_on" < "u"."begins_on" + 7
        ELSE "e"."occurred_at" >= "u"."begins_at" AND "e"."occurred_at" < "u"."ends_at_604800"
      END
    )) AS "events__9",
  CAST(SUM("e"."value") FILTER(WHERE
    (
      (
        "e"."event" = 'purchase' AND COALESCE("e"."currency" = 'JPY', TRUE)
      )
      AND (
        (
          "e"."occurred_on" >= "u"."counts_from" AND "e"."occurred_on" < "u"."whole_from"
        )
        OR (
          "e"."occurred_on" >= "u"."whole_until_604800"
          AND "e"."occurred_on" <= "u"."mature_on_604800"
        )
      )
      AND CASE
        WHEN "e"."day_precision"
        THEN "e"."occurred_on" >= "u"."begins_on" AND "e"."occurred_on" < "u"."begins_on" + 7
        ELSE "e"."occurred_at" >= "u"."begins_at" AND "e"."occurred_at" < "u"."ends_at_604800"
      END
    )) AS DECIMAL(38, 6)) AS "value__9",
  COUNT(*) FILTER(WHERE
    (
      "e"."event" = 'view'
      AND (
        (
          "e"."occurred_on" >= "u"."counts_from" AND "e"."occurred_on" < "u"."whole_from"
        )
        OR (
          "e"."occurred_on" >= "u"."whole_until_1209600"
          AND "e"."occurred_on" <= "u"."mature_on_1209600"
        )
      )
      AND CASE
        WHEN "e"."day_precision"
        THEN "e"."occurred_on" >= "u"."begins_on" AND "e"."occurred_on" < "u"."begins_on" + 14
        ELSE "e"."occurred_at" >= "u"."begins_at"
        AND "e"."occurred_at" < "u"."ends_at_1209600"
      END
    )) AS "events__10"
FROM "events" AS "e"
JOIN "enrolled" AS "u"
  ON "u"."unit_key" = "e"."unit_key"
WHERE
  (
    "e"."unit_type" = 'user'
    AND "e"."environment" = 'production'
    AND "e"."event" IN ('click', 'purchase', 'view')
    AND "e"."occurred_on" <= $until
    AND (
      (
        "e"."occurred_on" >= "u"."counts_from" AND "e"."occurred_on" < "u"."whole_from"
      )
      OR (
        "e"."occurred_on" >= "u"."starts_from_604800"
        AND "e"."occurred_on" < "u"."starts_whole_604800"
      )
      OR (
        "e"."occurred_on" >= "u"."whole_until_604800"
        AND "e"."occurred_on" <= "u"."mature_on_604800"
      )
      OR (
        "e"."occurred_on" >= "u"."whole_until_1209600"
        AND "e"."occurred_on" <= "u"."mature_on_1209600"
      )
      OR (
        "e"."occurred_on" >= "u"."before_on_1209600"
        AND "e"."occurred_on" < "u"."before_from_1209600"
      )
      OR (
        "e"."occurred_on" >= "u"."before_on_7776000"
        AND "e"."occurred_on" < "u"."before_from_7776000"
      )
    )
  )
  AND NOT "u"."day_precision"
GROUP BY
  "e"."unit_key",
  "e"."occurred_on"
