-- Texts are trimmed, columns get names that need no quotes, exact repetitions are dropped.
CREATE SCHEMA IF NOT EXISTS staging;

CREATE OR REPLACE TABLE staging.strikes AS
SELECT DISTINCT
    trim("Airport Name") AS airport,
    trim("Aircraft Make Model") AS aircraft,
    trim("Effect Amount of damage") AS damage,
    CAST("Flight Date" AS DATE) AS flight_date,
    trim("Aircraft Airline Operator") AS operator,
    trim("Origin State") AS state,
    trim("Phase of flight") AS phase,
    trim("Wildlife Size") AS wildlife_size,
    trim("Wildlife Species") AS wildlife_species,
    trim("Time of day") AS time_of_day,
    CAST("Cost Other" AS BIGINT) AS cost_other_usd,
    CAST("Cost Repair" AS BIGINT) AS cost_repair_usd,
    CAST("Cost Total $" AS BIGINT) AS cost_usd,
    "Speed IAS in knots" AS speed_knots
FROM strikes;
