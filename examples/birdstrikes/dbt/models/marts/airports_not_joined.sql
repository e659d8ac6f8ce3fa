-- What did not join is kept, so that nobody takes the map for the whole.
select airport, state, count(*) as strikes
from {{ ref('strikes') }}
where iata is null
group by airport, state
