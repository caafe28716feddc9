/**
 * What a model's conditions, orders and cursors become as SQL, under a client that renames columns.
 */
import * as Model from "@effect/sql/Model"
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Statement from "@effect/sql/Statement"
import { describe, expect, it } from "@effect/vitest"
import * as Compile from "@shardlayer/core/model/Compile"
import * as Keyset from "@shardlayer/core/model/Keyset"
import * as Relation from "@shardlayer/core/model/Relation"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { topology } from "./support.js"

class Seat extends Model.Class<Seat>("Seat")({
  hall: Schema.Int,
  name: Schema.String,
  rowNo: Schema.NullOr(Schema.Int),
  heldBy: Model.FieldOption(Schema.String),
  'odd"one': Schema.propertySignature(Schema.DateFromString).pipe(Schema.fromKey("soldAt"))
}) {}

const escape = Statement.defaultEscape('"')
const compiler = Statement.makeCompiler({
  dialect: "pg",
  placeholder: (index) => `$${index}`,
  onIdentifier: (name, isPlain) =>
    escape(isPlain ? name : name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)),
  onRecordUpdate: () => ["", []],
  onCustom: () => ["", []]
})
const sql = Statement.make(Effect.dieMessage("not run"), compiler, [], undefined) as unknown as SqlClient
const relation = Relation.make(sql, Seat, topology.tables.seats, { key: ["hall", "name"], id: [] })

const field = (name: string, test: Extract<Compile.Condition, { _tag: "Field" }>["test"]): Compile.Condition => ({
  _tag: "Field",
  field: name,
  test
})
const text = (fragment: Statement.Fragment) => sql`${fragment}`.compile()
const written = (condition: Compile.Condition) => text(Compile.condition(relation, condition))
const term = (name: string, isDescending = false, nullsFirst = isDescending): Compile.OrderTerm => ({
  by: name,
  isDescending,
  nullsFirst
})

describe("a model's SQL", () => {
  it("has the table's own name, and columns as the client writes them", () => {
    expect(text(relation.table)[0]).toBe('"public"."seats"')
    expect(text(Relation.columns(relation))[0]).toBe('"hall", "name", "row_no", "held_by", "sold_at"')
    expect(Relation.field(relation, 'odd"one').columnName).toBe("sold_at")
  })

  it("writes conditions, with what is NULL apart", () => {
    const equals = (name: string, value: unknown) => field(name, { _tag: "Compare", sign: "=", value })
    expect(written(equals("rowNo", 1))).toEqual(['"row_no" = $1', [1]])
    expect(written(equals("rowNo", null))).toEqual(['"row_no" IS NULL', []])
    expect(written(field("rowNo", { _tag: "Compare", sign: "<>", value: null }))).toEqual(['"row_no" IS NOT NULL', []])
    expect(written(field("rowNo", { _tag: "Compare", sign: ">", value: null }))).toEqual(["FALSE", []])
    const among = (values: ReadonlyArray<unknown>, isNegated: boolean) =>
      written(field("rowNo", { _tag: "In", values, isNegated }))
    expect(among([], false)).toEqual(["FALSE", []])
    expect(among([], true)).toEqual(["TRUE", []])
    expect(among([1, 2], false)).toEqual(['"row_no" = ANY($1)', [[1, 2]]])
    expect(among([1, null], false)).toEqual(['("row_no" = ANY($1) OR "row_no" IS NULL)', [[1]]])
    expect(among([1, null], true)).toEqual(['("row_no" <> ALL($1) AND "row_no" IS NOT NULL)', [[1]]])
    expect(among([[1], [2]], false)).toEqual(['"row_no" IN ($1,$2)', [[1], [2]]])
    expect(
      written({
        _tag: "All",
        of: [
          equals("hall", 1),
          { _tag: "Sql", fragment: sql`a OR ${2}` },
          { _tag: "Not", of: { _tag: "Any", of: [equals("name", "x"), equals("name", "y")] } }
        ]
      })
    ).toEqual(['("hall" = $1 AND (a OR $2) AND (NOT ("name" = $3 OR "name" = $4)))', [1, 2, "x", "y"]])
  })

  it("completes orders, and says of NULLs what is not taken for granted", () => {
    const terms = Compile.completed(relation, [term("rowNo", true, false), term("name", false, true)])
    expect(text(Compile.orderBy(relation, terms))[0]).toBe(
      ' ORDER BY "row_no" DESC NULLS LAST, "name" NULLS FIRST, "hall"'
    )
    expect(Compile.completed(relation, [term("rowNo", true)]).map(({ isDescending }) => isDescending)).toEqual([
      true,
      true,
      true
    ])
  })

  it("finds what is behind a row", () => {
    const behind = (terms: ReadonlyArray<Compile.OrderTerm>, position: Keyset.Position) =>
      text(Keyset.behind(relation, terms, position))
    expect(behind([term("hall"), term("name")], ["1", "a"])).toEqual(['("hall", "name") > ($1, $2)', ["1", "a"]])
    expect(behind([term("hall", true), term("name", true)], ["1", "a"])[0]).toBe('("hall", "name") < ($1, $2)')
    expect(behind([term("hall"), term("name", true)], ["1", "a"])[0]).toBe(
      '("hall" >= $1 AND ("hall" > $2 OR ("hall" = $3 AND "name" < $4)))'
    )
    expect(behind([term("rowNo"), term("hall")], ["1", "2"])[0]).toBe(
      '(("row_no" >= $1 OR "row_no" IS NULL) AND (("row_no" > $2 OR "row_no" IS NULL) OR ("row_no" = $3 AND "hall" > $4)))'
    )
    expect(behind([term("rowNo"), term("hall")], [null, "2"])[0]).toBe(
      '("row_no" IS NULL AND ("row_no" IS NULL AND "hall" > $1))'
    )
    expect(behind([term("rowNo", true), term("hall", true)], [null, "2"])[0]).toBe(
      '("row_no" IS NOT NULL OR ("row_no" IS NULL AND "hall" < $1))'
    )
  })

  it("takes no cursor of another order, and no other text", () => {
    const terms = [term("hall"), term("name")]
    const cursor = Keyset.encode(relation, terms, ["1", null])
    expect(cursor).toMatch(/^[\w-]+$/)
    expect(Keyset.decode(relation, terms, cursor)).toEqual(Option.some(["1", null]))
    expect(Keyset.decode(relation, [term("hall", true), term("name")], cursor)).toEqual(Option.none())
    for (const text of ["", "!", "e30", cursor.slice(1)]) {
      expect(Keyset.decode(relation, terms, text)).toEqual(Option.none())
    }
  })

  it.effect(
    "encodes a field's values as the model does",
    () =>
      // A field of a relation that is known by name alone could need anything; these need nothing.
      // @effect-diagnostics-next-line unsafeEffectTypeAssertion:off
      Effect.gen(function* () {
        const { encode } = Relation.field(relation, "heldBy")
        expect(yield* encode(Option.some("x"))).toBe("x")
        expect(yield* encode("x")).toBe("x")
        expect(yield* encode(Option.none())).toBe(null)
        expect(yield* Relation.field(relation, 'odd"one').encode(new Date(0))).toBe("1970-01-01T00:00:00.000Z")
        expect((yield* Effect.flip(encode(undefined)))._tag).toBe("ParseError")
      }) as Effect.Effect<void, unknown>
  )
})
