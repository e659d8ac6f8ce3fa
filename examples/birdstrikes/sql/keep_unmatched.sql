-- What did not join is kept, so that nobody takes the map for the whole.
CREATE OR REPLACE TABLE mart.airports_not_joined AS
SELECT airport, state, count(*) AS strikes
FROM mart.strikes
WHERE iata IS NULL
GROUP BY ALL
ORDER BY strikes DESC, airport, state;
