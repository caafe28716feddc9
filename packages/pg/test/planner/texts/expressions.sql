(array['de','fr',null])[1 + i % 3]
(array[1,2,3])[2]
(array[[1,2],[3,4]])[1][2]
(array[1,2,3])[1:2]
(a)[1]
a[1]
a[1:2]
a[:2]
a[1:]
a[:]
(f(x))[1]
(f(x)).y
(x).y
(x).y.z
(x).*
(row(1,2)).f1
(t.c).d[3]
('{1,2}'::int[])[1]
(select array_agg(x) from t)[1]
((select a from t))[1]
$1[1]
($1)[1]
($1).x
a.b.c
-(-1)
- - 1
-a
-(a+b)
-1 ^ 2
(-1) ^ 2
2 ^ -1
a - (b - c)
a - b - c
(a = b) = c
a = (b = c)
(a < b) is true
(a is null) = b
not a = b
not (a and b)
(not a) = b
a and (b or c)
(a and b) or c
a between b and c
not (a between b and c)
a between symmetric b and c
(a between b and c) = d
a in (1,2)
a not in (1,2)
(a in (1,2)) = b
(a,b) in ((1,2),(3,4))
(a,b) = (1,2)
row(a,b) = row(1,2)
row(a)
row()
(a,b) overlaps (c,d)
a like b
a not like b escape '!'
a ilike b
a similar to b
a similar to b escape '!'
a ~ b
a !~* b
a like any (array['x'])
a is distinct from b
a is not distinct from (b = c)
a is document
a isnull
a notnull
a::int
(a+b)::int
-a::int
(-1)::int
-1::int
a::int::text
cast(a as numeric(10,2))
cast(a as int[])
cast(a as timestamp(3) with time zone)
cast(a as interval day to second(3))
interval '1 day'
interval '1' year
interval(3) '1.5 seconds'
timestamp '2020-01-01'
timestamp with time zone '2020-01-01'
date '2020-01-01'
time '10:00'
b'101'
x'1f'
bit varying '101'
'a'::"char"
'a'::char(3)
'a'::bpchar
'a'::varchar(3)
1e10
1.0
.5
1000000000000000000000
0x1f
0b11
1_000
e'\n'
U&'d\0061t'
'it''s'
''
$$x$$
current_date
current_time(3)
localtimestamp
current_user
current_role
session_user
extract(year from a)
position('a' in b)
substring(a from 1 for 2)
substring(a similar 'b' escape '#')
overlay(a placing b from 1 for 2)
trim(both 'x' from a)
trim(leading from a)
trim(a)
a at time zone 'UTC'
(a at time zone 'UTC') at time zone 'X'
a at local
a collate "C"
(a || b) collate "C"
(a collate "C") < b
coalesce(a,b)
greatest(a,b)
least(a,b)
nullif(a,b)
case when a then b end
case a when 1 then 2 else 3 end
case when a then case when b then 1 end end
exists (select 1)
not exists (select 1)
a in (select 1)
a not in (select 1)
a = any (select 1)
a <> all (select 1)
a = any (b)
a = any (array[1,2])
a < some (select 1)
(a,b) in (select 1,2)
(a,b) = (select 1,2)
(a,b) not in (select 1,2)
array(select 1)
array[]::int[]
array[array[1],array[2]]
count(*)
count(distinct a)
count(a) filter (where b)
sum(a order by b desc nulls last)
sum(distinct a order by a)
string_agg(a, ',' order by b, c) filter (where d is not null)
percentile_cont(0.5) within group (order by a desc)
mode() within group (order by a)
rank(1,2) within group (order by a,b)
row_number() over ()
sum(a) over (partition by b order by c)
sum(a) over (w)
sum(a) over w
sum(a) over (w order by c)
sum(a) over (order by c rows between 1 preceding and current row)
sum(a) over (order by c rows 2 preceding)
sum(a) over (order by c range between interval '1 day' preceding and 1 following)
sum(a) over (order by c groups between unbounded preceding and unbounded following exclude ties)
sum(a) over (rows between current row and unbounded following exclude current row)
sum(a) filter (where b) over (order by c)
lag(a, 1, 0) over (order by b)
f(variadic array[1,2])
f(a => 1, b := 2)
f(a, b => 2)
pg_catalog.lower(a)
a operator(pg_catalog.+) b
operator(pg_catalog.-) a
a || b || c
a || (b || c)
@ a
|/ a
a -> 'b' ->> 'c'
(a -> 'b') ->> 'c'
a -> ('b' || 'c')
a #>> '{a,b}'
a @> '{"a":1}'
a ? 'b'
a['b']
a['b']['c']
(a -> 'b')['c']
json_build_object('a', 1)
json_object('a' : 1)
json_object('a' value 1 null on null)
json_array(1,2 null on null)
json_array(select 1)
json_objectagg(a : b)
json_objectagg(a : b absent on null with unique keys)
json_arrayagg(a order by b)
json_arrayagg(a order by b null on null returning jsonb)
json_query(a, '$.x')
json_value(a, '$.x' returning int default 0 on empty)
json_exists(a, '$.x')
json(a)
json_scalar(1)
json_serialize(a)
a is json
a is json object with unique keys
xmlelement(name foo, a)
xmlforest(a as b)
grouping(a, b)
a is unknown
a is not true
a is normalized
a is nfc normalized
normalize(a, nfd)
merge_action()
treat(a as int)
collation for (a)
a::int4range
a && b
a <@ b
a -|- b
(a is null) is null
(a is null) and b
((a))
a = -1
a - -1
a * -b
-a * b
-(a * b)
a % -3
not not a
not (not a)
(not a) and b
a is not null and b
(a or b) is null
(a = b) is null
a + b is null
a > b is null
a is null > b
(a > b) > c
a > (b > c)
(a like b) is null
(a in (1)) is null
(a between 1 and 2) is null
(exists (select 1)) is null
(a collate "C") collate "D"
a::text collate "C"
(a::text || 'x')::varchar(3)
(case when a then b end)::int
(case when a then b end).x
(array[a])::text[]
array[a]::text[]
row(1,'a')::t
(row(1,'a')::t).x
(1,2)::t
(select 1)
(select 1) + 1
((select 1))
-(select 1)
(select a from t limit 1)::int
cast(null as int)
null::int
true and false
't'::bool
a = true
(a is true) = true
