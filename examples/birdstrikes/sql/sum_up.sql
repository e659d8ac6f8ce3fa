CREATE OR REPLACE TABLE mart.strikes_by_state_year AS
SELECT
    state,
    year,
    count(*) AS strikes,
    count(*) FILTER (is_damaged) AS damaged,
    CAST(sum(cost_usd) AS BIGINT) AS cost_usd,
    count(iata) AS located
FROM mart.strikes
GROUP BY ALL;
