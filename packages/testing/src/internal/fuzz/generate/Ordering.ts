/**
 * ORDER BY and LIMIT around a level.
 *
 * Holds: what is cut from the top may be open, and then only which of several rows that tie; what is cut further down
 * stands under an order by all outputs, so that only equal rows tie.
 */
import type * as Clause from "../Clause.js"
import * as Kinds from "../Kind.js"
import * as Tree from "../Tree.js"
import { someKind, value } from "./Expressions.js"
import type { Level } from "./Outputs.js"
import type { State } from "./State.js"
import { wants, wantsOneOf } from "./State.js"

const orderWishes: ReadonlyArray<Clause.Clause> = [
  "ORDER BY expression",
  "ORDER BY alias",
  "ORDER BY position",
  "ORDER BY unselected",
  "DESC",
  "NULLS FIRST",
  "NULLS LAST"
]
const limitWishes: ReadonlyArray<Clause.Clause> = [
  "LIMIT",
  "OFFSET",
  "FETCH FIRST",
  "WITH TIES",
  "parameter in LIMIT",
  "parameter in OFFSET"
]

export const ordered = (state: State, made: Level): Tree.Query => {
  const query = sortedAndLimited(state, made)
  const { limit, orderBy, thenByOutputs } = query
  const isOrdered = orderBy.length > 0 || thenByOutputs
  // PostgreSQL 18 finds min and max by a LIMIT of its own, which takes on WITH TIES and then has too many rows.
  const isOneRow = made.total?.length === 0
  if (limit?.form !== "ties" || (isOrdered && !isOneRow)) return query
  return { ...query, limit: { ...limit, form: "limit" } }
}

const sortedAndLimited = (state: State, made: Level): Tree.Query => {
  const { random } = state
  const query = Tree.query(made.select)
  const canOutputs = !made.hasStar && made.fields.every(({ kind }) => Kinds.isOrdered(kind))
  if (made.select.distinct._tag === "On") {
    if (!canOutputs) return { ...query, body: { ...made.select, distinct: { _tag: "All" } } }
    return { ...query, thenByOutputs: true, limit: random.chance(0.3) ? limitOf(state, true) : undefined }
  }
  const isLimited = wantsOneOf(state, limitWishes, 0.25)
  if (!isLimited && !wantsOneOf(state, orderWishes, 0.4)) return query
  const orderBy = sorts(state, made)
  // In a few the rows are not determined, only how many there are and from where.
  if (random.chance(0.06)) return { ...query, orderBy, limit: limitOf(state, true) }
  const limit = isLimited ? limitOf(state, true) : undefined
  if (limit?.form === "ties" && orderBy.length > 0 && random.chance(0.6)) return { ...query, orderBy, limit }
  if (limit === undefined && random.chance(0.6)) return { ...query, orderBy }
  if (made.total !== undefined && made.select.distinct._tag === "All" && random.chance(0.5)) {
    return { ...query, orderBy: [...orderBy, ...made.total], limit }
  }
  return canOutputs ? { ...query, orderBy, thenByOutputs: true, limit } : { ...query, orderBy }
}

const flags = (state: State): Pick<Tree.Sort, "_tag" | "descending" | "nulls"> => ({
  _tag: "Sort",
  descending: wants(state, "DESC", 0.35),
  nulls: wants(state, "NULLS FIRST", 0.12) ? "first" : wants(state, "NULLS LAST", 0.12) ? "last" : undefined
})

/** A set operation sorts by its columns alone, which are named as those of its first branch. */
export const orderByOutputs = (state: State, count: number): ReadonlyArray<Tree.Sort> => {
  const place = state.random.int(count)
  const by: Tree.Sort["by"] = wants(state, "ORDER BY alias", 0.4)
    ? { _tag: "Alias", name: `x${place}` }
    : { _tag: "Position", position: place + 1 }
  return [{ ...flags(state), by }]
}

const sorts = (state: State, made: Level): ReadonlyArray<Tree.Sort> =>
  Array.from(
    {
      length: state.random.weighted([
        [3, 1],
        [2, 2],
        [1, 3]
      ] as const)
    },
    () => sortOf(state, made)
  ).flatMap((sort) => (sort === undefined ? [] : [sort]))

const sortOf = (state: State, made: Level): Tree.Sort | undefined => {
  const { random } = state
  const places = made.fields.flatMap(({ kind, name }, index) =>
    Kinds.isOrdered(kind) ? [{ name, position: index + 1 }] : []
  )
  const named = places.filter(({ name }) => name !== "")
  if (named.length > 0 && wants(state, "ORDER BY alias", 0.25)) {
    return { ...flags(state), by: { _tag: "Alias", name: random.pick(named).name } }
  }
  const isDistinct = made.select.distinct._tag !== "All"
  if (places.length > 0 && !made.hasStar && (isDistinct || wants(state, "ORDER BY position", 0.2))) {
    return { ...flags(state), by: { _tag: "Position", position: random.pick(places).position } }
  }
  if (isDistinct) return undefined
  const { sortable } = made
  if (sortable.atoms.length === 0) return undefined
  const kind = someKind(state, sortable)
  const isPlain = !wants(state, "ORDER BY expression", 0.3)
  const expression = value(state, { ...sortable, depth: 0, params: false }, kind, isPlain ? 0 : 2)
  return { ...flags(state), by: { _tag: "By", expression } }
}

export const limitOf = (state: State, isTop: boolean): Tree.Limit => {
  const { random } = state
  const form = isTop && wants(state, "WITH TIES", 0.05) ? "ties" : wants(state, "FETCH FIRST", 0.12) ? "fetch" : "limit"
  const isOffset = wantsOneOf(state, ["OFFSET", "parameter in OFFSET"], 0.25)
  const isAlone = isOffset && form === "limit" && random.chance(0.15)
  const rows = (clause: "parameter in LIMIT" | "parameter in OFFSET", most: number): Tree.Expression => {
    const count = random.between(clause === "parameter in LIMIT" && random.chance(0.9) ? 1 : 0, most)
    if (!wants(state, clause, 0.3)) return rowCount(state, count)
    // NULL is no limit at all, except under WITH TIES.
    const value = random.chance(0.04) && form !== "ties" ? null : random.chance(0.5) ? count : String(count)
    return { _tag: "Param", kind: "int8", value, cast: random.chance(0.3) }
  }
  return {
    _tag: "Limit",
    form,
    count: isAlone ? undefined : rows("parameter in LIMIT", 12),
    offset: isOffset ? rows("parameter in OFFSET", isTop ? 3 : 2) : undefined
  }
}

const rowCount = ({ random }: State, count: number): Tree.Expression =>
  random.weighted([
    [20, Tree.form("int8", [String(count)], [])],
    [1, Tree.form("int8", [`(select ${count})`], [])],
    [1, Tree.form("int8", [`(1 + ${count})`], [])]
  ])
