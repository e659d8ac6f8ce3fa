{# One spelling for the ways in which the two files write an airport's name. Words stand between two blanks, so that neighbours share none. #}
{% macro spelling(name) -%}
{%- set words = {'INTL': 'INTERNATIONAL', 'REGL': 'REGIONAL', 'MUNI': 'MUNICIPAL', 'ARPT': '', 'AIRPORT': ''} -%}
{%- set ns = namespace(sql="'  ' || regexp_replace(regexp_replace(upper(replace(" ~ name ~ ", '''', '')), '[^A-Z]+', ' ', 'g'), ' ', '  ', 'g') || '  '") -%}
{%- for word, spelt in words.items() -%}
    {%- set ns.sql = "replace(" ~ ns.sql ~ ", ' " ~ word ~ " ', ' " ~ spelt ~ " ')" -%}
{%- endfor -%}
trim(regexp_replace({{ ns.sql }}, ' +', ' ', 'g'))
{%- endmacro %}
