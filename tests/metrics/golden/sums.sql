WITH "frequent_1" AS (
  SELECT
    "segment__1" AS "value"
  FROM "unit_metrics_now"
  GROUP BY
    "segment__1"
  ORDER BY
    COUNT(*) DESC,
    "segment__1"
  LIMIT 50
), "observed" AS (
  SELECT
    "phase",
    "variant",
    "segment__0" AS "segment__0",
    CASE
      WHEN "segment__1" IN (
        SELECT
          "value"
        FROM "frequent_1"
      )
      THEN "segment__1"
      ELSE '(other)'
    END AS "segment__1",
    CASE WHEN "checkout__mature" THEN "checkout" END AS "checkout",
    CASE WHEN "売上__mature" THEN "売上" END AS "売上",
    CASE WHEN "売上__mature" THEN "売上__covariate" END AS "売上__covariate",
    "active" AS "active",
    "clicks_per_view" AS "clicks_per_view",
    "clicks_per_view__denominator" AS "clicks_per_view__denominator",
    CASE WHEN "second_week__mature" THEN "second_week" END AS "second_week",
    CASE WHEN "first_purchase__mature" THEN "first_purchase" END AS "first_purchase",
    CASE
      WHEN NOT "until_purchase" IS NULL
      THEN CASE WHEN "until_purchase__mature" THEN "until_purchase" END
    END AS "until_purchase",
    "until_purchase__mature",
    CASE WHEN "net__mature" THEN "net" END AS "net"
  FROM "unit_metrics_now"
), "caps" AS (
  SELECT
    QUANTILE_DISC("売上", 0.999) AS "売上__cap",
    QUANTILE_DISC("until_purchase", 0.99) AS "until_purchase__cap"
  FROM "observed"
), "capped" AS (
  SELECT
    "phase",
    "variant",
    "segment__0",
    "segment__1",
    "checkout" AS "checkout",
    "売上__cap",
    "売上" > "売上__cap" AS "売上__clipped",
    CASE WHEN (
      "売上" > "売上__cap"
    ) THEN "売上__cap" ELSE "売上" END AS "売上",
    "売上__covariate" AS "売上__covariate",
    "active" AS "active",
    "clicks_per_view" AS "clicks_per_view",
    "clicks_per_view__denominator" AS "clicks_per_view__denominator",
    "second_week" AS "second_week",
    "first_purchase" AS "first_purchase",
    "until_purchase__cap",
    "until_purchase" > "until_purchase__cap" AS "until_purchase__clipped",
    CASE
      WHEN (
        "until_purchase" > "until_purchase__cap"
      )
      THEN "until_purchase__cap"
      ELSE "until_purchase"
    END AS "until_purchase",
    "until_purchase__mature",
    "net" AS "net"
  FROM "observed"
  CROSS JOIN "caps"
)
SELECT
  "phase",
  "variant",
  "segment__0",
  GROUPING("segment__0") AS "segment__0__all",
  "segment__1",
  GROUPING("segment__1") AS "segment__1__all",
  COUNT(*) AS "units",
  COUNT("checkout") AS "checkout__n",
  SUM("checkout") AS "checkout__sum_0",
  SUM(CAST("checkout" AS INT128) * "checkout") AS "checkout__product_0_0_whole",
  COUNT("売上") AS "売上__n",
  SUM("売上") AS "売上__sum_0",
  SUM("売上__covariate") AS "売上__sum_1",
  SUM(CAST("売上" AS INT128) * "売上") AS "売上__product_0_0_whole",
  SUM(CAST("売上" AS INT128) * "売上__covariate") AS "売上__product_0_1_whole",
  SUM(CAST("売上__covariate" AS INT128) * "売上__covariate") AS "売上__product_1_1_whole",
  MAX("売上__cap") AS "売上__cap",
  COUNT(*) FILTER(WHERE
    "売上__clipped") AS "売上__clipped",
  COUNT("active") AS "active__n",
  SUM("active") AS "active__sum_0",
  SUM(CAST("active" AS INT128) * "active") AS "active__product_0_0_whole",
  COUNT("clicks_per_view") AS "clicks_per_view__n",
  SUM("clicks_per_view") AS "clicks_per_view__sum_0",
  SUM("clicks_per_view__denominator") AS "clicks_per_view__sum_1",
  SUM(CAST("clicks_per_view" AS INT128) * "clicks_per_view") AS "clicks_per_view__product_0_0_whole",
  SUM(CAST("clicks_per_view" AS INT128) * "clicks_per_view__denominator") AS "clicks_per_view__product_0_1_whole",
  SUM(CAST("clicks_per_view__denominator" AS INT128) * "clicks_per_view__denominator") AS "clicks_per_view__product_1_1_whole",
  COUNT("second_week") AS "second_week__n",
  SUM("second_week") AS "second_week__sum_0",
  SUM(CAST("second_week" AS INT128) * "second_week") AS "second_week__product_0_0_whole",
  COUNT("first_purchase") AS "first_purchase__n",
  SUM("first_purchase") AS "first_purchase__sum_0",
  SUM(CAST("first_purchase" AS INT128) * "first_purchase") AS "first_purchase__product_0_0_whole",
  COUNT("until_purchase") AS "until_purchase__n",
  SUM("until_purchase") AS "until_purchase__sum_0",
  SUM(CAST("until_purchase" AS INT128) * "until_purchase") AS "until_purchase__product_0_0_whole",
  MAX("until_purchase__cap") AS "until_purchase__cap",
  COUNT(*) FILTER(WHERE
    "until_purchase__clipped") AS "until_purchase__clipped",
  COUNT(*) FILTER(WHERE
    NOT "until_purchase__mature") AS "until_purchase__immature",
  COUNT("net") AS "net__n",
  SUM("net") AS "net__sum_0",
  SUM(CAST("net" AS INT128) * "net") AS "net__product_0_0_whole"
FROM "capped"
GROUP BY
  GROUPING SETS (
    ("phase", "variant"),
    ("phase", "variant", "segment__0"),
    ("phase", "variant", "segment__1")
  )
