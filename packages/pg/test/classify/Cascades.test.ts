import { describe, expect, it } from "@effect/vitest"
import type * as Catalog from "@shardlayer/pg/planner/Catalog"
import * as Hidden from "@shardlayer/pg/planner/classify/Hidden"
import type * as SchemaView from "@shardlayer/pg/planner/SchemaView"
import { topology, viewOf } from "../planner/world.js"

type Reference = { readonly from: string; readonly to: string } & Partial<Catalog.ForeignKey>

/** The recorded view, but with these foreign keys and no others. */
const viewWith = (references: ReadonlyArray<Reference>): SchemaView.SchemaView => ({
  ...viewOf(topology),
  referencing: (schema, name) =>
    references
      .filter(({ to }) => schema === "public" && to === name)
      .map(({ from, to, ...key }) => ({
        from: relationNamed(from),
        key: {
          name: `${from}_fkey`,
          columns: ["parent"],
          schema: "public",
          table: to,
          references: ["id"],
          onUpdate: "a",
          onDelete: "a",
          partial: false,
          ...key
        }
      }))
})

const relationNamed = (name: string): Catalog.Relation => {
  const { relation } = viewOf(topology).find("public", name)
  if (relation === undefined) throw new Error(`the recorded catalog has no ${name}`)
  return relation
}

const users = { schema: "public", name: "users" }
const remove: Hidden.Action = { _tag: "Delete" }
const update = (...columns: ReadonlyArray<string>): Hidden.Action => ({ _tag: "Update", columns: new Set(columns) })

const codeOf = (references: ReadonlyArray<Reference>, action: Hidden.Action): string | undefined =>
  Hidden.cascade(viewWith(references), users, action, 3)?.code

describe("cascades under a pin", () => {
  it("may delete rows, and leave alone what they do not touch", () => {
    expect(codeOf([{ from: "orders", to: "users", onDelete: "c" }], remove)).toBeUndefined()
    expect(codeOf([{ from: "countries", to: "users" }], remove)).toBeUndefined()
    expect(codeOf([{ from: "countries", to: "users", onUpdate: "c" }], update("name"))).toBeUndefined()
    expect(codeOf([{ from: "docs", to: "users", columns: ["owner"], onDelete: "n" }], remove)).toBeUndefined()
  })

  it("may not write a reference table, however far away", () => {
    expect(codeOf([{ from: "countries", to: "users", onDelete: "c" }], remove)).toBe("SL7001")
    expect(codeOf([{ from: "countries", to: "users", onDelete: "n" }], remove)).toBe("SL7001")
    expect(
      codeOf(
        [
          { from: "orders", to: "users", onDelete: "c" },
          { from: "countries", to: "orders", onDelete: "c" }
        ],
        remove
      )
    ).toBe("SL7001")
    expect(codeOf([{ from: "countries", to: "users" }], { _tag: "Truncate" })).toBe("SL7001")
  })

  it("may not change a key, except that co-located rows follow", () => {
    const key = { columns: ["user_id"], references: ["id"] }
    expect(codeOf([{ from: "orders", to: "users", ...key, onDelete: "n" }], remove)).toBe("SL7002")
    expect(codeOf([{ from: "orders", to: "users", ...key, onDelete: "d" }], remove)).toBe("SL7002")
    expect(codeOf([{ from: "orders", to: "users", ...key, onUpdate: "c" }], update("id"))).toBeUndefined()
    expect(codeOf([{ from: "orders", to: "users", ...key, onUpdate: "n" }], update("id"))).toBe("SL7002")
    const byName = { columns: ["code"], references: ["name"], onUpdate: "c" }
    expect(codeOf([{ from: "labels", to: "users", ...byName }], update("name"))).toBe("SL7002")
    expect(codeOf([{ from: "labels", to: "users", ...byName }], update("age"))).toBeUndefined()
  })

  it("end, where tables reference each other, and pass where the topology acknowledges them", () => {
    const circle: ReadonlyArray<Reference> = [
      { from: "orders", to: "users", onDelete: "c" },
      { from: "users", to: "orders", onDelete: "c" },
      { from: "users", to: "users", onDelete: "c" }
    ]
    expect(codeOf(circle, remove)).toBeUndefined()
    const named = { name: "acknowledged_stamp", columns: ["user_id"], onDelete: "n" }
    expect(codeOf([{ from: "acknowledged", to: "users", ...named }], remove)).toBeUndefined()
    expect(codeOf([{ from: "acknowledged", to: "users", ...named, name: "other" }], remove)).toBe("SL7002")
  })
})
