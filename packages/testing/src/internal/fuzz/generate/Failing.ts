/**
 * Statements that must fail, each in one way: the router has to fail as well, with the same SQLSTATE or a refusal.
 *
 * Holds: nothing but the one mistake can fail, and no LIMIT or filter may spare the server the row that does; a table
 * without rows lets some of them succeed, on both sides.
 */
import * as Tree from "../Tree.js"
import { fromClause } from "./FromClause.js"
import type { State } from "./State.js"
import { atomsOf } from "./State.js"

/** With which they fail: what fails otherwise is a mistake of the generator. */
export const codes: ReadonlySet<string> = new Set(
  "21000 22003 22012 22P02 2201W 42601 42703 42803 42804 42883 42P01 42P10".split(" ")
)

export const failing = (state: State): Tree.Query => {
  const { random } = state
  const from = fromClause({ ...state, wishes: new Set() }, { outer: [], depth: 0 })
  const atoms = atomsOf(from.relations)
  const column = (kind: Tree.Expression["kind"], otherwise: string) =>
    atoms.find((atom) => atom.kind === kind) ?? Tree.literal(kind, otherwise)
  const [number, text] = [column("int4", "7"), column("text", "a")]
  const first = random.pick(atoms)
  const plain = (expression: Tree.Expression, more: Partial<Tree.Select> = {}): Tree.Query =>
    Tree.query(Tree.select({ targets: [first, expression].map((one) => target(one)), from: from.from, ...more }))
  const wrong = (texts: ReadonlyArray<string>, args: ReadonlyArray<Tree.Expression>): Tree.Expression =>
    Tree.form("int4", texts, args)
  return random.pick<() => Tree.Query>([
    () => plain(wrong(["(1 / (", " - ", "))"], [number, number])),
    () => plain(wrong(["(", " || 'x')::int4"], [text])),
    () => plain(wrong(["(", "::int8 * 1000000000000)::int4"], [wrong(["coalesce(nullif(", ", 0), 1)"], [number])])),
    () => plain(wrong(["no_such_column"], [])),
    () => plain(wrong(["no_such_function(", ")"], [number])),
    () => plain(wrong(["(", " + ", ")"], [number, column("bool", "true")])),
    () => plain(wrong(["sum(", ")"], [text])),
    () => plain(wrong(["count(*)"], [])),
    () => plain(number, { where: [wrong(["(count(*) > 1)"], [])] }),
    () => plain({ _tag: "Param", kind: "int4", value: "abc", cast: true }),
    () => plain(wrong(["'abc'::int4"], [])),
    () => plain(wrong(["(select v from generate_series(1, 2) v)"], [])),
    () => ({ ...plain(number), limit: limit("-1") }),
    () => ({ ...plain(number), orderBy: [position(9)] }),
    () => plain(number, { from: [{ _tag: "Relation", name: "no_such_table", alias: "t", clauses: [] }] }),
    () => plain(number, { groupBy: [{ _tag: "Group", expression: text }] }),
    () => union(plain(number), Tree.query(Tree.select({ targets: [target(number)], from: from.from }))),
    () => union(plain(number), plain(text))
  ])()
}

const target = (expression: Tree.Expression): Tree.Target => ({ _tag: "Target", expression, name: undefined })

const limit = (count: string): Tree.Limit => ({
  _tag: "Limit",
  form: "limit",
  count: Tree.form("int8", [count], []),
  offset: undefined
})

const position = (place: number): Tree.Sort => ({
  _tag: "Sort",
  by: { _tag: "Position", position: place },
  descending: false,
  nulls: undefined
})

/** Branches with other columns. */
const union = (left: Tree.Query, right: Tree.Query): Tree.Query =>
  Tree.query({ _tag: "SetOperation", operator: "union", all: true, left, right })
