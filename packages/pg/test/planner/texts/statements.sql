select a from t order by a fetch first 3 rows with ties
select * from (select a from t order by a fetch first 3 rows with ties) x
with x as (select a from t order by a fetch first (1+2) rows with ties) select * from x
select (select a from t order by a fetch first row with ties)
select a from t limit all
select a from t offset 2
select a from t limit (select 1) offset 1+1
select distinct on (a, b+1) a from t order by a
select distinct a from t
select all a from t
table t
values (1,2),(3,4)
values (1),(2) order by 1 limit 1
(values (1)) union select 2
(select 1 order by 1 limit 1) union all (select 2 limit 1) order by 1
(select 1 union select 2) intersect select 3
select 1 union (select 2 intersect select 3)
select 1 union select 2 except select 3
select 1 except (select 2 except select 3)
select 1 union all select 2 union select 3
(with x as (select 1) select * from x) union select 2
with x as (select 1) (with y as (select 2) select * from y) union select * from x
with recursive t(n) as (values (1) union all select n+1 from t where n < 5) select * from t
with recursive t as (select 1 as n union select n+1 from t) search depth first by n set o select * from t
with recursive t as (select 1 as n union select n+1 from t) cycle n set c using p select * from t
with recursive t as (select 1 as n union select n+1 from t) search breadth first by n set o cycle n set c to 'y' default 'n' using p select * from t
with x as materialized (select 1), y as not materialized (select 2) select * from x, y
select * from a join b on a.x = b.x left join c using (y) natural join d cross join e
select * from a join (b join c on b.x = c.x) on a.x = b.x
select * from (a join b using (x)) as j
select * from a join b using (x) as u
select * from (a join b on true) j(p, q)
select * from a natural left join b
select * from a full join b on a.x = b.x
select * from only a
select * from a, lateral (select a.x) b
select * from a left join lateral f(a.x) as g(y) on true
select * from f(1) with ordinality as t(a, n)
select * from rows from (f(1), g(2)) with ordinality as t(a,b,n)
select * from f(1) as (a int, b text)
select * from f(1) as t(a int, b text)
select * from json_to_recordset('[]') as x(a int, b text)
select * from rows from (json_to_recordset('[]') as (a int), generate_series(1,2)) as x
select * from t tablesample bernoulli (10) repeatable (1)
select * from t tablesample system (10)
select * from s.t as x(a,b)
select t.* from t
select s.t.* from s.t
select (t).* from t
select (t.c).* from t
select t from t
select a as "select", b "B" from "T" where "T"."A b" = 1
select a from t group by a, b having count(*) > 1
select a from t group by ()
select a from t group by distinct rollup(a), cube(b, c)
select a from t group by grouping sets ((a), (b, c), ())
select a from t group by rollup ((a, b), c), d
select a from t window w as (partition by a), v as (w order by b) order by 1
select sum(a) over w from t window w as (partition by a rows unbounded preceding)
select a from t order by a using >
select a from t order by a using operator(pg_catalog.>) nulls first
select a from t for update
select a from t for update of t nowait
select a from t for share skip locked
select a from t for no key update of t, u
select a from t for key share
select a from t, u for update of t for share of u
select from t
select
insert into t default values
insert into t values (1, default)
insert into t (a, b) values (1, 2), (3, 4) returning *
insert into t as x (a) select 1 on conflict do nothing
insert into t (a) values (1) on conflict (a) do update set b = excluded.b where t.b is null returning a, b as c
insert into t (a) values (1) on conflict (a collate "C" text_ops, lower(b)) where c > 1 do nothing
insert into t (a) values (1) on conflict on constraint k do nothing
insert into t (a[1], b.c) values (1, 2)
insert into t overriding system value values (1)
insert into t overriding user value select 1
insert into t (a) table u
insert into t (a) with x as (select 1) select * from x
with x as (select 1) insert into t select * from x returning (select 1)
update t set a = 1, b = default where c = 1
update t set (a, b) = (1, 2)
update t set (a, b) = row(1, default)
update t set (a, b) = (select 1, 2)
update t as x set a = x.a + 1 from u left join v on true where x.b = u.b returning x.*, u.c
update t set a[1] = 2, b.c = 3
update only t set a = 1
update t set a = 1 returning old.a, new.a
update t set a = 1 returning with (old as o, new as n) o.a, n.a
delete from t using u where t.a = u.a returning t.*
delete from only t
delete from t as x where x.a in (select 1)
merge into t using u on t.a = u.a when matched and u.b then update set b = 1 when matched then delete when not matched then insert (a) values (u.a)
merge into t using u on t.a = u.a when not matched by source then delete when not matched by target then do nothing returning merge_action(), t.*
merge into only t as x using (select 1 as a) u on x.a = u.a when not matched then insert default values
merge into t using u on t.a = u.a when not matched then insert (a) overriding system value values (1)
with d as (delete from t returning *) insert into u select * from d
select a, b from t where (a, b) > (1, 2) order by (a, b)
select a from t order by a desc nulls last, b asc nulls first
select * from t where a = any(values (1), (2))
select * from (values (1, 'a')) v(x, y)
select * from (select 1)
select * from unnest(array[1], array[2]) u(a, b)
select a.b.c.d from a.b.c
select "a""b" from "c""d"
select 1 as "1a", 2 as "a b", 3 as select
select a "end" from t
select x.y from x as "user"
select count(*) from t having true
select interval '1 day' * 2, date '2020-01-01' + 3
select * from t, json_table(j, 'lax $' as root passing 1 as one, x as two columns (n for ordinality, a int path '$.a' default 1 on empty error on error, e text exists path '$.e' false on error, f jsonb format json path '$.f' without wrapper keep quotes, nested path '$.b' as other columns (c text with wrapper, nested path '$.d' columns (d int)))) as k (p)
select * from t left join lateral json_table(t.j, '$[*]' columns (a int) empty on error) k on true
select x.* from t, xmltable(xmlnamespaces('http://x' as z, default 'http://y'), ('/r/' || t.p) passing t.d columns n for ordinality, a int path '@a' default 3 not null, b text) as x (p, q)
with recursive c (a, b) as (select 1, 2 union all select a, b from c) search depth first by a, b set "Seq" cycle a set again to 'Y' default 'N' using "Path" select * from c
with recursive c (a) as (select 1 union all select a from c) search breadth first by a set s select * from c
select xmlelement(name a, xmlattributes(x as b, y), z), xmlforest(x as f, y), xmlconcat(x, y), xmlpi(name p, 'q'), xmlroot(x, version no value, standalone yes), xmlserialize(content x as text), xmlserialize(document x as varchar(10)), xmlparse(content y), x is document, xmlexists('/a' passing x) from t
select count(*) from t as u tablesample bernoulli (10.5) repeatable (x) join s tablesample system (5) on true
