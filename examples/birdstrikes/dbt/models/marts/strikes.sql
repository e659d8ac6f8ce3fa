select
    known.iata,
    strikes.*,
    cast(extract(year from strikes.flight_date) as integer) as year,
    levels.is_damaged
from {{ source('staged', 'strikes') }} as strikes
left join {{ ref('known_airports') }} as known on known.spelling = {{ spelling('strikes.airport') }}
left join {{ ref('damage_levels') }} as levels on levels.damage = strikes.damage
