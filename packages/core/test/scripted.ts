/**
 * A router over three shards that do as they are told, and a planner that knows a few texts by heart: for what is done
 * with plans of every strategy, whatever SQL they came from.
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as Statement from "@effect/sql/Statement"
import * as Dialect from "@shardlayer/core/Dialect"
import * as Directory from "@shardlayer/core/Directory"
import * as KeyResolver from "@shardlayer/core/KeyResolver"
import * as Constraint from "@shardlayer/core/plan/Constraint"
import type { Finish, Merge, TextRow } from "@shardlayer/core/plan/Merge"
import type { PinnedPlan, Plan } from "@shardlayer/core/plan/Plan"
import { QueryPlanner } from "@shardlayer/core/QueryPlanner"
import * as RowPage from "@shardlayer/core/merge/RowPage"
import type { ShardDriver } from "@shardlayer/core/ShardConnection"
import type * as ShardError from "@shardlayer/core/ShardError"
import * as ShardManager from "@shardlayer/core/ShardManager"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as ShardId from "@shardlayer/core/topology/ShardId"
import type * as Topology from "@shardlayer/core/topology/Topology"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { reading, recordingDriver, refusal, routed, shardLayer, topology } from "./support.js"

const rowsFinish: Extract<Finish, { _tag: "Rows" }> = {
  _tag: "Rows",
  order: [{ column: 0, descending: false, nullsFirst: false }],
  distinct: undefined,
  page: undefined,
  deep: undefined,
  sorted: undefined
}

const merge = (finish: Finish, now?: string): Merge => ({
  statement: { sql: "part", params: now === undefined ? [] : [{ _tag: "Now" }] },
  kinds: [
    { _tag: "Integer", bits: 32 },
    { _tag: "Integer", bits: 32 }
  ],
  finish,
  now,
  outputs: [0, 1].map((column) => ({ column, name: `c${column}`, type: 23, shard: column }))
})

const everyUser = [{ keyspace: "user", constraint: Constraint.unknown }]
const merged = (finish: Finish, now?: string) =>
  routed(everyUser, { scatter: { _tag: "Merge", merge: merge(finish, now) } })

const byId = [{ keyspace: "user", constraint: Constraint.equals([{ _tag: "Param", index: 1 }]) }]
const page = { offset: undefined, limit: { _tag: "Constant", rows: 1 }, withTies: false } as const
const combine: Finish = {
  _tag: "Combine",
  statement: { sql: "whole", params: [] },
  staged: undefined,
  reduction: undefined,
  page: undefined,
  gathered: [],
  crossed: false,
  rowwise: false
}

export const plans: Record<string, Plan> = {
  "by id $1": routed(byId),
  "write by id $1": routed(byId, { access: "write" }),
  all: routed(everyUser, { scatter: { _tag: "Concatenate" } }),
  "two $1 $2": routed([...byId, { keyspace: "user", constraint: Constraint.equals([{ _tag: "Param", index: 2 }]) }], {
    scatter: { _tag: "Concatenate" }
  }),
  "all and one $1": routed([...everyUser, ...byId], { scatter: { _tag: "Concatenate" } }),
  sorted: merged(rowsFinish),
  dated: merged(rowsFinish, "now"),
  limited: merged({ ...rowsFinish, page }),
  distinct: merged({ ...rowsFinish, distinct: [0, 1] }),
  "distinct on": merged({ ...rowsFinish, distinct: [0] }),
  counted: merged({
    _tag: "Groups",
    keys: [],
    aggregates: [],
    kinds: [],
    order: [],
    page: undefined,
    sorted: undefined,
    packed: undefined
  }),
  combined: merged(combine),
  gathered: merged({ ...combine, gathered: ["orders", "users"] }),
  "sorted elsewhere": merged({ ...combine, rowwise: true }),
  deep: merged({
    ...rowsFinish,
    page: { ...page, offset: { _tag: "Constant", rows: 5_000 } },
    deep: { probe: { sql: "probe", params: [] }, page: { sql: "behind", params: [] } }
  }),
  read: routed(everyUser, { scatter: { _tag: "Concatenate" } }),
  random: routed(byId, { footprint: { reads: ["public.users"], writes: [], volatile: "random", timed: false } }),
  "lock by id $1": routed(byId, {
    access: "write",
    footprint: { reads: ["public.users"], writes: [], volatile: undefined, timed: false }
  }),
  "write anything by id $1": routed(byId, {
    access: "write",
    footprint: { reads: ["public.users"], writes: "unknown", volatile: undefined, timed: false }
  }),
  shops: routed([{ keyspace: "region", constraint: Constraint.unknown }], { scatter: { _tag: "Concatenate" } }),
  countries: { _tag: "AnyShard", tables: ["countries"], footprint: reading("countries") }
}

const pinnedPlan = (access: PinnedPlan["access"], changesSession = false): PinnedPlan => ({
  changesSchema: false,
  changesSession,
  changesSettings: changesSession,
  access,
  writes: access === "write" ? ["public.users"] : [],
  verdict: { _tag: "Pass" }
})

const pinnedPlans: Record<string, PinnedPlan> = {
  read: pinnedPlan("read"),
  write: pinnedPlan("write"),
  "set x": pinnedPlan("read", true),
  all: pinnedPlan("read"),
  "create table": { ...pinnedPlan("write"), changesSchema: true, writes: "unknown" },
  unplanned: pinnedPlan("read")
}

/** What a shard answers: asked with its name, the text and how often it was asked for it before. */
export type Behaviour = (
  shard: ShardId.ShardId,
  sql: string,
  before: number
) => Effect.Effect<ReadonlyArray<TextRow>, ShardError.ShardError>

export const rowOf = (shard: ShardId.ShardId): TextRow => [shard.slice(-1), "7"]
export const well: Behaviour = (shard) => Effect.succeed([rowOf(shard)])

/** Fails `times` times with `error` on one shard. */
export const failing =
  (on: ShardId.ShardId, error: ShardError.ShardError, times = Infinity): Behaviour =>
  (shard, sql, before) =>
    shard === on && before < times ? Effect.fail(error) : well(shard, sql, before)

/** Answers after some time; whoever does not wait for it is written down. */
export const slow =
  (times: Partial<Record<ShardId.ShardId, number>>, interrupted: Array<string> = []): Behaviour =>
  (shard, sql, before) =>
    well(shard, sql, before).pipe(
      Effect.delay(times[shard] ?? 0),
      Effect.onInterrupt(() => Effect.sync(() => void interrupted.push(shard)))
    )

const driverOf = (shard: ShardId.ShardId, behave: Behaviour, log: Array<string>): ShardDriver => {
  const asked = new Map<string, number>()
  const answer = (sql: string) =>
    Effect.suspend(() => {
      const before = asked.get(sql) ?? 0
      asked.set(sql, before + 1)
      log.push(`${shard} ${sql}`)
      return behave(shard, sql, before)
    })
  const objects = (rows: ReadonlyArray<TextRow>) => rows.map(([c0, c1]) => ({ c0, c1 }))
  const recording = recordingDriver([])
  const connection = {
    execute: (sql: string) => Effect.map(answer(sql), objects),
    executeValues: (sql: string) => answer(sql),
    executeText: (sql: string) =>
      Effect.map(answer(sql), (rows) => ({ fields: [], rows, truncated: undefined, bytes: 0 })),
    executeStream: (sql: string) =>
      Stream.flatMap(Stream.unwrap(Effect.map(answer(sql), Stream.fromIterable)), (row) =>
        Stream.make(...objects([row]))
      ),
    streamPages: (sql: string) => Stream.fromEffect(Effect.map(answer(sql), RowPage.ofRows))
  }
  return {
    ...recording,
    ...connection,
    reserve: Effect.map(recording.reserve, (session) => ({ ...session, ...connection })),
    presenter: () => ({
      objects,
      paged: () => (page, row) => objects([page.row(row)])[0],
      arrays: (rows) => rows,
      raw: (rows) => ({ command: "SELECT", rowCount: rows.length, rows, fields: [] })
    })
  }
}

export const make = (
  behave: Behaviour,
  policy?: ShardRouter.Options["policy"],
  known: Topology.Topology = topology,
  overrides: Partial<ShardDriver> = {},
  /** A coordinator that the topology does not list stands by. */
  { coordinator, ...options }: Omit<ShardRouter.Options, "policy"> & { readonly coordinator?: string } = {}
) =>
  Effect.gen(function* () {
    const log: Array<string> = []
    const manager = yield* ShardManager.make({
      topology: known,
      shards: Object.fromEntries(
        [...known.shards, ...(coordinator === undefined ? [] : [ShardId.make(coordinator)])].map((id) => [
          id,
          shardLayer({ ...driverOf(id, behave, log), ...overrides })
        ])
      ),
      coordinator,
      adapt: () => {
        throw new Error("not adapted")
      },
      tablesWithRows: () => Effect.succeed([])
    })
    const reactivity = yield* Reactivity.make
    const resolver = yield* KeyResolver.make({ directory: yield* Directory.makeMemory, shards: manager.registered })
    const router = yield* ShardRouter.make({ ...options, policy }).pipe(
      Effect.provideService(Reactivity.Reactivity, reactivity),
      Effect.provideService(ShardManager.ShardManager, manager),
      Effect.provideService(KeyResolver.KeyResolver, resolver),
      Effect.provideService(QueryPlanner, {
        version: () => 1,
        plan: (sql) => Effect.mapError(Effect.fromNullable(plans[sql]), () => refusal),
        generate: () => Effect.succeed(undefined),
        copyFrom: () => Effect.dieMessage("no COPY here"),
        copyTo: () => Effect.dieMessage("no COPY here"),
        classify: (sql) => Effect.mapError(Effect.fromNullable(pinnedPlans[sql]), () => refusal),
        invalidate: Effect.void,
        inside: () => Effect.dieMessage("no schema is changed in these tests"),
        check: Effect.void,
        parses: () => 0
      }),
      Effect.provideService(Dialect.Dialect, {
        compiler: Statement.makeCompiler({
          dialect: "pg",
          placeholder: (index) => `$${index}`,
          onIdentifier: (name) => name,
          onRecordUpdate: () => ["", []],
          onCustom: () => ["", []]
        }),
        transformRows: (rows) => rows.map((row) => ({ ...row, transformed: true })) as any,
        spanAttributes: [],
        analyzing: (text, format) => `analyze ${format} ${text}`,
        copy: undefined as never,
        lockTimeout: (millis) => ({ set: `set ${millis}`, reset: "reset", session: `session ${millis}` }),
        install: Effect.void,
        report: Effect.dieMessage("no report here")
      })
    )
    return { router, sql: router.client, log, manager, reactivity }
  })
