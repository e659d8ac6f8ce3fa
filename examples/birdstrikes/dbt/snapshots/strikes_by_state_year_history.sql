{% snapshot strikes_by_state_year_history %}
    {{ config(unique_key="state_year", strategy='check', check_cols=['strikes', 'damaged', 'cost_usd']) }}
    select coalesce(state, '') || ' ' || year as state_year, *
    from {{ ref('strikes_by_state_year') }}
{% endsnapshot %}
