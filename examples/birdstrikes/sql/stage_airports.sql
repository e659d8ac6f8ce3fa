CREATE SCHEMA IF NOT EXISTS staging;

CREATE OR REPLACE TABLE staging.airports AS
SELECT iata, trim(name) AS airport, trim(city) AS city, trim(state) AS state_code, latitude, longitude
FROM airports;
