WITH "asked" AS (
  SELECT
    *
  FROM (VALUES
    (0, 1, 'A', -1, '', 1000000, 2000000)) AS "rows"("metric", "phase", "variant", "dimension", "level", "low", "high")
)
SELECT
  "a"."metric",
  "a"."phase",
  "a"."variant",
  "a"."dimension",
  "a"."level",
  MAX("h"."events")
FROM "asked" AS "a"
JOIN "histogram" AS "h"
  ON (
    "a"."metric" = "h"."metric"
    AND "a"."phase" = "h"."phase"
    AND "a"."variant" = "h"."variant"
    AND "a"."dimension" = "h"."dimension"
    AND "a"."level" = "h"."level"
  )
  AND "h"."value" BETWEEN "a"."low" AND "a"."high"
GROUP BY
  "a"."metric",
  "a"."phase",
  "a"."variant",
  "a"."dimension",
  "a"."level"
