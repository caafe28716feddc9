/**
 * LIMIT and OFFSET as numbers, once the parameters are there.
 *
 * Enters: a `Page`, the program's parameters. Leaves: how many rows to skip and to give, or undefined where a parameter
 * is no number of rows that PostgreSQL would take: then PostgreSQL is to say so.
 *
 * @since 0.1.0
 */
import type { Amount, Page } from "./Merge.js"

/** @since 0.1.0 @category models */
export interface Amounts {
  readonly offset: number
  /** Undefined: all. */
  readonly limit: number | undefined
}

const everything: Amounts = { offset: 0, limit: undefined }

/** @since 0.1.0 @category functions */
export const amounts = (page: Page | undefined, params: ReadonlyArray<unknown>): Amounts | undefined => {
  if (page === undefined) return everything
  const offset = rows(page.offset, params)
  const limit = rows(page.limit, params)
  const isInvalid = offset === "invalid" || limit === "invalid" || (page.withTies && limit === undefined)
  return isInvalid ? undefined : { offset: offset ?? 0, limit }
}

/**
 * The rows that the merge can need of each shard: those skipped are among them.
 *
 * @since 0.1.0
 * @category getters
 */
export const depth = ({ limit, offset }: Amounts): number | null =>
  limit === undefined ? null : Math.min(offset + limit, Number.MAX_SAFE_INTEGER)

const rows = (amount: Amount | undefined, params: ReadonlyArray<unknown>): number | undefined | "invalid" => {
  switch (amount?._tag) {
    case undefined:
      return undefined
    case "Constant":
      return amount.rows
    case "Param":
      return fromValue(params[amount.index - 1])
  }
}

const int8Max = 2n ** 63n - 1n

/** More rows than JavaScript counts exactly are as good as all. */
const fromValue = (value: unknown): number | undefined | "invalid" => {
  if (value === null || value === undefined) return undefined
  const text = typeof value === "number" || typeof value === "bigint" ? String(value) : value
  if (typeof text !== "string" || !/^\s*\+?\d+\s*$/.test(text)) return "invalid"
  const exact = BigInt(text.replace("+", ""))
  if (exact > int8Max) return "invalid"
  return exact > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(exact)
}
