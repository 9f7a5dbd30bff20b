WITH "attribute_1" AS (
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
    FROM "first_exposures" AS "f"
    JOIN "unit_attributes" AS "a"
      ON "a"."unit_id" = "f"."unit_id"
    WHERE
      "f"."experiment" = '対照''s'
      AND "f"."iteration" = 1
      AND "a"."unit_type" = 'user'
      AND "a"."attribute" = '国'
      AND (
        "a"."valid_from" IS NULL OR "a"."valid_from" <= "f"."exposed_at"
      )
  ) AS "ranked"
  WHERE
    "place" = 1
)
SELECT
  "f"."unit_key",
  "f"."unit_id",
  "f"."variant",
  "f"."phase",
  "f"."exposed_at",
  "f"."day_precision",
  CAST("f"."exposed_at" AS DATE) AS "exposed_on",
  CAST("f"."second_variant_at" AS DATE) AS "second_on",
  "f"."exposed_at" AS "begins_at",
  CAST("f"."exposed_at" AS DATE) AS "begins_on",
  LEAST(CAST("f"."exposed_at" AS DATE), CAST("f"."exposed_at" AS DATE)) AS "counts_from",
  GREATEST(
    CAST("f"."exposed_at" AS DATE),
    (
      CAST("f"."exposed_at" - INTERVAL '1' MICROSECOND AS DATE) + 1
    )
  ) AS "whole_from",
  CASE
    WHEN "f"."day_precision"
    THEN CAST(CAST("f"."exposed_at" AS DATE) + 7 AS TIMESTAMPTZ)
    ELSE "f"."exposed_at" + INTERVAL '604800' SECOND
  END AS "starts_at_604800",
  LEAST(
    (
      CAST("f"."exposed_at" AS DATE) + 7
    ),
    CAST(CASE
      WHEN "f"."day_precision"
      THEN CAST(CAST("f"."exposed_at" AS DATE) + 7 AS TIMESTAMPTZ)
      ELSE "f"."exposed_at" + INTERVAL '604800' SECOND
    END AS DATE)
  ) AS "starts_from_604800",
  GREATEST(
    (
      CAST("f"."exposed_at" AS DATE) + 7
    ),
    (
      CAST(CASE
        WHEN "f"."day_precision"
        THEN CAST(CAST("f"."exposed_at" AS DATE) + 7 AS TIMESTAMPTZ)
        ELSE "f"."exposed_at" + INTERVAL '604800' SECOND
      END - INTERVAL '1' MICROSECOND AS DATE) + 1
    )
  ) AS "starts_whole_604800",
  CASE
    WHEN "f"."day_precision"
    THEN CAST(CAST("f"."exposed_at" AS DATE) + 7 AS TIMESTAMPTZ)
    ELSE "f"."exposed_at" + INTERVAL '604800' SECOND
  END AS "ends_at_604800",
  LEAST(
    (
      CAST("f"."exposed_at" AS DATE) + 7
    ),
    CAST(CASE
      WHEN "f"."day_precision"
      THEN CAST(CAST("f"."exposed_at" AS DATE) + 7 AS TIMESTAMPTZ)
      ELSE "f"."exposed_at" + INTERVAL '604800' SECOND
    END AS DATE)
  ) AS "whole_until_604800",
  GREATEST(
    (
      CAST("f"."exposed_at" AS DATE) + 7
    ) - 1,
    CAST(CASE
      WHEN "f"."day_precision"
      THEN CAST(CAST("f"."exposed_at" AS DATE) + 7 AS TIMESTAMPTZ)
      ELSE "f"."exposed_at" + INTERVAL '604800' SECOND
    END - INTERVAL '1' MICROSECOND AS DATE)
  ) AS "mature_on_604800",
  CASE
    WHEN "f"."day_precision"
    THEN CAST(CAST("f"."exposed_at" AS DATE) + 14 AS TIMESTAMPTZ)
    ELSE "f"."exposed_at" + INTERVAL '1209600' SECOND
  END AS "ends_at_1209600",
  LEAST(
    (
      CAST("f"."exposed_at" AS DATE) + 14
    ),
    CAST(CASE
      WHEN "f"."day_precision"
      THEN CAST(CAST("f"."exposed_at" AS DATE) + 14 AS TIMESTAMPTZ)
      ELSE "f"."exposed_at" + INTERVAL '1209600' SECOND
    END AS DATE)
  ) AS "whole_until_1209600",
  GREATEST(
    (
      CAST("f"."exposed_at" AS DATE) + 14
    ) - 1,
    CAST(CASE
      WHEN "f"."day_precision"
      THEN CAST(CAST("f"."exposed_at" AS DATE) + 14 AS TIMESTAMPTZ)
      ELSE "f"."exposed_at" + INTERVAL '1209600' SECOND
    END - INTERVAL '1' MICROSECOND AS DATE)
  ) AS "mature_on_1209600",
  CASE
    WHEN "f"."day_precision"
    THEN CAST(CAST("f"."exposed_at" AS DATE) + -14 AS TIMESTAMPTZ)
    ELSE "f"."exposed_at" - INTERVAL '1209600' SECOND
  END AS "before_at_1209600",
  LEAST(
    (
      CAST("f"."exposed_at" AS DATE) - 14
    ),
    CAST(CASE
      WHEN "f"."day_precision"
      THEN CAST(CAST("f"."exposed_at" AS DATE) + -14 AS TIMESTAMPTZ)
      ELSE "f"."exposed_at" - INTERVAL '1209600' SECOND
    END AS DATE)
  ) AS "before_on_1209600",
  GREATEST(
    (
      CAST("f"."exposed_at" AS DATE) - 14
    ),
    (
      CAST(CASE
        WHEN "f"."day_precision"
        THEN CAST(CAST("f"."exposed_at" AS DATE) + -14 AS TIMESTAMPTZ)
        ELSE "f"."exposed_at" - INTERVAL '1209600' SECOND
      END - INTERVAL '1' MICROSECOND AS DATE) + 1
    )
  ) AS "before_from_1209600",
  CASE
    WHEN "f"."day_precision"
    THEN CAST(CAST("f"."exposed_at" AS DATE) + -90 AS TIMESTAMPTZ)
    ELSE "f"."exposed_at" - INTERVAL '7776000' SECOND
  END AS "before_at_7776000",
  LEAST(
    (
      CAST("f"."exposed_at" AS DATE) - 90
    ),
    CAST(CASE
      WHEN "f"."day_precision"
      THEN CAST(CAST("f"."exposed_at" AS DATE) + -90 AS TIMESTAMPTZ)
      ELSE "f"."exposed_at" - INTERVAL '7776000' SECOND
    END AS DATE)
  ) AS "before_on_7776000",
  GREATEST(
    (
      CAST("f"."exposed_at" AS DATE) - 90
    ),
    (
      CAST(CASE
        WHEN "f"."day_precision"
        THEN CAST(CAST("f"."exposed_at" AS DATE) + -90 AS TIMESTAMPTZ)
        ELSE "f"."exposed_at" - INTERVAL '7776000' SECOND
      END - INTERVAL '1' MICROSECOND AS DATE) + 1
    )
  ) AS "before_from_7776000",
  COALESCE(NULLIF(JSON_EXTRACT_STRING("f"."attributes", '/device'), ''), '(missing)') AS "segment__0",
  COALESCE(NULLIF("attribute_1"."value", ''), '(missing)') AS "segment__1"
FROM "first_exposures" AS "f"
LEFT JOIN "attribute_1"
  ON "attribute_1"."unit_key" = "f"."unit_key"
WHERE
  "f"."experiment" = '対照''s' AND "f"."iteration" = 1 AND "f"."excluded_by" IS NULL
