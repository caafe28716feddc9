/**
 * WITH before a statement: one or two CTEs, or a recursive one.
 *
 * Enters: how the statement itself is made, which may then name them. Holds: recursion ends, because it only ever comes to
 * numbers below 7 and each counts once.
 */
import * as Tree from "../Tree.js"
import type { Around, Source, State } from "./State.js"
import { alias, wants } from "./State.js"

export type Body = (state: State, around: Around) => Tree.Query

export const withCtes = (state: State, around: Around, body: Body): Tree.Query => {
  const { random } = state
  const isRecursive = wants(state, "recursive CTE", 0.1)
  // Named like a table it hides the table, everywhere but in itself.
  const hiding = isRecursive ? [] : state.schema.tables.map(({ name }) => name)
  const name = hiding.length > 0 && random.chance(0.15) ? random.pick(hiding) : random.pick(["chosen", "cte_0"])
  const made = isRecursive ? recursive(state, name) : plainCte(state, around, name)
  const second =
    !isRecursive && random.chance(0.2) ? plainCte(withSource(state, made.source), around, "cte_1") : undefined
  const ctes = [made, ...(second === undefined ? [] : [second])]
  const seen = ctes.reduce((one, { source }) => withSource(one, source), state)
  const query = body(seen, around)
  return { ...query, ctes: ctes.map(({ cte }) => cte) }
}

const withSource = (state: State, source: Source): State => ({ ...state, ctes: [...state.ctes, source] })

interface MadeCte {
  readonly cte: Tree.Cte
  readonly source: Source
}

const plainCte = (state: State, around: Around, name: string): MadeCte => {
  const { fields, key, keyspace, query, unique } = state.makers.derived(state, { outer: [], depth: around.depth - 1 })
  const form = wants(state, "CTE MATERIALIZED", 0.3)
    ? "materialized"
    : state.random.chance(0.15)
      ? "not materialized"
      : "plain"
  return {
    cte: { _tag: "Cte", name, columns: [], query, form },
    source: { name, fields, unique, primaryKey: [], keyspace, key, role: "cte", isEmpty: false }
  }
}

/** Counts up, or walks from the rows of a table to those they lead to. UNION makes an end of it. */
const recursive = (state: State, name: string): MadeCte => {
  const { random, schema } = state
  const fields = [{ name: "n", kind: "int4" as const }]
  const source: Source = {
    name,
    fields,
    unique: [],
    primaryKey: [],
    keyspace: undefined,
    key: [],
    role: "cte",
    isEmpty: false
  }
  const n = (relation: string | undefined) => Tree.column("int4", relation, "n")
  const walked = schema.tables.flatMap(({ columns, name: of }) => {
    const column = columns.find((one) => one.name === "v_int4") ?? columns.find((one) => one.kind === "int4")
    return column === undefined ? [] : [{ name: of, column: column.name }]
  })
  const own = alias(state)
  const table = walked.length === 0 ? { name, column: "n" } : random.pick(walked)
  const [base, other] = [alias(state), alias(state)]
  const from = (name: string, as: string): Tree.From => ({ _tag: "Relation", name, alias: as, clauses: [] })
  const isWalk = random.chance(0.5) && walked.length > 0
  const start = Tree.query(
    isWalk
      ? Tree.select({
          targets: [{ _tag: "Target", expression: Tree.column("int4", base, table.column), name: undefined }],
          from: [from(table.name, base)]
        })
      : Tree.select({ targets: [{ _tag: "Target", expression: Tree.literal("int4", "1"), name: undefined }] })
  )
  const next = Tree.form("int4", ["((", " + 1) % 7)"], [isWalk ? Tree.column("int4", other, table.column) : n(own)])
  const step = Tree.query(
    Tree.select({
      targets: [{ _tag: "Target", expression: next, name: undefined }],
      from: isWalk ? [from(name, own), from(table.name, other)] : [from(name, own)],
      where: isWalk
        ? [Tree.form("bool", ["(", " = ", ")"], [Tree.column("int4", other, table.column), n(own)])]
        : [Tree.form("bool", ["(", " < 5)"], [n(own)])]
    })
  )
  const query = Tree.query({ _tag: "SetOperation", operator: "union", all: false, left: start, right: step })
  return { cte: { _tag: "Cte", name, columns: ["n"], query, form: "recursive" }, source }
}
