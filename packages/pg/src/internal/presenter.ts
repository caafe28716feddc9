/**
 * Rows that were merged as text, in the forms the driver gives: its own `Result` parses and shapes them.
 *
 * Enters: column names and type OIDs, rows of texts. Leaves: objects, arrays or a whole result. Holds: each value is
 * what the driver would have made of it on this shard, custom type parsers included.
 */
import type { Field, Presenter, RawResult } from "@shardlayer/core/ShardConnection"
import * as Pg from "pg"
import { rowMaker } from "./rowMaker.js"
import type { Result } from "./wire.js"

export const makePresenter =
  (types: Pg.ClientConfig["types"]) =>
  (fields: ReadonlyArray<Field>): Presenter => {
    const overrides = new Pg.TypeOverrides(types)
    const descriptions = fields.map(fieldDef)
    const result = (form: "object" | "array"): Result => {
      const made = new Pg.Result(form === "array" ? form : "", overrides as never) as unknown as Result
      made.addFields(descriptions)
      return made
    }
    const parsed = (form: "object" | "array", rows: ReadonlyArray<ReadonlyArray<string | null>>) => {
      const made = result(form)
      return rows.map((row) => made.parseRow(row))
    }
    return {
      paged: (columns) => rowMaker(result("object"), columns),
      objects: (rows) => parsed("object", rows),
      arrays: (rows) => parsed("array", rows) as ReadonlyArray<ReadonlyArray<unknown>>,
      raw: (rows) => {
        const made = result("object")
        made.rows = rows.map((row) => made.parseRow(row))
        return Object.assign(made, { command: "SELECT", rowCount: rows.length }) as unknown as RawResult
      }
    }
  }

/** What a row description says of a column that is computed, not stored. */
const fieldDef = ({ name, type }: Field): Pg.FieldDef => ({
  name,
  tableID: 0,
  columnID: 0,
  dataTypeID: type,
  dataTypeSize: -1,
  dataTypeModifier: -1,
  format: "text"
})
