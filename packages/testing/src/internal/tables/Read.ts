/**
 * Reads the tables of a topology from a database that has them.
 *
 * Enters: a session on a database that the schema, and rows if there are some, were made in; nobody else uses it. Leaves: `Tables`.
 * Holds: the values of a column are such as the server itself took, types, domains and checks of that column considered. Checks over
 * several columns are tried with values that go together; constraints that are no column's (exclusion, triggers) are not known.
 */
import type * as TopologyTable from "@shardlayer/core/topology/Table"
import type { Topology } from "@shardlayer/core/topology/Topology"
import * as Effect from "effect/Effect"
import { escapeIdentifier, escapeLiteral } from "pg"
import type { Session } from "../conformance/Session.js"
import type * as Kind from "../fuzz/Kind.js"
import * as Random from "../fuzz/Random.js"
import type * as Schema from "../fuzz/Schema.js"
import * as Candidates from "./Candidates.js"
import type * as Tables from "./Tables.js"

export const read = (session: Session, topology: Topology, values: Hints): Effect.Effect<Tables.Tables> =>
  Effect.gen(function* () {
    const columns = yield* rowsOf<ColumnRow>(session, columnsQuery)
    const constraints = yield* rowsOf<ConstraintRow>(session, constraintsQuery)
    const uniques = yield* rowsOf<UniqueRow>(session, uniquesQuery)
    const own = enumOf(columns)
    const collation = commonest(columns.flatMap(({ collation: one }) => (one === null ? [] : [one])))
    yield* session.run(fitsFunction)
    const listed = Object.values(topology.tables).filter(({ schema }) => schema === "public")
    const facts: Facts = { hints: values, columns, constraints, uniques, enum: own, collation }
    const tables: Array<Tables.Table> = []
    for (const table of listed) {
      if (columns.some(({ relation }) => relation === table.name)) {
        tables.push(yield* tableOf(session, topology, facts, table))
      }
    }
    const views = [...new Set(columns.filter(({ kind }) => kind === "v").map(({ relation }) => relation))]
    return {
      tables,
      views: views.map((name) => ({
        name,
        columns: columns
          .filter(({ relation }) => relation === name)
          .map((row) => ({ ...plain(row), kind: kindOf(facts, row) }))
      })),
      enum: own
    }
  })

/** Texts to try, by `table.column`. */
export type Hints = { readonly [column: string]: ReadonlyArray<string> }

interface Facts {
  readonly hints: Hints
  readonly columns: ReadonlyArray<ColumnRow>
  readonly constraints: ReadonlyArray<ConstraintRow>
  readonly uniques: ReadonlyArray<UniqueRow>
  readonly enum: Tables.Tables["enum"]
  readonly collation: string | undefined
}

interface ColumnRow {
  readonly relation: string
  readonly kind: string
  readonly name: string
  /** Below a domain. */
  readonly type: string
  readonly typeName: string
  readonly notNull: boolean
  readonly identity: string
  readonly generated: string
  readonly default: string | null
  readonly collation: string | null
  readonly labels: ReadonlyArray<string> | null
  readonly domainChecks: string | null
}

const columnsQuery = `
select c.relname as relation, c.relkind as kind, a.attname as name, b.typname as type, format_type(b.oid, null) as "typeName",
  a.attnotnull or d.required as "notNull", a.attidentity as identity, a.attgenerated as generated,
  pg_get_expr(f.adbin, f.adrelid) as default,
  (select case when l.collisdeterministic then l.collname else '' end from pg_collation l where l.oid = a.attcollation) as collation,
  (select json_agg(e.enumlabel order by e.enumsortorder) from pg_enum e where e.enumtypid = b.oid) as labels,
  d.checks as "domainChecks"
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef f on f.adrelid = c.oid and f.adnum = a.attnum
cross join lateral (
  with recursive chain as (
    select t.oid, t.typtype, t.typbasetype, t.typnotnull from pg_type t where t.oid = a.atttypid
    union all
    select t.oid, t.typtype, t.typbasetype, t.typnotnull from chain join pg_type t on t.oid = chain.typbasetype
    where chain.typtype = 'd'
  )
  select max(oid) filter (where typtype <> 'd') as base, bool_or(typtype = 'd' and typnotnull) as required,
    (select string_agg(pg_get_constraintdef(k.oid), ' ') from pg_constraint k where k.contypid in (select oid from chain)) as checks
  from chain
) d
join pg_type b on b.oid = d.base
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v')
order by c.relname, a.attnum`

interface ConstraintRow {
  readonly relation: string
  readonly type: "c" | "f"
  readonly columns: ReadonlyArray<string>
  readonly target: string | null
  readonly to: ReadonlyArray<string> | null
  readonly text: string
}

const constraintsQuery = `
select c.relname as relation, k.contype as type, t.relname as target, pg_get_constraintdef(k.oid) as text,
  (select json_agg(a.attname order by u.place) from unnest(k.conkey) with ordinality u(num, place)
    join pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.num) as columns,
  (select json_agg(a.attname order by u.place) from unnest(k.confkey) with ordinality u(num, place)
    join pg_attribute a on a.attrelid = k.confrelid and a.attnum = u.num) as to
from pg_constraint k join pg_class c on c.oid = k.conrelid left join pg_class t on t.oid = k.confrelid
where c.relnamespace = 'public'::regnamespace and k.contype in ('c', 'f') and k.conkey is not null
order by c.relname, k.conname`

interface UniqueRow {
  readonly relation: string
  readonly columns: ReadonlyArray<string>
  readonly isPrimary: boolean
  readonly isWhole: boolean
}

const uniquesQuery = `
select c.relname as relation, i.indisprimary as "isPrimary", i.indpred is null as "isWhole",
  (select json_agg(a.attname order by u.place) from unnest(i.indkey::int2[]) with ordinality u(num, place)
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = u.num where u.place <= i.indnkeyatts) as columns
from pg_index i join pg_class c on c.oid = i.indrelid
where c.relnamespace = 'public'::regnamespace and i.indisunique and i.indexprs is null
order by c.relname, i.indisprimary desc, i.indexrelid`

const rowsOf = <Row>(session: Session, sql: string): Effect.Effect<ReadonlyArray<Row>> =>
  Effect.map(
    session.run(`select coalesce(json_agg(one), '[]') from (${sql}) one`),
    (rows) => JSON.parse(rows[0]?.[0] ?? "[]") as ReadonlyArray<Row>
  )

const commonest = <A>(all: ReadonlyArray<A>): A | undefined => {
  const counts = new Map<A, number>()
  for (const one of all) counts.set(one, (counts.get(one) ?? 0) + 1)
  return [...counts].toSorted(([, one], [, other]) => other - one)[0]?.[0]
}

const enumOf = (columns: ReadonlyArray<ColumnRow>): Tables.Tables["enum"] => {
  const type = commonest(columns.flatMap(({ labels, typeName }) => (labels === null ? [] : [typeName])))
  const labels = columns.find(({ typeName }) => typeName === type)?.labels
  return type === undefined || labels === null || labels === undefined ? undefined : { type, labels }
}

const kinds: { readonly [type: string]: Kind.Kind } = {
  int2: "int2",
  int4: "int4",
  int8: "int8",
  numeric: "numeric",
  float8: "float8",
  bool: "bool",
  text: "text",
  varchar: "varchar",
  bpchar: "char",
  date: "date",
  timestamp: "timestamp",
  timestamptz: "timestamptz",
  uuid: "uuid",
  bytea: "bytea",
  _int4: "ints",
  _text: "texts"
}

/** Text of several collations does not compare: of all but the commonest there is no kind. */
const kindOf = (facts: Facts, { collation, type, typeName }: ColumnRow): Kind.Kind | undefined => {
  if (typeName === facts.enum?.type) return "mood"
  return collation !== null && (collation !== facts.collation || collation === "") ? undefined : kinds[type]
}

/** A default that is the same whenever it is asked for. */
const isConstant = (text: string): boolean =>
  /^\(?('([^']|'')*'|-?[\d.]+|true|false|NULL)(::[\w ."()[\]]+)?\)?$/i.test(text)

const plain = ({ name, notNull }: ColumnRow): Tables.Column => ({
  name,
  kind: undefined,
  nullable: !notNull,
  given: "plain",
  values: [],
  openMax: 0
})

const tableOf = (
  session: Session,
  topology: Topology,
  facts: Facts,
  table: TopologyTable.Table
): Effect.Effect<Tables.Table> =>
  Effect.gen(function* () {
    const { name } = table
    const own = facts.columns.filter(({ relation }) => relation === name)
    const checks = facts.constraints.filter(({ relation, type }) => relation === name && type === "c")
    const rows = yield* session.run(
      `select ${own.map((row) => `${escapeIdentifier(row.name)}::text`).join(", ")} from ${escapeIdentifier(name)} limit ${rowsMax}`
    )
    yield* probeOf(session, name, own)
    const columns: Array<Tables.Column> = []
    for (const [place, row] of own.entries()) {
      const there = rows.flatMap((one) => one[place] ?? [])
      columns.push(yield* columnOf(session, facts, row, checks, there))
    }
    const tied: Array<Tables.Tied> = []
    for (const group of tiedColumns(checks)) tied.push(yield* tiedOf(session, columns, group))
    const uniques = facts.uniques.filter(({ relation }) => relation === name)
    const isFilled = (column: string) => columns.some((one) => one.name === column && !one.nullable)
    const lacking = columns.find(
      ({ given, nullable, values }) => given !== "computed" && given !== "constant" && !nullable && values.length === 0
    )
    return {
      name,
      columns,
      placement: placementOf(topology, table),
      primaryKey: uniques.find(({ isPrimary }) => isPrimary)?.columns ?? [],
      uniques: uniques.map((one) => one.columns),
      unique: uniques.find((one) => one.isWhole && one.columns.every(isFilled))?.columns ?? [],
      references: facts.constraints.flatMap(({ columns: from, relation, target, to, type }) =>
        relation === name && type === "f" && target !== null && to !== null
          ? [{ columns: from, table: target, to }]
          : []
      ),
      tied,
      rows,
      unwritable: lacking === undefined ? undefined : `no value is known for its column ${lacking.name}`
    }
  })

/** Of the rows that there are; more make no better statements. */
const rowsMax = 200

const placementOf = (topology: Topology, table: TopologyTable.Table): Schema.Placement => {
  switch (table._tag) {
    case "Sharded":
      return { _tag: "Sharded", keyspace: table.keyspace, key: table.columns }
    case "Reference":
      return { _tag: "Reference" }
    case "Single":
      return { _tag: "Single", shard: topology.shards.indexOf(table.shard) }
  }
}

/** A table of the same columns and checks that any one value can be tried with. */
const probeOf = (session: Session, name: string, columns: ReadonlyArray<ColumnRow>): Effect.Effect<void> => {
  const loose = columns.map((row) => `alter column ${escapeIdentifier(row.name)} drop not null`)
  return Effect.asVoid(
    session.run(
      `drop table if exists pg_temp.probe; create temp table probe (like public.${escapeIdentifier(name)} including constraints);
       alter table pg_temp.probe ${loose.join(", ")}`
    )
  )
}

/** The values as the columns give them back, or NULL where they do not take them. */
const fitsFunction = `create function pg_temp.fits(columns text[], given text[]) returns text[] language plpgsql as $$
declare result text[];
begin
  execute format('insert into pg_temp.probe (%s) values (%s) returning array[%s]',
    (select string_agg(quote_ident(c), ', ') from unnest(columns) c),
    (select string_agg(quote_nullable(v), ', ' order by n) from unnest(given) with ordinality u(v, n)),
    (select string_agg(quote_ident(c) || '::text', ', ') from unnest(columns) c)) into result;
  return result;
exception when others then return null;
end $$`

const array = (all: Schema.Row): string =>
  `array[${all.map((one) => (one === null ? "null" : escapeLiteral(one))).join(", ")}]::text[]`

const fitting = (
  session: Session,
  columns: ReadonlyArray<string>,
  all: ReadonlyArray<Schema.Row>
): Effect.Effect<ReadonlyArray<Schema.Row>> => {
  if (all.length === 0) return Effect.succeed([])
  const each = all.map((one, place) => `(${place}, pg_temp.fits(${array(columns)}, ${array(one)}))`)
  return Effect.map(
    session.run(
      `select to_json(found) from (values ${each.join(", ")}) tried(place, found) where found is not null order by place`
    ),
    (rows) => rows.map(([text]) => JSON.parse(text ?? "[]") as Schema.Row)
  )
}

const columnOf = (
  session: Session,
  facts: Facts,
  row: ColumnRow,
  checks: ReadonlyArray<ConstraintRow>,
  there: ReadonlyArray<string>
): Effect.Effect<Tables.Column> =>
  Effect.gen(function* () {
    const kind = kindOf(facts, row)
    const found = { ...plain(row), kind, given: givenOf(row) }
    if (found.given === "computed") return found
    const known = checks.filter(({ columns }) => columns.includes(row.name)).map(({ text }) => text)
    const mentioned = Candidates.ofChecks([...known, row.domainChecks ?? ""])
    const hints = facts.hints[`${row.relation}.${row.name}`] ?? []
    const takenOf = (all: ReadonlyArray<string>) =>
      Effect.map(
        fitting(
          session,
          [row.name],
          [...new Set(all)].map((one) => [one])
        ),
        (taken) => taken.flatMap(([one]) => one ?? [])
      )
    const values = yield* takenOf([
      ...hints,
      ...there.slice(0, 24),
      ...mentioned,
      ...Candidates.ofType(row.type, row.labels)
    ])
    const samples = samplesOfOpen.flatMap((nth) => Candidates.fresh(row.type, nth))
    const open = (yield* takenOf(samples)).length
    // Narrow types take a part of them.
    const openMax = open < samplesOfOpen.length - 2 ? 0 : (samplesOfOpen[open - 1] ?? 0)
    return { ...found, openMax, values: [...new Set(values.length > 0 ? values : samples.slice(0, open))] }
  })

const samplesOfOpen = [1, 7, 99, 4_999, Candidates.freshMax]

const givenOf = ({ default: preset, generated, identity }: ColumnRow): Tables.Column["given"] => {
  if (generated !== "") return "computed"
  if (identity === "a") return "overridden"
  return preset !== null && isConstant(preset) ? "constant" : "plain"
}

/** Columns of one check, or of checks that share some, belong together. */
const tiedColumns = (checks: ReadonlyArray<ConstraintRow>): ReadonlyArray<ReadonlyArray<string>> =>
  checks
    .filter(({ columns }) => columns.length > 1)
    .reduce<ReadonlyArray<ReadonlyArray<string>>>((groups, { columns }) => {
      const touching = groups.filter((group) => group.some((one) => columns.includes(one)))
      const joined = [...new Set([...touching.flat(), ...columns])]
      return [...groups.filter((group) => !touching.includes(group)), joined]
    }, [])

const tiedOf = (
  session: Session,
  columns: ReadonlyArray<Tables.Column>,
  names: ReadonlyArray<string>
): Effect.Effect<Tables.Tied> => {
  const given = names.flatMap((name) => columns.filter((one) => one.name === name && one.given !== "computed"))
  const random = Random.make(names.length)
  const tries = Array.from({ length: 300 }, () =>
    given.map(({ nullable, values }) =>
      values.length === 0 || (nullable && random.chance(0.1)) ? null : random.pick(values)
    )
  )
  const own = given.map(({ name }) => name)
  const distinct = [...new Map(tries.map((one) => [JSON.stringify(one), one])).values()]
  const isWhole = (tuple: Schema.Row) => tuple.every((one, place) => one !== null || given[place]?.nullable === true)
  return Effect.map(fitting(session, own, distinct), (tuples) => ({
    columns: own,
    tuples: tuples.filter(isWhole).slice(0, 60)
  }))
}
