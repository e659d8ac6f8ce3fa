-- The sums have every strike, and none twice.
select *
from (
    select
        (select count(*) from {{ ref('strikes') }}) as strikes,
        (select sum(strikes) from {{ ref('strikes_by_state_year') }}) as summed
) as counts
where strikes <> summed
