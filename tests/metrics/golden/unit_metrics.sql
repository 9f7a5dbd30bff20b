WITH "totals" AS (
  SELECT
    "unit_key",
    CAST(MAX(CASE WHEN "events__0" > 0 THEN 1 ELSE 0 END) AS BIGINT) AS "checkout",
    CAST(SUM("value__1") * 1000000 AS INT128) AS "売上",
    CAST(SUM("value__2") * 1000000 AS INT128) AS "売上__covariate",
    CAST(SUM("days__3") AS BIGINT) AS "active",
    CAST(SUM("events__4") AS BIGINT) AS "clicks_per_view",
    CAST(SUM("events__3") AS BIGINT) AS "clicks_per_view__denominator",
    CAST(CASE WHEN SUM("events__5") >= 3 THEN 1 ELSE 0 END AS BIGINT) AS "second_week",
    CASE
      WHEN COALESCE(SUM("events__7"), 0) = 0
      THEN CAST(MAX(CASE WHEN "events__6" > 0 THEN 1 ELSE 0 END) AS BIGINT)
      ELSE 0
    END AS "first_purchase",
    CAST(MIN("first__8") AS BIGINT) AS "until_purchase",
    CAST(CAST(COALESCE(CAST(SUM("value__9") * 1000000 AS INT128), 0) AS INT128) * 100 + CAST(COALESCE(CAST(SUM("events__10") AS BIGINT), 0) AS INT128) * -25000000 AS INT128) AS "net"
  FROM "contributions"
  WHERE
    "day" <= $as_of
  GROUP BY
    "unit_key"
)
SELECT
  "u"."unit_key",
  "u"."unit_id",
  "u"."variant",
  "u"."phase",
  "u"."exposed_at",
  "u"."segment__0",
  "u"."segment__1",
  COALESCE("t"."checkout", 0) AS "checkout",
  "u"."mature_on_604800" <= $as_of AS "checkout__mature",
  COALESCE("t"."売上", 0) AS "売上",
  COALESCE("t"."売上__covariate", 0) AS "売上__covariate",
  "u"."mature_on_1209600" <= $as_of AS "売上__mature",
  COALESCE("t"."active", 0) AS "active",
  TRUE AS "active__mature",
  COALESCE("t"."clicks_per_view", 0) AS "clicks_per_view",
  COALESCE("t"."clicks_per_view__denominator", 0) AS "clicks_per_view__denominator",
  TRUE AS "clicks_per_view__mature",
  COALESCE("t"."second_week", 0) AS "second_week",
  "u"."mature_on_1209600" <= $as_of AS "second_week__mature",
  COALESCE("t"."first_purchase", 0) AS "first_purchase",
  "u"."mature_on_1209600" <= $as_of AS "first_purchase__mature",
  "t"."until_purchase" AS "until_purchase",
  "u"."mature_on_1209600" <= $as_of AS "until_purchase__mature",
  COALESCE("t"."net", 0) AS "net",
  "u"."mature_on_1209600" <= $as_of AS "net__mature"
FROM "enrolled" AS "u"
LEFT JOIN "totals" AS "t"
  ON "t"."unit_key" = "u"."unit_key"
WHERE
  "u"."exposed_on" <= $as_of
  AND (
    "u"."second_on" IS NULL OR "u"."second_on" > $as_of
  )
  AND "u"."variant" IN ('A', 'B')
