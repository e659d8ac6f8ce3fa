SELECT
    state,
    CAST(sum(strikes) AS BIGINT) AS strikes,
    CAST(sum(damaged) AS BIGINT) AS damaged,
    CAST(sum(cost_usd) AS BIGINT) AS cost_usd,
    min(year) AS first_year,
    max(year) AS last_year
FROM mart.strikes_by_state_year
GROUP BY ALL
ORDER BY cost_usd DESC, state
LIMIT $states;
