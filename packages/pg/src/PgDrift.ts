/**
 * In what the shards' schemas differ: everything that statements can see, object by object.
 *
 * Enters: the router. Leaves: the differences, sorted; none where the shards are alike. Holds: names and definitions are as
 * PostgreSQL prints them, oids left out; single and unlisted tables live on one shard and are not compared, nor is anything
 * of theirs. Knowingly approximates: an object is compared by its printed definition, so two ways to write the same are
 * told as different. That a column is NOT NULL is told of the column, not of its constraint (which PostgreSQL 18 has).
 *
 * @since 0.1.0
 */
import type { ShardError } from "@shardlayer/core/ShardError"
import { isShardError } from "@shardlayer/core/ShardError"
import { ShardRouter } from "@shardlayer/core/ShardRouter"
import type { ShardId } from "@shardlayer/core/topology/ShardId"
import * as Table from "@shardlayer/core/topology/Table"
import * as Effect from "effect/Effect"

/** @since 0.1.0 @category models */
export type Kind =
  | "table"
  | "column"
  | "index"
  | "constraint"
  | "trigger"
  | "rule"
  | "view"
  | "sequence"
  | "enum"
  | "domain"
  | "function"
  | "extension"

/**
 * One object that is not the same on all shards.
 *
 * @since 0.1.0
 * @category models
 */
export interface Difference {
  readonly kind: Kind
  /** Of a column, constraint and trigger: behind its table's. */
  readonly name: string
  /** Each shard's definition; undefined where it has none. */
  readonly definitions: ReadonlyMap<ShardId, string | undefined>
}

/**
 * Reads every shard's catalog and compares them. Not one moment over all shards: while the schema changes, a change may be
 * found on some of them.
 *
 * @example
 * ```ts
 * import { PgDrift } from "@shardlayer/pg"
 * import { Console, Effect } from "effect"
 *
 * const program = Effect.flatMap(PgDrift.find, (differences) => Console.log(PgDrift.format(differences)))
 * ```
 *
 * @since 0.1.0
 * @category functions
 */
export const find: Effect.Effect<ReadonlyArray<Difference>, ShardError, ShardRouter> = Effect.gen(function* () {
  const router = yield* ShardRouter
  const { tables } = yield* router.topology
  const everywhere = Object.values(tables)
    .filter(({ _tag }) => _tag !== "Single")
    .map(Table.qualifiedName)
  const statement = router.client.unsafe<Row>(objectsSql, [everywhere]).withoutTransform
  const found = yield* Effect.mapError(router.onAllShards(statement), (error) => {
    const cause = "cause" in error ? error.cause : undefined
    if (isShardError(error)) return error
    if (isShardError(cause)) return cause
    throw new Error("the catalogs could not be read", { cause: error })
  })
  return differences(found)
})

interface Row {
  readonly kind: Kind
  readonly name: string
  readonly definition: string
}

const differences = (found: ReadonlyMap<ShardId, ReadonlyArray<Row>>): ReadonlyArray<Difference> => {
  const objects = new Map<string, { readonly kind: Kind; readonly name: string; readonly on: Map<ShardId, string> }>()
  for (const [shard, rows] of found) {
    for (const { definition, kind, name } of rows) {
      const key = `${kind} ${name}`
      const object = objects.get(key) ?? { kind, name, on: new Map() }
      objects.set(key, object)
      object.on.set(shard, definition)
    }
  }
  const shards = [...found.keys()]
  return [...objects.entries()]
    .filter(([, { on }]) => on.size < shards.length || new Set(on.values()).size > 1)
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([, { kind, name, on }]) => ({ kind, name, definitions: new Map(shards.map((id) => [id, on.get(id)])) }))
}

/**
 * For people: one paragraph a difference, shards with the same definition in one line.
 *
 * @since 0.1.0
 * @category functions
 */
export const format = (found: ReadonlyArray<Difference>): string =>
  found.length === 0
    ? "The shards' schemas are alike."
    : found.map(({ definitions, kind, name }) => [`${kind} ${name}`, ...linesOf(definitions)].join("\n")).join("\n\n")

const linesOf = (definitions: Difference["definitions"]): ReadonlyArray<string> => {
  const groups = new Map<string | undefined, Array<ShardId>>()
  for (const [shard, definition] of definitions) groups.set(definition, [...(groups.get(definition) ?? []), shard])
  return [...groups].map(([definition, shards]) => `  ${shards.join(", ")}: ${definition ?? "none"}`)
}

/** Not the system's, not ours; what an extension brought counts as the extension. */
const own = (catalog: string, oid: string) => `n.nspname not in ('pg_catalog', 'information_schema', 'shardlayer')
  and n.nspname !~ '^pg_(toast|temp)' and not exists (
    select from pg_catalog.pg_depend x where x.classid = 'pg_catalog.${catalog}'::pg_catalog.regclass and x.objid = ${oid} and x.deptype = 'e')`

/** `$1`: the listed tables, as `schema.name`. Partitions go with the table at the top. */
const objectsSql = `with tables as (
  select c.oid, n.nspname || '.' || c.relname as name, c.relkind, c.relrowsecurity, c.relpartbound, c.reloptions
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  left join lateral (
    select rn.nspname || '.' || r.relname as name from pg_catalog.pg_partition_root(c.oid) root
    join pg_catalog.pg_class r on r.oid = root join pg_catalog.pg_namespace rn on rn.oid = r.relnamespace) top on c.relispartition
  where c.relkind in ('r', 'p') and coalesce(top.name, n.nspname || '.' || c.relname) = any($1::text[])
)
select 'table' as kind, name, concat_ws(' ',
    case relkind when 'p' then 'partitioned by ' || pg_catalog.pg_get_partkeydef(oid) else 'table' end,
    pg_catalog.pg_get_expr(relpartbound, oid), case when relrowsecurity then 'row security' end, reloptions::text) as definition
  from tables
union all
select 'column', t.name || '.' || a.attname, concat_ws(' ',
    'place ' || row_number() over (partition by a.attrelid order by a.attnum),
    pg_catalog.format_type(a.atttypid, a.atttypmod),
    case when a.attnotnull then 'not null' end,
    case when a.attidentity <> '' then 'identity ' || a.attidentity::text end,
    case when a.attgenerated <> '' then 'generated' when d.oid is not null then 'default' end,
    pg_catalog.pg_get_expr(d.adbin, d.adrelid),
    'collate ' || nullif(co.collname, 'default'))
  from tables t join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
  left join pg_catalog.pg_attrdef d on d.adrelid = t.oid and d.adnum = a.attnum
  left join pg_catalog.pg_collation co on co.oid = a.attcollation
union all
select 'index', n.nspname || '.' || c.relname,
    pg_catalog.pg_get_indexdef(c.oid) || case when i.indisvalid then '' else ' (not valid)' end
  from tables t join pg_catalog.pg_index i on i.indrelid = t.oid
  join pg_catalog.pg_class c on c.oid = i.indexrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace
union all
select 'constraint', t.name || '.' || con.conname,
    pg_catalog.pg_get_constraintdef(con.oid) || case when con.convalidated then '' else ' (not validated)' end
  from tables t join pg_catalog.pg_constraint con on con.conrelid = t.oid and con.contype <> 'n'
union all
select 'trigger', t.name || '.' || g.tgname, pg_catalog.pg_get_triggerdef(g.oid) || ' (' || g.tgenabled::text || ')'
  from tables t join pg_catalog.pg_trigger g on g.tgrelid = t.oid and not g.tgisinternal
union all
select 'rule', t.name || '.' || r.rulename, pg_catalog.pg_get_ruledef(r.oid)
  from tables t join pg_catalog.pg_rewrite r on r.ev_class = t.oid
union all
select 'view', n.nspname || '.' || c.relname, pg_catalog.pg_get_viewdef(c.oid)
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind = 'v' and ${own("pg_class", "c.oid")} and not exists (
    select from pg_catalog.pg_rewrite r
    join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and d.objid = r.oid
      and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
    join pg_catalog.pg_class u on u.oid = d.refobjid and u.relkind in ('r', 'p') and u.oid >= 16384
    where r.ev_class = c.oid and u.oid not in (select oid from tables))
union all
select 'sequence', n.nspname || '.' || c.relname,
    concat_ws(' ', s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle)
  from pg_catalog.pg_sequence s join pg_catalog.pg_class c on c.oid = s.seqrelid
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where ${own("pg_class", "c.oid")} and not exists (
    select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid
      and d.deptype in ('a', 'i') and d.refobjid not in (select oid from tables))
union all
select 'enum', n.nspname || '.' || t.typname,
    (select string_agg(pg_catalog.quote_literal(e.enumlabel), ', ' order by e.enumsortorder) from pg_catalog.pg_enum e where e.enumtypid = t.oid)
  from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
  where t.typtype = 'e' and ${own("pg_type", "t.oid")}
union all
select 'domain', n.nspname || '.' || t.typname, concat_ws(' ', pg_catalog.format_type(t.typbasetype, t.typtypmod),
    case when t.typnotnull then 'not null' end, t.typdefault,
    (select string_agg(pg_catalog.pg_get_constraintdef(con.oid), ' ' order by con.conname) from pg_catalog.pg_constraint con where con.contypid = t.oid))
  from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
  where t.typtype = 'd' and ${own("pg_type", "t.oid")}
union all
select 'function', n.nspname || '.' || p.proname || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')',
    pg_catalog.pg_get_functiondef(p.oid)
  from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  where p.prokind in ('f', 'p') and ${own("pg_proc", "p.oid")}
union all
select 'extension', e.extname, 'version ' || e.extversion from pg_catalog.pg_extension e`
