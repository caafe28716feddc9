/**
 * The queries that expressions and FROM hold.
 */
import * as Kinds from "../Kind.js"
import type { Kind } from "../Kind.js"
import * as Tree from "../Tree.js"
import * as Aggregates from "./Aggregates.js"
import { fromClause } from "./FromClause.js"
import { limitOf } from "./Ordering.js"
import { inner } from "./Outputs.js"
import { level } from "./Selects.js"
import { setOperation, setWishes, someKinds } from "./SetOperations.js"
import type { Around, Derived, Makers, State } from "./State.js"
import { alias, contextOf, wants, wantsOneOf } from "./State.js"

const derived = (state: State, around: Around): Derived => {
  if (wantsOneOf(state, setWishes, 0.06)) {
    const kinds = someKinds(state)
    return {
      query: setOperation(state, around, kinds),
      fields: kinds.map((kind, index) => ({ name: `x${index}`, kind })),
      unique: [],
      keyspace: undefined,
      key: []
    }
  }
  const made = level(state, around, inner)
  const { fields, key, keyspace, unique } = made
  const isOn = made.select.distinct._tag === "On"
  const canOutputs = fields.every(({ kind }) => Kinds.isOrdered(kind))
  const isLimited = canOutputs && !isOn && wantsOneOf(state, ["LIMIT", "OFFSET"], 0.12)
  const select: Tree.Select = isOn && !canOutputs ? { ...made.select, distinct: { _tag: "All" } } : made.select
  const query = Tree.query(select, {
    thenByOutputs: isLimited || (isOn && canOutputs),
    limit: isLimited ? limitOf(state, false) : undefined
  })
  return { query, fields, unique, keyspace, key }
}

const column = (state: State, around: Around, kind: Kind): Tree.Query => {
  if (wantsOneOf(state, setWishes, 0.03)) {
    return setOperation(state, { ...around, depth: 0 }, [kind])
  }
  return Tree.query(level(state, around, { ...inner, kinds: [kind] }).select)
}

const scalar = (state: State, around: Around, kind: Kind): Tree.Query => {
  if (kind === "int8" && wants(state, "open LIMIT", 0.05)) return rowsOf(state, around)
  const from = fromClause(state, { ...around, depth: 0 })
  const context = contextOf(from.relations, { outer: around.outer, depth: 0 })
  const call = Aggregates.call(state, context, [], kind)
  if (call.kind !== kind) {
    const select = level(state, { ...around, depth: 0 }, { ...inner, kinds: [kind] }).select
    return Tree.query(select, { thenByOutputs: true, limit: Tree.firstRow })
  }
  const pairs = context.atoms.flatMap((atom) =>
    around.outer.flatMap((one) => (one.kind === atom.kind && Kinds.isOrdered(one.kind) ? [[atom, one] as const] : []))
  )
  const isCorrelated = pairs.length > 0 && wants(state, "correlated subquery", 0.5)
  const where = isCorrelated
    ? [Tree.form("bool", ["(", " = ", ")"], state.random.pick(pairs), "correlated subquery")]
    : []
  return Tree.query(
    Tree.select({ targets: [{ _tag: "Target", expression: call, name: undefined }], from: from.from, where })
  )
}

/** LIMIT without ORDER BY leaves open which rows there are, not how many. */
const open = (state: State, select: Tree.Select): Tree.Query =>
  Tree.query(select.distinct._tag === "On" ? { ...select, distinct: { _tag: "All" } } : select, {
    limit: limitOf(state, false)
  })

const rowsOf = (state: State, around: Around): Tree.Query => {
  const query = open(state, level(state, { ...around, depth: 0 }, { ...inner, kinds: ["int4"] }).select)
  const from: Tree.From = { _tag: "Derived", query, alias: alias(state), columns: [], lateral: false }
  const count = Tree.form("int8", ["count(*)"], [], "count", "open LIMIT")
  return Tree.query(Tree.select({ targets: [{ _tag: "Target", expression: count, name: undefined }], from: [from] }))
}

const exists = (state: State, around: Around): Tree.Query => {
  const kinds: ReadonlyArray<Kind> = state.random.chance(0.5) ? ["int4"] : ["text"]
  const { select } = level(state, around, { ...inner, kinds })
  return wants(state, "open LIMIT", 0.05) ? open(state, select) : Tree.query(select)
}

export const makers: Makers = { derived, column, scalar, exists }
