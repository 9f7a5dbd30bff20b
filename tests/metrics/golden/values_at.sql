WITH "asked" AS (
  SELECT
    *
  FROM (VALUES
    (0, 1, 'A', -1, '', 3),
    (0, 1, 'A', -1, '', 4),
    (0, 1, 'B', 1, 'ios', 0)) AS "rows"("metric", "phase", "variant", "dimension", "level", "place")
)
SELECT
  "a"."metric",
  "a"."phase",
  "a"."variant",
  "a"."dimension",
  "a"."level",
  "a"."place",
  MIN("h"."value")
FROM "asked" AS "a"
JOIN "histogram" AS "h"
  ON (
    "a"."metric" = "h"."metric"
    AND "a"."phase" = "h"."phase"
    AND "a"."variant" = "h"."variant"
    AND "a"."dimension" = "h"."dimension"
    AND "a"."level" = "h"."level"
  )
  AND "h"."upto" > "a"."place"
GROUP BY
  "a"."metric",
  "a"."phase",
  "a"."variant",
  "a"."dimension",
  "a"."level",
  "a"."place"
