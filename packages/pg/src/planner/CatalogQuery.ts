/**
 * The one query that reads a shard's catalog, as one row: a json value, and whether transactions were
 * prepared there.
 *
 * `$1` lists the tables to read in full, as `schema.name`; NULL reads all. Works on PostgreSQL 15 and later: columns
 * that a version lacks are read through `to_jsonb`. Reads no user table.
 *
 * @since 0.1.0
 */

const ourSchemas = `n.nspname not in ('pg_catalog', 'information_schema', 'shardlayer')
  and n.nspname !~ '^pg_(toast|temp)'`

/** User functions that the object (a row of `pg_depend`) calls, directly or as an operator's function. */
const callees = (catalog: string, object: string): string => `(
  select coalesce(json_agg(distinct fn.nspname || '.' || f.proname), '[]'::json)
  from pg_depend d
  left join pg_operator o on d.refclassid = 'pg_operator'::regclass and o.oid = d.refobjid
  join pg_proc f on f.oid = case when d.refclassid = 'pg_proc'::regclass then d.refobjid else o.oprcode end
  join pg_namespace fn on fn.oid = f.pronamespace
  where d.classid = '${catalog}'::regclass and d.objid = ${object} and f.oid >= 16384)`

/**
 * From PostgreSQL 17 on, naming the table takes a lock on it, and would wait for whoever changes the schema. Only the
 * expressions of generated columns refer to columns, and need the table.
 */
const expression = "pg_get_expr(ad.adbin, case when a.attgenerated <> '' then ad.adrelid else 0 end)"

const schemaName = (oid: string): string => `(select sn.nspname from pg_namespace sn where sn.oid = ${oid})`

/**
 * A collation, `co`. A user's may bear the name of a builtin one, which is known for its order: its schema tells them
 * apart. What defines it stands in columns that have changed with the versions.
 */
const collation = `json_build_object(
  'schema', ${schemaName("nullif(co.collnamespace, 'pg_catalog'::regnamespace)")}, 'name', co.collname,
  'deterministic', co.collisdeterministic,
  'definition', (
    select concat_ws(' ', x.j->>'collprovider', x.j->>'collcollate', x.j->>'collctype',
      coalesce(x.j->>'colllocale', x.j->>'colliculocale'), x.j->>'collicurules', x.j->>'collversion')
    from (select to_jsonb(co) as j) x))`

const columns = `(
  select coalesce(json_agg(json_build_object(
    'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'base', b.base,
    'modifier', case when a.atttypmod <> -1 then a.atttypmod else b.modifier end,
    'userType', case when a.atttypid >= 16384 then (
      select en.nspname || '.' || e.typname from pg_type e join pg_namespace en on en.oid = e.typnamespace
      where e.oid = case when t.typcategory = 'A' and t.typelem <> 0 then t.typelem else t.oid end) end,
    'collation', case when co.oid is not null then ${collation} end,
    'notNull', a.attnotnull or t.typnotnull,
    'default', coalesce(${expression}, case when a.attidentity = '' then t.typdefault end),
    'sequence', a.attidentity <> '' or coalesce(${expression} ~ '\\mnextval\\(', false),
    'identity', a.attidentity, 'generated', a.attgenerated) order by a.attnum), '[]'::json)
  from pg_attribute a
  join pg_type t on t.oid = a.atttypid
  join bases b on b.oid = a.atttypid
  left join pg_collation co on co.oid = a.attcollation
  left join pg_attrdef ad on ad.adrelid = a.attrelid and ad.adnum = a.attnum
  where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)`

/** Not a partition's share of its parent's index. */
const isOwnIndex = "not exists (select from pg_inherits ih where ih.inhrelid = i.indexrelid)"

const indexes = `(
  select coalesce(json_agg(json_build_object(
    'name', ic.relname, 'unique', i.indisunique, 'primary', i.indisprimary, 'exclusion', i.indisexclusion,
    'partial', i.indpred is not null,
    'columns', (
      select json_agg(ka.attname order by k.place)
      from unnest(i.indkey::int2[]) with ordinality as k(attnum, place)
      left join pg_attribute ka on ka.attrelid = i.indrelid and ka.attnum = k.attnum and k.attnum > 0
      where k.place <= i.indnkeyatts),
    'constraint', (select con.conname from pg_constraint con where con.conindid = i.indexrelid and con.contype in ('p', 'u', 'x') limit 1)
  ) order by ic.relname), '[]'::json)
  from pg_index i join pg_class ic on ic.oid = i.indexrelid
  where i.indrelid = c.oid and (i.indisunique or i.indisexclusion) and ${isOwnIndex})`

const names = (owner: string, numbers: string): string => `(
  select json_agg(na.attname order by k.place) from unnest(${numbers}) with ordinality as k(attnum, place)
  join pg_attribute na on na.attrelid = ${owner} and na.attnum = k.attnum)`

/** Of a partitioned table, on either side, each partition has a copy: those are left out. */
const foreignKeys = `(
  select coalesce(json_agg(json_build_object(
    'name', con.conname, 'columns', ${names("con.conrelid", "con.conkey")}, 'schema', rn.nspname, 'table', rc.relname,
    'references', ${names("con.confrelid", "con.confkey")}, 'onUpdate', con.confupdtype, 'onDelete', con.confdeltype,
    'partial', false
  ) order by con.conname), '[]'::json)
  from pg_constraint con
  join pg_class rc on rc.oid = con.confrelid
  join pg_namespace rn on rn.oid = rc.relnamespace
  where con.conrelid = c.oid and con.contype = 'f' and con.conparentid = 0)`

const checks = `(
  select coalesce(json_agg(json_build_object('name', con.conname, 'definition', pg_get_constraintdef(con.oid)) order by con.conname), '[]'::json)
  from pg_constraint con where con.conrelid = c.oid and con.contype = 'c')`

const triggers = `(
  select coalesce(json_agg(json_build_object(
    'name', tg.tgname, 'function', fn.nspname || '.' || f.proname, 'row', tg.tgtype & 1 > 0,
    'insert', tg.tgtype & 4 > 0, 'delete', tg.tgtype & 8 > 0, 'update', tg.tgtype & 16 > 0) order by tg.tgname), '[]'::json)
  from pg_trigger tg
  join pg_proc f on f.oid = tg.tgfoid
  join pg_namespace fn on fn.oid = f.pronamespace
  where tg.tgrelid = c.oid and not tg.tgisinternal and tg.tgenabled <> 'D')`

const rules = `(
  select coalesce(json_agg(r.rulename order by r.rulename), '[]'::json)
  from pg_rewrite r where r.ev_class = c.oid and r.rulename <> '_RETURN')`

/** Printing an expression locks the tables it names, as with a view's query. */
const policies = `(
  select coalesce(json_agg(json_build_object(
    'name', pol.polname, 'permissive', pol.polpermissive, 'command', pol.polcmd,
    'roles', (
      select json_agg(case when r.oid = 0 then 'public' else pg_get_userbyid(r.oid)::text end order by r.place)
      from unnest(pol.polroles) with ordinality r(oid, place)),
    'using', case when k.free then pg_get_expr(pol.polqual, pol.polrelid) end,
    'check', case when k.free then pg_get_expr(pol.polwithcheck, pol.polrelid) end,
    'unread', not k.free, 'functions', ${callees("pg_policy", "pol.oid")}) order by pol.polname), '[]'::json)
  from pg_policy pol
  cross join lateral (select not exists (
    select from locked l where l.relation = c.oid or l.relation in (
      select d.refobjid from pg_depend d
      where d.classid = 'pg_policy'::regclass and d.objid = pol.oid and d.refclassid = 'pg_class'::regclass)) as free) k
  where pol.polrelid = c.oid)`

const security = `case when c.relrowsecurity then json_build_object(
  'forced', c.relforcerowsecurity, 'owner', pg_get_userbyid(c.relowner), 'login', current_user,
  'active', row_security_active(c.oid)) end`

const callers = `(
  select coalesce(json_agg(json_build_object('object', x.object, 'functions', x.functions) order by x.object), '[]'::json)
  from (
    select con.conname::text as object, ${callees("pg_constraint", "con.oid")} as functions
    from pg_constraint con where con.conrelid = c.oid and con.contype in ('c', 'x') and con.conparentid = 0
    union all
    select a.attname::text, ${callees("pg_attrdef", "ad.oid")}
    from pg_attrdef ad join pg_attribute a on a.attrelid = ad.adrelid and a.attnum = ad.adnum where ad.adrelid = c.oid
    union all
    select ic.relname::text, ${callees("pg_class", "i.indexrelid")}
    from pg_index i join pg_class ic on ic.oid = i.indexrelid where i.indrelid = c.oid and ${isOwnIndex}
  ) x where x.functions::text <> '[]')`

/**
 * Printing a view's query locks the tables it names, and would wait for whoever changes one of them; a view that would
 * wait is read without its query. (A change may come in between: the session's lock_timeout ends the wait.)
 */
const definition = `case when c.relkind = 'v' and not exists (
    select from locked l where l.relation = c.oid or l.relation in (
      select d.refobjid from pg_rewrite r
      join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid and d.refclassid = 'pg_class'::regclass
      where r.ev_class = c.oid)) then pg_get_viewdef(c.oid) end`

const uses = `(
  select coalesce(json_agg(distinct un.nspname || '.' || uc.relname), '[]'::json)
  from pg_rewrite r
  join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid and d.refclassid = 'pg_class'::regclass
  join pg_class uc on uc.oid = d.refobjid
  join pg_namespace un on un.oid = uc.relnamespace
  where c.relkind = 'v' and r.ev_class = c.oid and r.rulename = '_RETURN' and uc.oid <> c.oid)`

const parent = `(
  select hn.nspname || '.' || hc.relname from pg_inherits h
  join pg_class hc on hc.oid = h.inhparent
  join pg_namespace hn on hn.oid = hc.relnamespace
  where h.inhrelid = c.oid and c.relispartition and not h.inhdetachpending)`

/** Of a partition being detached, too. */
const parents = `(
  select coalesce(json_agg(hn.nspname || '.' || hc.relname order by h.inhseqno), '[]'::json) from pg_inherits h
  join pg_class hc on hc.oid = h.inhparent
  join pg_namespace hn on hn.oid = hc.relnamespace
  where h.inhrelid = c.oid)`

/** Views are few, and nothing but their queries says which tables they read. */
const isWanted = `$1::text[] is null or c.relkind = 'v' or n.nspname || '.' || c.relname = any($1::text[]) or exists (
    select from partitions t
    join pg_class tc on tc.oid = t.ancestor
    join pg_namespace tn on tn.oid = tc.relnamespace
    where t.oid = c.oid and tn.nspname || '.' || tc.relname = any($1::text[]))`

/** A bound has no names of columns: without the table, no lock is taken on it. */
const relations = `(
  select coalesce(json_agg(case when ${isWanted} then json_build_object(
    'schema', n.nspname, 'name', c.relname, 'kind', c.relkind, 'rowSecurity', c.relrowsecurity, 'detailed', true,
    'security', ${security}, 'policies', ${policies},
    'isPartition', c.relispartition, 'parent', ${parent},
    'parents', ${parents},
    'hasChildren', exists (select from pg_inherits h where h.inhparent = c.oid),
    'bound', case when c.relispartition then pg_get_expr(c.relpartbound, 0) end,
    'partitionKey', case when c.relkind = 'p' then pg_get_partkeydef(c.oid) end,
    'definition', ${definition},
    'options', case when c.relkind = 'v' then coalesce(to_json(c.reloptions), '[]'::json) else '[]'::json end,
    'uses', ${uses},
    'columns', ${columns}, 'indexes', ${indexes}, 'foreignKeys', ${foreignKeys}, 'checks', ${checks},
    'triggers', ${triggers}, 'rules', ${rules}, 'callers', ${callers})
  else json_build_object('schema', n.nspname, 'name', c.relname, 'kind', c.relkind, 'detailed', false,
    'isPartition', c.relispartition, 'parent', ${parent},
    'parents', ${parents},
    'foreignKeys', ${foreignKeys}) end), '[]'::json)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S', 'c') and ${ourSchemas})`

/**
 * Extensions of PostgreSQL's own distribution whose immutable functions compute, and do nothing else: they read no table.
 * (Of `tablefunc`, `dblink`, `xml2` and the like some run statements.)
 */
const knownExtensions = [
  ...[
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "earthdistance",
    "fuzzystrmatch",
    "hstore",
    "intarray",
    "isn",
    "ltree"
  ],
  ...["pg_trgm", "pgcrypto", "seg", "uuid-ossp"]
]

/** Overloads for a domain are others than those for the type under it. */
const anyDomain = (types: string): string =>
  `exists (select from unnest(${types}) x(type) join pg_type d on d.oid = x.type where d.typtype = 'd')`

const functions = `(
  select coalesce(json_agg(json_build_object('schema', x.nspname, 'name', x.proname, 'aggregate', x.aggregate, 'known', x.known, 'domains', x.domains)), '[]'::json)
  from (
    select n.nspname, p.proname, bool_or(p.prokind = 'a') as aggregate,
      bool_and(p.provolatile = 'i' and coalesce(e.extname = any('{${knownExtensions.join(",")}}'), false)) as known,
      bool_or(${anyDomain("p.proargtypes")}) as domains
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    left join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid
      and d.refclassid = 'pg_extension'::regclass and d.deptype = 'e'
    left join pg_extension e on e.oid = d.refobjid
    where p.oid >= 16384 group by 1, 2) x)`

const operators = `(
  select coalesce(json_agg(json_build_object(
    'schema', n.nspname, 'name', o.oprname, 'left', o.oprleft::int8, 'right', o.oprright::int8,
    'function', fn.nspname || '.' || f.proname, 'native', l.lanname in ('internal', 'c'),
    'strict', f.proisstrict, 'domains', ${anyDomain("f.proargtypes")})), '[]'::json)
  from pg_operator o
  join pg_namespace n on n.oid = o.oprnamespace
  join pg_proc f on f.oid = o.oprcode
  join pg_namespace fn on fn.oid = f.pronamespace
  join pg_language l on l.oid = f.prolang
  where o.oid >= 16384)`

const casts = `(
  select coalesce(json_agg(json_build_object(
    'source', format_type(k.castsource, null), 'target', format_type(k.casttarget, null),
    'function', fn.nspname || '.' || f.proname)), '[]'::json)
  from pg_cast k
  join pg_proc f on f.oid = k.castfunc
  join pg_namespace fn on fn.oid = f.pronamespace
  join pg_language l on l.oid = f.prolang
  where k.oid >= 16384 and l.lanname not in ('internal', 'c'))`

/** Types that a cast of a user's stands between and text: then a cast is not what the type's own output and input do. */
const recasts = `(
  select coalesce(json_agg(distinct (case k.castsource when 'text'::regtype then k.casttarget else k.castsource end)::int8), '[]'::json)
  from pg_cast k
  where k.oid >= 16384 and k.castfunc <> 0 and 'text'::regtype in (k.castsource, k.casttarget) and not exists (
    select from pg_depend d where d.classid = 'pg_cast'::regclass and d.objid = k.oid and d.deptype = 'e'))`

const collations = `(
  select coalesce(json_agg(json_build_object('collation', ${collation}, 'hidden', exists (
    select from pg_collation b where b.collname = co.collname and b.collnamespace = 'pg_catalog'::regnamespace))), '[]'::json)
  from pg_collation co where co.oid >= 16384)`

/**
 * A type of PostgreSQL's, or an enum, whose order or equality somebody has replaced: ORDER BY, GROUP BY and DISTINCT call
 * these functions, which no statement names.
 */
const orders = `(
  select coalesce(json_agg(json_build_object(
    'type', oc.opcintype::int8, 'name', format_type(oc.opcintype, null),
    'functions', (
      select coalesce(json_agg(distinct fn.nspname || '.' || f.proname), '[]'::json)
      from pg_amproc ap join pg_proc f on f.oid = ap.amproc join pg_namespace fn on fn.oid = f.pronamespace
      join pg_language l on l.oid = f.prolang
      where ap.amprocfamily = oc.opcfamily and l.lanname not in ('internal', 'c')))), '[]'::json)
  from pg_opclass oc join pg_am am on am.oid = oc.opcmethod
  where oc.oid >= 16384 and oc.opcdefault and am.amname in ('btree', 'hash'))`

const types = `(
  select coalesce(json_agg(json_build_object(
    'schema', n.nspname, 'name', t.typname, 'oid', t.oid::int8, 'kind', t.typtype, 'base', b.base,
    'array', case when t.typarray <> 0 then (
      select json_build_object('schema', an.nspname, 'name', a.typname, 'oid', a.oid::int8)
      from pg_type a join pg_namespace an on an.oid = a.typnamespace where a.oid = t.typarray) end,
    'collatable', t.typcollation <> 0, 'notNull', t.typnotnull,
    'collation', (
      select ${collation} from pg_collation co where co.oid = t.typcollation and co.collname <> 'default'),
    'definition', case t.typtype
      when 'e' then (select string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder) from pg_enum e where e.enumtypid = t.oid)
      when 'd' then format_type(t.typbasetype, t.typtypmod) || coalesce((
        select string_agg(' ' || pg_get_constraintdef(con.oid), '' order by con.conname) from pg_constraint con where con.contypid = t.oid), '')
      else '' end,
    'functions', (
      select coalesce(json_agg(fx), '[]'::json) from pg_constraint con, json_array_elements_text(${callees(
        "pg_constraint",
        "con.oid"
      )}) fx where con.contypid = t.oid))), '[]'::json)
  from pg_type t
  join pg_namespace n on n.oid = t.typnamespace
  join bases b on b.oid = t.oid
  where t.oid >= 16384 and t.typcategory <> 'A' and ${ourSchemas})`

const builtins = `(
  select json_object_agg(x.proname, x.volatility || case when x.aggregate then 'a' else '' end)
  from (
    select p.proname, bool_or(p.prokind = 'a') as aggregate,
      case when bool_or(p.provolatile = 'v') then 'v' when bool_or(p.provolatile = 's') then 's' else 'i' end as volatility
    from pg_proc p where p.pronamespace = 'pg_catalog'::regnamespace and p.oid < 16384 group by 1) x)`

const system = `(
  select json_agg(n.nspname || '.' || c.relname)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname in ('pg_catalog', 'information_schema') and c.relkind in ('r', 'v', 'm'))`

const indexTables = `(
  select json_object_agg(n.nspname || '.' || c.relname, tn.nspname || '.' || t.relname)
  from pg_index i
  join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
  join pg_class t on t.oid = i.indrelid join pg_namespace tn on tn.oid = t.relnamespace
  where ${ourSchemas})`

const settings = `(
  select json_object_agg(s.name, s.setting) from (
    select name, setting from pg_settings
    where name in ('lc_monetary', 'lc_numeric', 'lc_time', 'default_text_search_config', 'TimeZone', 'DateStyle', 'IntervalStyle')
    union all
    select 'search_path', array_to_json(current_schemas(false))::text
    union all
    select 'locale', concat_ws(' ', d.j->>'datlocprovider', d.j->>'datcollate', d.j->>'datctype',
      coalesce(d.j->>'datlocale', d.j->>'daticulocale'), d.j->>'datcollversion')
    from (select to_jsonb(db) as j from pg_database db where db.datname = current_database()) d) s)`

/** @since 0.1.0 @category constants */
export const catalogQuery = `with recursive bases(oid, base, modifier, depth) as (
  select t.oid, t.oid::int8, -1, 0 from pg_type t where t.typtype <> 'd'
  union all
  select t.oid, b.base, case when t.typtypmod <> -1 then t.typtypmod else b.modifier end, b.depth + 1
  from pg_type t join bases b on b.oid = t.typbasetype where t.typtype = 'd'),
partitions(oid, ancestor) as (
  select h.inhrelid, h.inhparent from pg_inherits h join pg_class c on c.oid = h.inhrelid
  where c.relispartition and c.relkind in ('r', 'p', 'f') and not h.inhdetachpending
  union all
  select h.inhrelid, t.ancestor
  from pg_inherits h join partitions t on t.oid = h.inhparent where not h.inhdetachpending),
locked(relation) as materialized (
  select l.relation from pg_locks l
  where l.locktype = 'relation' and l.mode = 'AccessExclusiveLock'
    and l.database = (select db.oid from pg_database db where db.datname = current_database()))
select json_build_object(
  'version', current_setting('server_version_num')::int, 'encoding', getdatabaseencoding(), 'settings', ${settings},
  'relations', ${relations}, 'functions', ${functions}, 'operators', ${operators}, 'casts', ${casts}, 'types', ${types},
  'collations', ${collations}, 'orders', ${orders}, 'recasts', ${recasts},
  'builtins', ${builtins}, 'system', ${system}, 'indexTables', ${indexTables})::text as catalog,
  exists (select from pg_prepared_xacts p where p.database = current_database())::text as unsettled`
