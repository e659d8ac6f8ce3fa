-- A name that several airports have says nothing about which of them it was.
select {{ spelling('airport') }} as spelling, min(iata) as iata
from {{ source('staged', 'airports') }}
group by 1
having count(*) = 1
