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
import { contextOf, wants, wantsOneOf } from "./State.js"

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
  const from = fromClause(state, { ...around, depth: 0 })
  const context = contextOf(from.relations, { outer: around.outer, depth: 0 })
  const call = Aggregates.call(state, context, [], kind)
  if (call.kind !== kind) {
    const select = level(state, { ...around, depth: 0 }, { ...inner, kinds: [kind] }).select
    const count = Tree.form("int8", ["1"], [])
    return Tree.query(select, {
      thenByOutputs: true,
      limit: { _tag: "Limit", form: "limit", count, offset: undefined }
    })
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

const exists = (state: State, around: Around): Tree.Query => {
  const one: ReadonlyArray<Kind> = ["int4"]
  return Tree.query(level(state, around, { ...inner, kinds: state.random.chance(0.5) ? one : ["text"] }).select)
}

export const makers: Makers = { derived, column, scalar, exists }
