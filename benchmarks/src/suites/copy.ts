/**
 * The same rows loaded with COPY: whole to one server, or split over four, from values and from a CSV file's bytes. All
 * servers share this machine's cores, so what several machines would gain does not show: what does is what splitting costs.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Buffer } from "node:buffer"
import { decidedOverAll, makeDecisionTables } from "../clients/commits.js"
import { copyIn, copyOn } from "../clients/copyIn.js"
import { openPool } from "../clients/drivers.js"
import * as FanOut from "../clients/fanOut.js"
import { openRouter } from "../clients/router.js"
import type { Lab } from "../lab.js"
import type { Request, Work } from "../work.js"
import { columns, csvOf, type Event, eventsFrom, expectedOf, loading, textOf, truncated, valuesOf } from "./events.js"

export const name = "copy"

export const make = (lab: Lab): Effect.Effect<ReadonlyArray<Work>, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const cluster = yield* lab.cluster(4)
    yield* makeDecisionTables(cluster)
    const rows = Math.min(100_000, lab.options.rows)
    const events = eventsFrom(1, rows)
    const csv = csvOf(events)
    const router = yield* openRouter(cluster)
    const pool = yield* openPool(cluster.oracle)
    const byHand = yield* FanOut.open(cluster, rows)
    const list = `events (${columns.join(", ")})`
    const values = Stream.map(Stream.fromIterable(events), valuesOf)
    const work = (kind: string, title: string, contenders: ReadonlyArray<readonly [string, Request]>): Work => ({
      id: `${name}/${kind}`,
      title: `COPY of ${rows.toLocaleString("en-US")} rows, ${title}`,
      shards: 4,
      inFlight: 1,
      single: true,
      warmUps: 4,
      rowsPerRequest: rows,
      baseline: "pg, one server",
      before: truncated(cluster),
      oracle: Effect.sync(() => expectedOf(events)),
      contenders: contenders.map(([label, request]) => loading(cluster, label, request)),
      remark: `fsync ${lab.options.fsync ? "on" : "off"}`
    })
    return [
      work("values", "from values", [
        ["pg, one server", () => copyIn(pool, `copy ${list} from stdin`, textOf(events))],
        ["routed", router.copyFrom("events", [...columns], values)],
        ["routed, atomic: false", router.copyFrom("events", [...columns], values, { atomic: false })],
        [
          "hand, split, not atomic",
          () =>
            Promise.all(
              splitEvents(byHand, events).map((part, index) =>
                copyIn(byHand.pool(index), `copy ${list} from stdin`, textOf(part))
              )
            )
        ],
        [
          "hand, split, decided",
          () => {
            const parts = splitEvents(byHand, events).map(textOf)
            return decidedOverAll(byHand.pools, (client, index) =>
              copyOn(client, `copy ${list} from stdin`, parts[index] ?? [])
            )
          }
        ]
      ]),
      work("csv", "from the bytes of a CSV file", [
        ["pg, one server", () => copyIn(pool, `copy ${list} from stdin (format csv)`, csv)],
        ["routed", router.copyFrom("events", [...columns], Stream.fromIterable(csv), { format: "csv" })],
        [
          "routed, atomic: false",
          router.copyFrom("events", [...columns], Stream.fromIterable(csv), { format: "csv", atomic: false })
        ],
        [
          "hand, split, not atomic",
          () => {
            const parts = splitLines(byHand, csv)
            return Promise.all(
              parts.map((part, index) => copyIn(byHand.pool(index), `copy ${list} from stdin (format csv)`, part))
            )
          }
        ],
        [
          "hand, split, decided",
          () => {
            const parts = splitLines(byHand, csv)
            return decidedOverAll(byHand.pools, (client, index) =>
              copyOn(client, `copy ${list} from stdin (format csv)`, parts[index] ?? [])
            )
          }
        ]
      ])
    ]
  })

const splitEvents = (
  { ownerOf, pools }: FanOut.FanOut,
  events: ReadonlyArray<Event>
): ReadonlyArray<ReadonlyArray<Event>> => {
  const parts = pools.map((): Array<Event> => [])
  for (const event of events) parts[ownerOf(event.id)]?.push(event)
  return parts
}

/** The key is the first field and a plain number, pages end with lines: a hand that knows its file. */
const splitLines = (
  { ownerOf, pools }: FanOut.FanOut,
  pages: ReadonlyArray<Buffer>
): ReadonlyArray<ReadonlyArray<Buffer>> => {
  const parts = pools.map((): Array<Buffer> => [])
  for (const page of pages) {
    const own = pools.map((): Array<Buffer> => [])
    for (let from = 0; from < page.length;) {
      let id = 0
      let at = from
      for (let byte = page[at] ?? 0; byte !== comma; byte = page[++at] ?? comma) id = id * 10 + byte - zero
      const end = page.indexOf(newline, at) + 1
      own[ownerOf(id)]?.push(page.subarray(from, end))
      from = end
    }
    for (const [index, lines] of own.entries()) parts[index]?.push(Buffer.concat(lines))
  }
  return parts
}

const comma = 0x2c
const zero = 0x30
const newline = 0x0a
