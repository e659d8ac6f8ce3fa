select
    state,
    year,
    count(*) as strikes,
    cast(sum(case when is_damaged then 1 else 0 end) as bigint) as damaged,
    cast(sum(cost_usd) as bigint) as cost_usd,
    count(iata) as located
from {{ ref('strikes') }}
group by state, year
