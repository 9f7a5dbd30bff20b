WITH "first_seen" AS (
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
), "unit_0" AS (
  SELECT
    "unit_key",
    "value"
  FROM (
    SELECT
      "f"."unit_key",
      "a"."value",
      ROW_NUMBER() OVER (
        PARTITION BY "f"."unit_key"
        ORDER BY "a"."valid_from" DESC, "a"."batch" DESC, "a"."value" DESC
      ) AS "place"
    FROM "first_seen" AS "f"
    JOIN "unit_attributes" AS "a"
      ON "a"."unit_id" = "f"."unit_id"
    WHERE
      "f"."experiment" = '対照''s'
      AND "f"."iteration" = 1
      AND "a"."unit_type" = 'user'
      AND "a"."attribute" = 'is_staff'
      AND (
        "a"."valid_from" IS NULL OR "a"."valid_from" <= "f"."exposed_at"
      )
  ) AS "ranked"
  WHERE
    "place" = 1
), "busy_1" AS (
  WITH "days" AS (
    SELECT
      "e"."unit_key"
    FROM "events" AS "e"
    JOIN "first_seen" AS "f"
      ON "f"."unit_key" = "e"."unit_key"
    WHERE
      (
        (
          (
            "e"."unit_type" = 'user' AND "e"."environment" = 'production'
          )
          AND "e"."event" = 'view'
        )
        AND COALESCE(
          JSON_TYPE("e"."properties", '/plan') = 'VARCHAR'
          AND JSON_EXTRACT_STRING("e"."properties", '/plan') IN ('free'),
          FALSE
        )
      )
      AND "e"."occurred_on" < CAST("f"."exposed_at" AS DATE)
    GROUP BY
      "e"."unit_key",
      "e"."occurred_on"
    HAVING
      COUNT(*) > 1000
  )
  SELECT
    "unit_key"
  FROM "days"
  GROUP BY
    "unit_key"
)
SELECT
  "f".*,
  CAST(CASE
    WHEN COALESCE(NOT "unit_0"."value" IS NULL AND CAST("unit_0"."value" AS TEXT) IN ('yes'), FALSE)
    OR COALESCE(
      JSON_TYPE("f"."attributes", '/device') = 'VARCHAR'
      AND CONTAINS(JSON_EXTRACT_STRING("f"."attributes", '/device'), 'bot'),
      FALSE
    )
    OR COALESCE(
      NOT "f"."unit_id" IS NULL AND STARTS_WITH(CAST("f"."unit_id" AS TEXT), 'test-'),
      FALSE
    )
    THEN 'staff''s'
    WHEN NOT "busy_1"."unit_key" IS NULL
    THEN 'busy'
  END AS TEXT) AS "excluded_by"
FROM "first_seen" AS "f"
LEFT JOIN "unit_0"
  ON "unit_0"."unit_key" = "f"."unit_key"
LEFT JOIN "busy_1"
  ON "busy_1"."unit_key" = "f"."unit_key"
