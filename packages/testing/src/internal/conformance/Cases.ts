/**
 * Sets of SQL cases on disk: statements, how each may be compared, and how the tables are to be sharded.
 *
 * Enters: a folder with sets below it (a set is a folder with `set.json`). Leaves: the sets by id, in order, each with
 * every layout (`shards.json`, `shards.NAME.json`) it comes with. Holds: what the files say, nothing run yet.
 */
import * as Schema from "effect/Schema"
import { execFileSync } from "node:child_process"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join, relative, sep } from "node:path"

const Kind = Schema.Literal("select", "insert", "update", "delete", "merge", "truncate", "ddl", "tx", "set")

export type Kind = typeof Kind.Type

const Compare = Schema.Literal("seq", "ties", "set", "approx-seq", "approx-set", "scale-set", "cmd", "error", "nondet")

/** What SQL promises of a statement's answer, and so what may be compared. */
export type Compare = typeof Compare.Type

const Meta = Schema.Struct({
  name: Schema.String,
  kind: Kind,
  cmp: Compare,
  tables: Schema.optionalWith(Schema.Array(Schema.String), { default: () => [] })
})

const SetFile = Schema.Struct({
  base: Schema.optionalWith(Schema.NullOr(Schema.String), { default: () => null }),
  session: Schema.Array(Schema.String)
})

const ShardsFile = Schema.Struct({
  distributed: Schema.Record({
    key: Schema.String,
    value: Schema.Struct({ key: Schema.String, type: Schema.String })
  }),
  reference: Schema.Array(Schema.String),
  local: Schema.Array(Schema.String)
})

export interface Case {
  readonly name: string
  readonly kind: Kind
  readonly compare: Compare
  readonly sql: string
  /** The tables it names, as far as whoever recorded it could tell. */
  readonly tables: ReadonlyArray<string>
}

/** One way to shard a set's tables; `name` is empty for the first one. */
export interface Layout extends Schema.Schema.Type<typeof ShardsFile> {
  readonly name: string
}

export interface CaseSet {
  /** The folder's path below the cases' folder. */
  readonly id: string
  /** Statements for each new session. */
  readonly session: ReadonlyArray<string>
  /** SQL that several sets share, to be loaded first. */
  readonly base: { readonly id: string; readonly sql: () => string } | undefined
  readonly setup: () => string
  readonly layouts: ReadonlyArray<Layout>
  readonly cases: ReadonlyArray<Case>
}

/** The sets whose id starts with one of `wanted`; all without any. */
export const load = (folder: string, wanted: ReadonlyArray<string>): ReadonlyArray<CaseSet> =>
  setFolders(folder)
    .map((path) => ({ path, id: relative(folder, path).split(sep).join("/") }))
    .filter(({ id }) => wanted.length === 0 || wanted.some((prefix) => id.startsWith(prefix)))
    .toSorted((one, other) => (one.id < other.id ? -1 : 1))
    .map(({ id, path }) => loadSet(folder, path, id))

const setFolders = (folder: string): ReadonlyArray<string> =>
  readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== "node_modules")
    .flatMap((entry) => {
      const path = join(folder, entry.name)
      return [...(existsSync(join(path, "set.json")) ? [path] : []), ...setFolders(path)]
    })

const loadSet = (folder: string, path: string, id: string): CaseSet => {
  const { base, session } = Schema.decodeSync(Schema.parseJson(SetFile))(read(path, "set.json"))
  return {
    id,
    session,
    base: base === null ? undefined : { id: base, sql: () => read(folder, base) },
    setup: () => setupOf(path),
    layouts: layoutsOf(path),
    cases: casesOf(path)
  }
}

const read = (folder: string, name: string): string => readFileSync(join(folder, name), "utf8")

/** Large data is not kept but made: `gen.mjs` prints the setup. */
const setupOf = (path: string): string =>
  existsSync(join(path, "setup.sql"))
    ? read(path, "setup.sql")
    : execFileSync(process.execPath, [join(path, "gen.mjs")], { encoding: "utf8", maxBuffer: 2 ** 29 })

const layoutsOf = (path: string): ReadonlyArray<Layout> =>
  readdirSync(path)
    .filter((file) => /^shards(\.\w+)?\.json$/.test(file))
    .map((file) => ({
      name: file.slice("shards.".length, -".json".length),
      ...Schema.decodeSync(Schema.parseJson(ShardsFile))(read(path, file))
    }))
    .toSorted((one, other) => (one.name < other.name ? -1 : 1))

const casesOf = (path: string): ReadonlyArray<Case> => {
  const decode = Schema.decodeSync(Schema.parseJson(Meta))
  const lines = read(path, "meta.jsonl")
    .split("\n")
    .filter((line) => line.trim() !== "")
  const metas = new Map(lines.map((line) => decode(line)).map((meta) => [meta.name, meta]))
  return read(path, "queries.sql")
    .split(/^-- @q /m)
    .slice(1)
    .map((block) => {
      const end = block.indexOf("\n")
      const name = block.slice(0, end).trim()
      const meta = metas.get(name)
      if (meta === undefined) throw new Error(`${path}: statement ${name} is not in meta.jsonl`)
      const sql = block
        .slice(end + 1)
        .replace(/^-- from: .*\n/, "")
        .trim()
      return { name, kind: meta.kind, compare: meta.cmp, sql: withoutTemporary(sql), tables: meta.tables }
    })
}

/** A temporary object belongs to one session, and a pool has many: it becomes an ordinary one, on both sides. */
const withoutTemporary = (sql: string): string =>
  sql.replace(/^(create\s+(?:or\s+replace\s+)?)temp(?:orary)?\s+/i, "$1")
