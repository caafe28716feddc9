/**
 * The stage ahead of all others: what an INSERT leaves to a generator is drawn, and the statement goes on with it.
 *
 * Enters: text and params. Leaves: the same, or the text with places for the values and these behind the params; of rows
 * that a query gives, the same again, and that it must be planned. Holds: values are drawn anew each time a statement
 * runs; a topology without generators costs nothing; a text that is known to leave nothing out costs a look into a cache.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Drawing from "./internal/drawing.js"
import type { IdsService } from "./Ids.js"
import type { Stages } from "./internal/stages.js"
import type { Generated, GeneratedRows } from "./plan/Generated.js"
import * as PlanCache from "./PlanCache.js"
import type { StatementConnection } from "./ShardConnection.js"
import { OperationRefused, ownFailure, type ShardError, type UnsupportedQuery } from "./ShardError.js"
import * as Id from "./topology/Id.js"
import * as Table from "./topology/Table.js"
import { generatesIds, type Topology } from "./topology/Topology.js"
import * as Stream from "effect/Stream"

/** @since 0.1.0 @category models */
export interface Given {
  readonly sql: string
  readonly params: ReadonlyArray<unknown>
  /** Its plan draws values while it runs: why it cannot run without one. */
  readonly planned?: UnsupportedQuery | undefined
}

/** @since 0.1.0 @category models */
export interface Generation {
  /** Undefined: the statement stays as it is. `isPinned`: it goes to one shard whatever its key. */
  readonly given: (
    sql: string,
    params: ReadonlyArray<unknown>,
    isPinned: boolean
  ) => Effect.Effect<Given, ShardError> | undefined
  /** A connection whose statements take the same stage. */
  readonly onConnection: (connection: StatementConnection, isPinned: boolean) => StatementConnection
}

/** @since 0.1.0 @category constructors */
export const make = (stages: Stages): Generation => {
  const { ids, manager, options, planner } = stages
  const cache = PlanCache.make<Generated | "none">({ entriesMax: options.plansMax, textMax: options.planTextMax })
  let seen: Topology | undefined
  let isNeeded = false
  const generates = (): boolean => {
    const topology = manager.topology()
    if (topology !== seen) {
      seen = topology
      isNeeded = generatesIds(topology)
    }
    return isNeeded
  }
  const planned = (sql: string): Effect.Effect<Generated | "none", ShardError> => {
    const version = planner.version()
    return Effect.tap(
      Effect.map(planner.generate(sql), (made) => made ?? "none"),
      (made) => Effect.sync(() => cache.set(sql, version, made))
    )
  }
  const given: Generation["given"] = (sql, params, isPinned) => {
    if (!generates() || !mayLeaveOut.test(sql)) return undefined
    const known = cache.get(sql, planner.version())
    if (known === "none") return undefined
    return Effect.flatMap(known === undefined ? planned(sql) : Effect.succeed(known), (generated) => {
      if (generated === "none") return Effect.succeed({ sql, params })
      switch (generated._tag) {
        case "Rows":
          return drawn(ids, generated, params, isPinned)
        case "Query":
          if (isPinned) return Effect.fail(generated.refusal)
          return ids === undefined
            ? Effect.fail(Drawing.noIds())
            : Effect.succeed({ sql, params, planned: generated.refusal })
      }
    })
  }
  const then = <A>(
    sql: string,
    params: ReadonlyArray<unknown>,
    isPinned: boolean,
    run: (sql: string, params: ReadonlyArray<unknown>) => Effect.Effect<A, ShardError>
  ): Effect.Effect<A, ShardError> =>
    Effect.suspend(() => {
      const made = given(sql, params, isPinned)
      return made === undefined ? run(sql, params) : Effect.flatMap(unplanned(made), (own) => run(own.sql, own.params))
    })
  return {
    given,
    onConnection: (connection, isPinned) => ({
      execute: (sql, params) => then(sql, params, isPinned, connection.execute),
      executeValues: (sql, params) => then(sql, params, isPinned, connection.executeValues),
      executeRaw: (sql, params) => then(sql, params, isPinned, connection.executeRaw),
      executeStream: (sql, params) =>
        Stream.suspend(() => {
          const made = given(sql, params, isPinned)
          return made === undefined
            ? connection.executeStream(sql, params)
            : Stream.unwrap(Effect.map(unplanned(made), (own) => connection.executeStream(own.sql, own.params)))
        })
    })
  }
}

/** No keyword can be written in another way. */
const mayLeaveOut = /insert|merge|copy|default/i

/** On a connection a statement is sent as it is. */
const unplanned = (made: Effect.Effect<Given, ShardError>): Effect.Effect<Given, ShardError> =>
  Effect.flatMap(made, (given) => (given.planned === undefined ? Effect.succeed(given) : Effect.fail(given.planned)))

const drawn = (
  ids: IdsService | undefined,
  { draws, params: expected, pinned, planned, sql }: GeneratedRows,
  params: ReadonlyArray<unknown>,
  isPinned: boolean
): Effect.Effect<Given, ShardError> => {
  const unfit = isPinned ? (pinned ?? planned) : undefined
  if (unfit !== undefined) return Effect.fail(unfit)
  if (params.length !== expected) return Effect.fail(miscounted(params.length, expected))
  return Effect.map(
    Effect.forEach(draws, (each) => Drawing.draw(ids, each, each.count)),
    (values) => ({ sql, params: [...params, ...values.flat()], planned })
  )
}

/** As PostgreSQL says it. The values would stand in places of the program's own. */
const miscounted = (given: number, expected: number): ShardError =>
  ownFailure({
    shard: "(generated)",
    kind: "Other",
    code: "08P01",
    reason: `bind message supplies ${given} parameters, but prepared statement "" requires ${expected}`
  })

/**
 * Ids for a program's own use: of the column, or of the only one that the table generates.
 *
 * @since 0.1.0
 * @category functions
 */
export const next = (
  { ids, manager }: Pick<Stages, "ids" | "manager">,
  table: Table.Table | string,
  column: string | undefined,
  count: number
): Effect.Effect<ReadonlyArray<string>, ShardError> =>
  Effect.suspend(() => {
    const id = typeof table === "string" ? table : table.id
    const known = manager.topology().tables[id]
    const generators = known === undefined ? [] : Object.entries(Table.generatorsOf(known))
    const found = column === undefined ? generators : generators.filter(([name]) => name === column)
    const [only] = found
    const refused = (reason: string) => Effect.fail(new OperationRefused({ operation: "nextId", reason }))
    if (known === undefined) return refused(`the topology has no table ${id}`)
    if (only === undefined)
      return refused(`table ${id} has no generator${column === undefined ? "" : ` for ${column}`}`)
    if (found.length > 1) return refused(`table ${id} generates ${found.map(([name]) => name).join(", ")}: name one`)
    if (!Number.isSafeInteger(count) || count < 0) return refused(`${count} ids cannot be drawn`)
    const [name, generator] = only
    return Drawing.draw(ids, { generator, name: Id.nameOf(generator, known, name) }, count)
  })
