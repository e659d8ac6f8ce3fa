CREATE SCHEMA IF NOT EXISTS mart;

-- One spelling for the ways in which the two files write an airport's name.
CREATE OR REPLACE MACRO staging.spelling(name) AS array_to_string(
    list_filter(
        list_transform(
            string_split(trim(regexp_replace(upper(replace(name, '''', '')), '[^A-Z]+', ' ', 'g')), ' '),
            lambda word: CASE word
                WHEN 'INTL' THEN 'INTERNATIONAL'
                WHEN 'REGL' THEN 'REGIONAL'
                WHEN 'MUNI' THEN 'MUNICIPAL'
                WHEN 'ARPT' THEN ''
                WHEN 'AIRPORT' THEN ''
                ELSE word
            END
        ),
        lambda word: word <> ''
    ),
    ' '
);

-- A name that several airports have says nothing about which of them it was.
CREATE OR REPLACE TABLE mart.strikes AS
WITH known AS (
    SELECT staging.spelling(airport) AS spelling, min(iata) AS iata
    FROM staging.airports
    GROUP BY ALL
    HAVING count(*) = 1
)
SELECT known.iata, strikes.*, year(strikes.flight_date) AS year, strikes.damage <> 'None' AS is_damaged
FROM staging.strikes AS strikes
LEFT JOIN known ON known.spelling = staging.spelling(strikes.airport);
