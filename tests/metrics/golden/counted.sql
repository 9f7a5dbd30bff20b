SELECT
  "v"."unit_key",
  "v"."day",
  CAST(SUM("v"."events") AS BIGINT) AS "events__0",
  CAST(NULL AS BIGINT) AS "events__1",
  CAST(NULL AS BIGINT) AS "events__2"
FROM (
  SELECT
    "unit_key",
    "day",
    "events"
  FROM "each_value"
  WHERE
    "slot" = 0
) AS "v"
GROUP BY
  "v"."unit_key",
  "v"."day"
UNION ALL
SELECT
  "v"."unit_key",
  "v"."day",
  CAST(NULL AS BIGINT) AS "events__0",
  CAST(SUM("v"."events") AS BIGINT) AS "events__1",
  CAST(NULL AS BIGINT) AS "events__2"
FROM (
  SELECT
    "unit_key",
    MIN("day") AS "day",
    1 AS "events"
  FROM "each_value"
  WHERE
    "slot" = 1
  GROUP BY
    "unit_key",
    "text"
) AS "v"
GROUP BY
  "v"."unit_key",
  "v"."day"
UNION ALL
SELECT
  "v"."unit_key",
  "v"."day",
  CAST(NULL AS BIGINT) AS "events__0",
  CAST(NULL AS BIGINT) AS "events__1",
  CAST(SUM("v"."events") AS BIGINT) AS "events__2"
FROM (
  SELECT
    "unit_key",
    MIN("day") AS "day",
    1 AS "events"
  FROM "each_value"
  WHERE
    "slot" = 2
  GROUP BY
    "unit_key",
    "text"
) AS "v"
GROUP BY
  "v"."unit_key",
  "v"."day"
