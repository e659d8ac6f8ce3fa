-- What the dbt project builds, in plain SQL.
CREATE SCHEMA IF NOT EXISTS mart;

-- One spelling for the ways in which the two files write an airport's name. Words stand between two blanks, so that neighbours share none.
CREATE OR REPLACE TABLE staging.spellings AS
WITH names AS (
    SELECT airport FROM staging.strikes
    UNION
    SELECT airport FROM staging.airports
),
words AS (
    SELECT
        airport,
        '  ' || replace(regexp_replace(upper(replace(airport, '''', '')), '[^A-Z]+', ' ', 'g'), ' ', '  ') || '  ' AS text
    FROM names
),
spelt AS (
    SELECT
        airport,
        replace(replace(replace(replace(replace(
            text,
            ' INTL ', ' INTERNATIONAL '), ' REGL ', ' REGIONAL '), ' MUNI ', ' MUNICIPAL '), ' ARPT ', '  '), ' AIRPORT ', '  ') AS text
    FROM words
)
SELECT airport, trim(regexp_replace(text, ' +', ' ', 'g')) AS spelling
FROM spelt;

-- A name that several airports have says nothing about which of them it was.
CREATE OR REPLACE TABLE staging.known_airports AS
SELECT spelling, min(iata) AS iata
FROM staging.airports
JOIN staging.spellings USING (airport)
GROUP BY spelling
HAVING count(*) = 1;

CREATE OR REPLACE TABLE mart.strikes AS
SELECT
    known.iata,
    strikes.*,
    CAST(extract(year FROM strikes.flight_date) AS INTEGER) AS year,
    levels.is_damaged
FROM staging.strikes AS strikes
LEFT JOIN staging.spellings AS spellings ON spellings.airport = strikes.airport
LEFT JOIN staging.known_airports AS known ON known.spelling = spellings.spelling
LEFT JOIN damage_levels AS levels ON levels.damage = strikes.damage;

CREATE OR REPLACE TABLE mart.strikes_by_state_year AS
SELECT
    state,
    year,
    count(*) AS strikes,
    CAST(sum(CASE WHEN is_damaged THEN 1 ELSE 0 END) AS BIGINT) AS damaged,
    CAST(sum(cost_usd) AS BIGINT) AS cost_usd,
    count(iata) AS located
FROM mart.strikes
GROUP BY state, year;
