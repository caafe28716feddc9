/**
 * The statements over several shards, and how one would do each by hand: what every server is asked, and how the answers
 * are put together. The hand-written ones know their data: exact sums of two decimals, keys that are unique.
 */
import { Buffer } from "node:buffer"
import type { AskEach } from "../clients/fanOut.js"

export type Row = Record<string, unknown>

export interface Statement {
  readonly id: string
  readonly title: string
  readonly sql: string
  readonly hand: {
    readonly sql: string
    readonly merge: (parts: ReadonlyArray<ReadonlyArray<Row>>) => ReadonlyArray<Row>
  }
  /** A second way by hand, where there is a quicker one that takes more work. */
  readonly alsoByHand?:
    | { readonly name: string; readonly run: (ask: AskAll) => Promise<ReadonlyArray<Row>> }
    | undefined
}

/** Asks every server, or these with a text of their own. */
export type AskAll = (
  name: string,
  sql: string,
  values?: ReadonlyArray<unknown>
) => Promise<ReadonlyArray<ReadonlyArray<Row>>>

const text = (value: unknown): string => String(value)

const sumOf = (column: string) => (parts: ReadonlyArray<ReadonlyArray<Row>>) => [
  { [column]: String(parts.reduce((total, rows) => total + BigInt(text(rows[0]?.[column])), 0n)) }
]

const unionOf = (column: string) => (parts: ReadonlyArray<ReadonlyArray<Row>>) => {
  const values = new Set<unknown>()
  for (const rows of parts) for (const row of rows) values.add(row[column])
  return [{ count: String(values.size) }]
}

/** numeric(10, 2) as hundredths: exact. */
const hundredths = (value: unknown): bigint => BigInt(text(value).replace(".", ""))

const decimal = (value: bigint): string => {
  const digits = String(value).padStart(3, "0")
  return `${digits.slice(0, -2)}.${digits.slice(-2)}`
}

/** As PostgreSQL prints avg(numeric) of such values: 16 digits after the point, rounded half up. */
const average = (sum: bigint, count: bigint): string => {
  const scaled = (sum * 10n ** 14n * 2n + count) / (2n * count)
  const digits = String(scaled).padStart(17, "0")
  return `${digits.slice(0, -16)}.${digits.slice(-16)}`
}

const mergeGroups = (parts: ReadonlyArray<ReadonlyArray<Row>>): ReadonlyArray<Row> => {
  const groups = new Map<string, { sum: bigint; count: bigint }>()
  for (const rows of parts) {
    for (const { count, status, sum } of rows) {
      const group = groups.get(text(status)) ?? { sum: 0n, count: 0n }
      group.sum += hundredths(sum)
      group.count += BigInt(text(count))
      groups.set(text(status), group)
    }
  }
  return [...groups]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([status, { count, sum }]) => ({
      status,
      sum: decimal(sum),
      avg: average(sum, count),
      count: String(count)
    }))
}

const mergeCounts = (parts: ReadonlyArray<ReadonlyArray<Row>>): ReadonlyArray<Row> => {
  const groups = new Map<string, { orders: bigint; items: bigint }>()
  for (const rows of parts) {
    for (const { items, orders, status } of rows) {
      const group = groups.get(text(status)) ?? { orders: 0n, items: 0n }
      group.orders += BigInt(text(orders))
      group.items += BigInt(text(items))
      groups.set(text(status), group)
    }
  }
  return [...groups]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([status, { items, orders }]) => ({ status, orders: String(orders), items: String(items) }))
}

const byAmount = (one: Row, other: Row): number => {
  const [left, right] = [hundredths(one["amount"]), hundredths(other["amount"])]
  if (left !== right) return left < right ? 1 : -1
  return Number(one["id"]) - Number(other["id"])
}

/** Times are whole seconds here, which a `Date` holds. */
const byTime = (one: Row, other: Row): number =>
  Number(one["created_at"]) - Number(other["created_at"]) || Number(one["id"]) - Number(other["id"])

const joinSql = `select o.status, count(*) as orders, sum(l.quantity) as items
  from orders o join order_lines l on l.order_id = o.id group by o.status order by o.status`

const pageLimit = 100
const pageOffset = 10_000

/** The page out of lists that are sorted each: no further than its end. */
const pageOf = (parts: ReadonlyArray<ReadonlyArray<Row>>): ReadonlyArray<Row> => {
  const at = parts.map(() => 0)
  const page: Array<Row> = []
  for (let place = 0; place < pageOffset + pageLimit; place++) {
    let least: Row | undefined
    let from = 0
    for (let index = 0; index < parts.length; index++) {
      const row = parts[index]?.[at[index] ?? 0]
      if (row !== undefined && (least === undefined || byTime(row, least) < 0)) {
        least = row
        from = index
      }
    }
    if (least === undefined) break
    at[from] = (at[from] ?? 0) + 1
    if (place >= pageOffset) page.push(least)
  }
  return page
}

/** Only the sort keys of the rows before the page travel; then its own rows are fetched. */
const keysFirst = async (ask: AskAll): Promise<ReadonlyArray<Row>> => {
  const parts = await ask(
    "page_keys",
    `select id, created_at from orders order by created_at, id limit ${pageOffset + pageLimit}`
  )
  const page = pageOf(parts)
  const ids = page.map(({ id }) => id)
  const rows = (await ask("page_rows", "select id, amount from orders where id = any($1::int8[])", [ids])).flat()
  const byId = new Map(rows.map((row) => [row["id"], row]))
  return ids.map((id) => byId.get(id) ?? {})
}

/**
 * The page from where it began on each server the last time: right if no row before those places belongs behind the page's
 * first, for then exactly as many rows come before it as are skipped. Else, and at first, all rows up to the page's end
 * travel.
 */
export const guessing = () => {
  let skips: ReadonlyArray<number> | undefined
  const from = (skip: number, limit: number) =>
    `select id, amount, created_at from orders order by created_at, id limit ${limit} offset ${skip}`
  const plainRows = (rows: ReadonlyArray<Row>) => rows.map(({ amount, id }) => ({ id, amount }))
  return async (each: AskEach): Promise<ReadonlyArray<Row>> => {
    const known = skips
    if (known !== undefined) {
      const parts = await each<Row>((server) => {
        const skip = known[server] ?? 0
        return from(Math.max(0, skip - 1), pageLimit + 1)
      })
      const before = parts.flatMap((rows, server) => ((known[server] ?? 0) > 0 ? rows.slice(0, 1) : []))
      const behind = parts.map((rows, server) => rows.slice((known[server] ?? 0) > 0 ? 1 : 0))
      const page = behind.flat().sort(byTime).slice(0, pageLimit)
      const [first] = page
      if (first !== undefined && before.every((row) => byTime(row, first) < 0)) return plainRows(page)
    }
    const parts = await each<Row>(() => from(0, pageOffset + pageLimit))
    const page = pageOf(parts)
    const [first] = page
    skips = first && parts.map((rows) => rows.filter((row) => byTime(row, first) < 0).length)
    return plainRows(page)
  }
}

/** Sorted keys in one bytea a server, eight bytes each, and a merge that counts: a hundredth of the objects. */
const packedDistinct = async (ask: AskAll): Promise<ReadonlyArray<Row>> => {
  const parts = await ask(
    "distinct_packed",
    `select string_agg(int8send((amount * 100)::int8), ''::bytea order by amount) as packed
     from (select distinct amount from orders) as amounts`
  )
  const lists = parts.map(([row]) => {
    const packed = row?.["packed"]
    if (!Buffer.isBuffer(packed)) return new Float64Array(0)
    const values = new Float64Array(packed.length / 8)
    // Hundredths of numeric(10, 2) are below 2^53.
    for (let at = 0; at < values.length; at++)
      values[at] = packed.readUInt32BE(at * 8) * 2 ** 32 + packed.readUInt32BE(at * 8 + 4)
    return values
  })
  return [{ count: String(countMerged(lists)) }]
}

const countMerged = (lists: ReadonlyArray<Float64Array>): number => {
  const at = lists.map(() => 0)
  let count = 0
  for (;;) {
    let least = Infinity
    for (let index = 0; index < lists.length; index++) {
      const value = lists[index]?.[at[index] ?? 0] ?? Infinity
      if (value < least) least = value
    }
    if (least === Infinity) return count
    count++
    for (let index = 0; index < lists.length; index++) {
      const place = at[index] ?? 0
      if (lists[index]?.[place] === least) at[index] = place + 1
    }
  }
}

const plain = (
  sql: string,
  merge: (parts: ReadonlyArray<ReadonlyArray<Row>>) => ReadonlyArray<Row>
): Pick<Statement, "sql" | "hand"> => ({ sql, hand: { sql, merge } })

export const statements: ReadonlyArray<Statement> = [
  { id: "count", title: "count(*)", ...plain("select count(*) from orders", sumOf("count")) },
  {
    id: "group",
    title: "sum, avg and count by status",
    sql: "select status, sum(amount), avg(amount), count(*) from orders group by status order by status",
    hand: { sql: "select status, sum(amount), count(*) from orders group by status", merge: mergeGroups }
  },
  {
    id: "top",
    title: "top 10 by amount, no index",
    ...plain("select id, amount from orders order by amount desc, id limit 10", (parts) =>
      parts.flat().sort(byAmount).slice(0, 10)
    )
  },
  {
    id: "page",
    title: `deep page: limit ${pageLimit} offset ${pageOffset.toLocaleString("en-US")}`,
    sql: `select id, amount from orders order by created_at, id limit ${pageLimit} offset ${pageOffset}`,
    hand: {
      sql: `select id, amount, created_at from orders order by created_at, id limit ${pageOffset + pageLimit}`,
      merge: (parts) => pageOf(parts).map(({ amount, id: own }) => ({ id: own, amount }))
    },
    alsoByHand: { name: "hand, keys first", run: keysFirst }
  },
  {
    id: "distinct-low",
    title: "count(distinct), 50,000 values",
    sql: "select count(distinct customer) from orders",
    hand: { sql: "select distinct customer from orders", merge: unionOf("customer") }
  },
  {
    id: "distinct-high",
    title: "count(distinct), 900,000 values",
    sql: "select count(distinct amount) from orders",
    hand: { sql: "select distinct amount from orders", merge: unionOf("amount") },
    alsoByHand: { name: "hand, packed and sorted", run: packedDistinct }
  },
  {
    id: "join",
    title: "join of co-located tables, sums by status",
    sql: joinSql,
    hand: { sql: joinSql, merge: mergeCounts }
  }
]
