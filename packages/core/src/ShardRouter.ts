/**
 * The public face: a program yields `ShardRouter`, or simply the `SqlClient` that routes.
 *
 * Enters: statements, keys, shards to pin to. Leaves: rows, shards, explanations. Holds: exact or refused. What the
 * router accepts, it answers as one database with all the rows would.
 *
 * @since 0.1.0
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Client from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type { Statement } from "@effect/sql/Statement"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Request from "effect/Request"
import type * as RequestResolver from "effect/RequestResolver"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as CachedRead from "./CachedRead.js"
import * as CopyFrom from "./CopyFrom.js"
import * as CopyTo from "./CopyTo.js"
import { CommitLog, type CommitLogService } from "./CommitLog.js"
import { Dialect, type DialectService } from "./Dialect.js"
import * as DistributedCommit from "./DistributedCommit.js"
import * as Generation from "./Generation.js"
import { Ids } from "./Ids.js"
import { KeyResolver } from "./KeyResolver.js"
import { type Stages, transacting } from "./internal/stages.js"
import type * as Partial from "./Partial.js"
import * as Explain from "./plan/Explain.js"
import * as Policy from "./Policy.js"
import { QueryPlanner } from "./QueryPlanner.js"
import * as QueryPipeline from "./QueryPipeline.js"
import type * as TwoPhase from "./protocol/TwoPhase.js"
import * as InDoubt from "./InDoubt.js"
import * as ReadView from "./ReadView.js"
import * as SchemaChanges from "./SchemaChanges.js"
import * as ResultCache from "./ResultCache.js"
import * as RoutedClient from "./RoutedClient.js"
import type { Limits } from "./scatter/Parts.js"
import * as ShardContext from "./ShardContext.js"
import { isShardError, KeyInvalid, type ShardError, type ShardLocked, UnknownShard } from "./ShardError.js"
import { ShardManager, type ShardManagerService } from "./ShardManager.js"
import * as TableChanges from "./TableChanges.js"
import * as Transactions from "./Transactions.js"
import type { StartReport } from "./topology/StartReport.js"
import type { KeyInputs, KeyType } from "./topology/KeyType.js"
import type * as ShardId from "./topology/ShardId.js"
import * as Table from "./topology/Table.js"
import type { Topology } from "./topology/Topology.js"

/**
 * Limits of one router. Each has a default.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** How statements run where no scope (`withPolicy`) and no statement says otherwise. */
  readonly policy?: Policy.Options | undefined
  /** Texts whose plans are kept: at most twice this many. Default 2,000. */
  readonly plansMax?: number | undefined
  /** The longest text whose plan is kept, in UTF-16 code units. Default 32,768. */
  readonly planTextMax?: number | undefined
  /**
   * Rows to combine or to gather, that one statement over several shards may hold in memory: beyond it,
   * `MergeLimitExceeded` or `GatherLimitExceeded`. Groups and distinct rows beyond it are merged in order, not held.
   * Default 1,000,000.
   */
  readonly mergeRowsMax?: number | undefined
  /** The same in bytes, as the rows travel. Default 268,435,456 (256 MiB). */
  readonly mergeBytesMax?: number | undefined
  /**
   * From how many gathered rows on they go through temporary tables of one shard, which its planner has statistics of:
   * fewer go as arrays, in one round trip. `Infinity` for never. Default 10,000.
   */
  readonly gatherTablesMin?: number | undefined
  /**
   * A gather of which one shard gives more rows than `gatherTablesMin` is begun anew, where its joins allow it: first the
   * keys of the side that has at most so many distinct ones, then only the rows of the other side that have one of them.
   * 0 for never. Default 10,000.
   */
  readonly gatherKeysMax?: number | undefined
  /**
   * How long a commit over several shards is waited for once it is decided, or once its decider is lost: then
   * `CommitIncomplete` or `CommitUnknown`. Default 5,000.
   */
  readonly finishTimeoutMillis?: number | undefined
  /**
   * How long a statement of a transaction over several shards waits before it is asked whether it waits in a deadlock:
   * that of the servers. Default 1,000.
   */
  readonly deadlockTimeoutMillis?: number | undefined
  /** Answers that `cached` keeps. The least recently used goes first. 0: none. Default 1,000. */
  readonly resultCacheSize?: number | undefined
  /** An answer of more rows is given, and not kept. Default 10,000. */
  readonly resultCacheRowsMax?: number | undefined
}

/** @since 0.1.0 @category models */
export interface ShardRouterService {
  /** The routed client, as it also stands under the `SqlClient` tag. */
  readonly client: SqlClient
  /** Runs a statement on this router, with typed errors. */
  readonly query: <A>(statement: Statement<A>, policy?: Policy.Options) => Effect.Effect<ReadonlyArray<A>, ShardError>
  /** The same, row by row, with back-pressure. */
  readonly stream: <A>(statement: Statement<A>, policy?: Policy.Options) => Stream.Stream<A, ShardError>
  /**
   * The rows of the shards that can be reached, and which cannot, and why. Only for reads whose rows need no other
   * shard's: no LIMIT, no aggregate over several shards, no DISTINCT ON; else `OperationRefused`. Not in a transaction.
   */
  readonly queryPartial: <A>(
    statement: Statement<A>,
    policy?: Policy.Options
  ) => Effect.Effect<Partial.PartialRows<A>, ShardError>
  /**
   * The rows as they were given before, if their read began less than `timeToLive` ago and this router has written none
   * of its tables since; else as `query` gives them, once for all that ask at the same time. The rows are the caller's
   * own. Only for reads without volatile functions; else `OperationRefused`. In a transaction, as `query`.
   */
  readonly cached: <A>(
    statement: Statement<A>,
    options: CachedRead.Options
  ) => Effect.Effect<ReadonlyArray<A>, ShardError>
  /**
   * A statement for the hottest paths, by its text, with `$1`, `$2` … for its parameters: as `query` on
   * `sql.unsafe(text, params)`, without making a statement each time. It is planned now, so what is refused whatever the
   * parameters is refused here; under a pin nothing is planned. What it gives may be used anywhere: in transactions,
   * under pins and policies, after schema changes.
   *
   * @example
   * ```ts
   * import { ShardRouter } from "@shardlayer/core"
   * import { Effect } from "effect"
   *
   * export const program = Effect.gen(function* () {
   *   const router = yield* ShardRouter.ShardRouter
   *   const nameOf = yield* router.prepare<{ name: string }>("SELECT name FROM users WHERE id = $1")
   *   return yield* Effect.forEach([1, 2, 3], (id) => nameOf(id), { concurrency: "unbounded" })
   * })
   * ```
   */
  readonly prepare: <A extends object>(sql: string) => Effect.Effect<PreparedStatement<A>, ShardError>
  /**
   * Loads rows into a table with COPY: each goes to the shard of its key, all shards take theirs at the same time, and
   * the slowest of them holds up the stream. In the transaction that is open, or in one of its own: all rows are stored,
   * or none. Rows are lists of values in the order of the columns, or objects; with a `format` they are bytes of data as
   * PostgreSQL's COPY has it. What an INSERT of these columns is refused for, this is refused for. A row whose key cannot
   * be read is `CopyRowInvalid`; what a shard finds wrong, `StatementFailed` with the `row` of the input.
   */
  readonly copyFrom: CopyFrom.CopyFrom
  /**
   * The rows of a table or of a read as data of PostgreSQL's COPY, in its text form or as CSV, with back-pressure: of all
   * shards in one view. What cannot be read from a shard while it streams ends it with that error.
   */
  readonly copyTo: CopyTo.CopyTo
  /** The shard that holds the rows of this key. */
  readonly locate: <Id extends string, Types extends ReadonlyArray<KeyType>>(
    table: Table.Sharded<Id, Types>,
    key: NoInfer<KeyInputs<Types>>
  ) => Effect.Effect<ShardId.ShardId, ShardError>
  /**
   * Where a statement would run and why, without running it: as a value, or written in a `format`. With `analyze` it is
   * run, twice, and each shard tells what it did: rows, times, the server's own plan. Reads alone can be analyzed, outside
   * of transactions.
   */
  readonly explain: {
    (
      statement: Statement<any>,
      options: { readonly analyze?: boolean | undefined; readonly format: Explain.Format }
    ): Effect.Effect<string, ShardError>
    (
      statement: Statement<any>,
      options?: { readonly analyze?: boolean | undefined; readonly format?: undefined }
    ): Effect.Effect<Explain.Explanation, ShardError>
  }
  /**
   * An id of a column that the topology generates, as text: for a program that needs it before its row is stored, or for
   * the rows of several tables. `column`: where the table generates more than one.
   */
  readonly nextId: (table: Table.Table | string, column?: string) => Effect.Effect<string, ShardError>
  /** `count` of them, in ascending order. */
  readonly nextIds: (
    table: Table.Table | string,
    count: number,
    column?: string
  ) => Effect.Effect<ReadonlyArray<string>, ShardError>
  readonly topology: Effect.Effect<Topology>
  /** The shard this fiber is pinned to, or whose key it is pinned to. */
  readonly currentShard: Effect.Effect<Option.Option<ShardId.ShardId>, ShardError>
  /** Makes our own tables on the meta database and on every registered shard. Safe to run again. */
  readonly install: Effect.Effect<void, ShardError>
  /** Compares the schemas of all shards with each other and with the topology. */
  readonly check: Effect.Effect<void, ShardError>
  /**
   * All that a start can find, as a value (`StartReport.format` prints it): what `check` compares, and servers, our own
   * tables, and what of each table shards cannot keep. Shards that do not answer are among the findings.
   */
  readonly report: Effect.Effect<StartReport>
  /** Reads the catalog anew before the next plan: for schema changes that did not pass through this router. */
  readonly refresh: Effect.Effect<void>
  readonly onShard: <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    shard: string
  ) => Effect.Effect<A, E | ShardLocked | UnknownShard, R>
  readonly forKey: <A, E, R, Id extends string, Types extends ReadonlyArray<KeyType>>(
    effect: Effect.Effect<A, E, R>,
    table: Table.Sharded<Id, Types>,
    key: NoInfer<KeyInputs<Types>>
  ) => Effect.Effect<A, E | ShardLocked | KeyInvalid, R>
  readonly forKeyScoped: <Id extends string, Types extends ReadonlyArray<KeyType>>(
    table: Table.Sharded<Id, Types>,
    key: NoInfer<KeyInputs<Types>>,
    options?: { readonly locked?: boolean | undefined }
  ) => Effect.Effect<void, ShardLocked | KeyInvalid, Scope.Scope>
  readonly onAllShards: <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    options?: { readonly concurrency?: number | undefined }
  ) => Effect.Effect<ReadonlyMap<ShardId.ShardId, A>, E | ShardLocked, R>
  /**
   * All of what the effect writes on this router is committed, on every shard, or none of it: `sql.withTransaction` with
   * typed errors and options. Errors of the body stay as they are.
   */
  readonly transaction: Transactions.Transactions["transaction"]
  /**
   * The effect's reads on this router see all shards of the topology as of one moment: each transaction over several
   * shards whole or not at all. It cannot write. Holds a connection of each shard.
   */
  readonly snapshot: Transactions.Transactions["snapshot"]
  /** Transactions over several shards that are prepared and not ended: live ones, and what crashes left behind. */
  readonly inDoubt: Effect.Effect<ReadonlyArray<InDoubt.Transaction>, ShardError>
  /** One round of recovery. `Recovery.layer` runs them. */
  readonly recover: (options?: InDoubt.RoundOptions) => Effect.Effect<InDoubt.Round>
  /** Is this the process that recovers, among those that share the shards? */
  readonly leadsRecovery: Effect.Effect<boolean>
  /**
   * What a transaction came to whose error was `CommitUnknown`. If nothing was decided it cannot be any more: it is
   * rolled back then. `OperationRefused` once nobody can know.
   */
  readonly outcome: (transaction: string) => Effect.Effect<TwoPhase.Outcome, ShardError>
  /** Ends a transaction in doubt by hand; not against what its decider says. */
  readonly resolve: InDoubt.InDoubtService["resolve"]
  /** Counters of the plan cache and the parser. */
  readonly stats: () => Stats
  /** Counters of `cached`. */
  readonly cacheStats: () => ResultCache.Stats
}

/**
 * Runs a prepared statement with these parameters.
 *
 * @since 0.1.0
 * @category models
 */
export type PreparedStatement<A> = (...params: ReadonlyArray<unknown>) => Effect.Effect<ReadonlyArray<A>, ShardError>

/** @since 0.1.0 @category models */
export interface Stats {
  readonly plans: number
  readonly hits: number
  readonly misses: number
  readonly parses: number
}

/**
 * The card's service.
 *
 * @example
 * ```ts
 * import { ShardRouter } from "@shardlayer/core"
 * import { SqlClient } from "@effect/sql"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function* () {
 *   const sql = yield* SqlClient.SqlClient
 *   yield* sql`INSERT INTO users (id, name) VALUES (${1}, ${"Ada"})`
 *   return yield* ShardRouter.onAllShards(sql`SELECT count(*) FROM users`)
 * })
 * ```
 *
 * @since 0.1.0
 * @category tags
 */
export class ShardRouter extends Context.Tag("@shardlayer/core/ShardRouter")<ShardRouter, ShardRouterService>() {}

/** @since 0.1.0 @category constructors */
export const make = (
  options: Options = {}
): Effect.Effect<
  ShardRouterService,
  never,
  ShardManager | QueryPlanner | KeyResolver | Dialect | Reactivity.Reactivity
> =>
  Effect.gen(function* () {
    const manager = yield* ShardManager
    const planner = yield* QueryPlanner
    const resolver = yield* KeyResolver
    const dialect = yield* Dialect
    const reactivity = yield* Reactivity.Reactivity
    const changes = TableChanges.make(reactivity, manager.topology)
    const log = yield* Effect.serviceOption(CommitLog)
    const ids = Option.getOrUndefined(yield* Effect.serviceOption(Ids))
    const owner = {}
    const { inDoubt, resolve, transactions, views } = committing({
      log: Option.getOrUndefined(log),
      manager,
      dialect,
      owner,
      options
    })
    const { withTransaction } = transactions
    const results = ResultCache.make<ShardError>({
      reactivity,
      entriesMax: options.resultCacheSize ?? 1_000,
      rowsMax: options.resultCacheRowsMax ?? 10_000
    })
    const stages: Stages = {
      manager,
      planner,
      resolver,
      changes,
      views,
      ids,
      schemaChanges: SchemaChanges.make({
        manager,
        resolve,
        transacting: transacting({ owner, withTransaction }),
        lockTimeout: dialect.lockTimeout
      }),
      resolve,
      owner,
      withTransaction,
      policy: Policy.within(Policy.defaults, options.policy),
      options: stagesOf(options)
    }
    const pipeline = QueryPipeline.make(stages, results)
    const client = RoutedClient.make({ pipeline, dialect, withTransaction, reactivity, watch: changes.watch })
    return {
      client,
      transaction: transactions.transaction,
      snapshot: transactions.snapshot,
      copyTo: CopyTo.make({ pipeline, planner, formats: dialect.copy }),
      copyFrom: CopyFrom.make({ stages, formats: dialect.copy, transaction: transactions.transaction }),
      inDoubt: inDoubt.inDoubt,
      recover: inDoubt.round,
      leadsRecovery: inDoubt.leads,
      outcome: inDoubt.outcome,
      resolve: inDoubt.resolve,
      ...statementsOf(client, pipeline, manager, dialect),
      ...pinsOf(pipeline, manager),
      nextId: (table, column) =>
        Effect.map(Generation.next({ ids, manager }, table, column, 1), ([id]) => {
          if (id === undefined) throw new Error("a draw of one id gave none")
          return id
        }),
      nextIds: (table, count, column) => Generation.next({ ids, manager }, table, column, count),
      topology: Effect.sync(manager.topology),
      install: dialect.install,
      check: planner.check,
      report: dialect.report,
      refresh: planner.invalidate,
      stats: () => ({ ...pipeline.stats(), parses: planner.parses() }),
      cacheStats: results.stats
    }
  })

const stagesOf = (options: Options): Stages["options"] => ({
  plansMax: options.plansMax ?? 2000,
  planTextMax: options.planTextMax ?? 32_768,
  mergeLimits: limitsOf(options)
})

const limitsOf = (options: Options): Limits => ({
  rowsMax: options.mergeRowsMax ?? 1_000_000,
  bytesMax: options.mergeBytesMax ?? 268_435_456,
  stagedMin: options.gatherTablesMin ?? 10_000,
  reducedMin: options.gatherKeysMax === 0 ? Infinity : (options.gatherTablesMin ?? 10_000),
  keysMax: options.gatherKeysMax ?? 10_000
})

/** Transactions, and what stands on their commits. */
const committing = ({
  dialect,
  log,
  manager,
  options,
  owner
}: {
  readonly log: CommitLogService | undefined
  readonly manager: ShardManagerService
  readonly dialect: DialectService
  readonly owner: object
  readonly options: Options
}) => {
  const { driver } = manager
  const shards = () => manager.topology().shards
  const inDoubt = InDoubt.make({ manager, log })
  const onBlocked = inDoubt.round({ grace: "1 second", forget: false })
  const views = log === undefined ? undefined : ReadView.make({ log, driver, onBlocked })
  const { deadlockTimeoutMillis = 1_000, finishTimeoutMillis = 5_000 } = options
  const distributed =
    log === undefined
      ? undefined
      : DistributedCommit.make({ log, driver, shards, deadlockTimeoutMillis, finishTimeoutMillis })
  const transactions = Transactions.make({
    owner,
    eager: false,
    reserve: (shard) => Effect.flatMap(driver(shard!), (opened) => opened.reserve),
    distributed,
    spanAttributes: dialect.spanAttributes,
    mapError: RoutedClient.toSqlError,
    views,
    shards
  })
  return { inDoubt, resolve: Effect.asVoid(onBlocked), transactions, views }
}

type Statements = Pick<
  ShardRouterService,
  "query" | "stream" | "queryPartial" | "cached" | "prepare" | "locate" | "explain"
>

const statementsOf = (
  client: SqlClient,
  pipeline: QueryPipeline.QueryPipeline,
  manager: ShardManagerService,
  dialect: DialectService
): Statements => {
  const partially = RoutedClient.partialOf(pipeline, dialect)
  /** The statement on this client, whichever client it was written with. */
  const routed = <A>(statement: Statement<A>): Statement<A> => {
    const [sql, params] = statement.compile()
    return client.unsafe(sql, params) as unknown as Statement<A>
  }
  return {
    query: (statement, policy) => {
      const rows = Effect.suspend(() => routed(statement)).pipe(Effect.mapError(unwrapped))
      return policy === undefined ? rows : ShardContext.withPolicy(rows, policy)
    },
    stream: (statement, policy) => {
      const rows = Stream.suspend(() => routed(statement).stream).pipe(Stream.mapError(unwrapped))
      return policy === undefined ? rows : ShardContext.streamWithPolicy(rows, policy)
    },
    queryPartial: <A>(statement: Statement<A>, policy?: Policy.Options) => {
      const rows = Effect.suspend(() => partially<A>(...statement.compile())).pipe(Effect.mapError(unwrapped))
      return policy === undefined ? rows : ShardContext.withPolicy(rows, policy)
    },
    cached: <A>(statement: Statement<A>, { timeToLive }: CachedRead.Options) =>
      Effect.suspend(() => {
        const cached = RoutedClient.cachedOf(pipeline, dialect, CachedRead.millisOf(timeToLive))
        return cached<A>(...statement.compile())
      }).pipe(Effect.mapError(unwrapped)),
    prepare: <A extends object>(sql: string) =>
      Effect.as(pipeline.prepare(sql), RoutedClient.preparedOf<A>({ client, pipeline, dialect, sql, unwrapped })),
    locate: (table, key) => Effect.flatMap(decodeKey(table, key), (tuple) => pipeline.locate(table.keyspace, tuple)),
    explain: explaining(pipeline, manager, dialect)
  }
}

const explaining = (
  pipeline: QueryPipeline.QueryPipeline,
  manager: ShardManagerService,
  dialect: DialectService
): ShardRouterService["explain"] => {
  const explanation = (sql: string, route: QueryPipeline.Route): Explain.Explanation =>
    Explain.explain({ sql, ...route, shards: manager.topology().shards, coordinator: manager.coordinator })
  const explained = (
    statement: Statement<any>,
    analyze: boolean,
    format: Explain.Format
  ): Effect.Effect<Explain.Explanation, ShardError> =>
    Effect.suspend(() => {
      const [sql, params] = statement.compile()
      return analyze
        ? Effect.map(pipeline.analyze(sql, params, { dialect, format }), ([route, analysis]) => ({
            ...explanation(sql, route),
            analysis
          }))
        : Effect.map(pipeline.route(sql, params), (route) => explanation(sql, route))
    })
  const explain = (
    statement: Statement<any>,
    {
      analyze = false,
      format
    }: { readonly analyze?: boolean | undefined; readonly format?: Explain.Format | undefined } = {}
  ): Effect.Effect<any, ShardError> => {
    const value = explained(statement, analyze, format ?? "text")
    if (format === undefined) return value
    return Effect.map(value, format === "json" ? Explain.formatJson : Explain.format)
  }
  return explain
}

type Pins = Pick<ShardRouterService, "currentShard" | "onShard" | "forKey" | "forKeyScoped" | "onAllShards">

const pinsOf = (pipeline: QueryPipeline.QueryPipeline, manager: ShardManagerService): Pins => ({
  currentShard: Effect.flatMap(ShardContext.current, ({ pin }) => {
    switch (pin?._tag) {
      case undefined:
        return Effect.succeedNone
      case "Shard":
        return Effect.succeedSome(pin.shard)
      case "Key":
        return Effect.asSome(pipeline.locate(pin.keyspace, pin.key))
    }
  }),
  onShard: <A, E, R>(effect: Effect.Effect<A, E, R>, shard: string) =>
    Effect.suspend((): Effect.Effect<A, E | ShardLocked | UnknownShard, R> => {
      const registered = manager.registered()
      const known = registered.find((id) => id === shard)
      return known === undefined
        ? Effect.fail(new UnknownShard({ shard, known: registered }))
        : ShardContext.pinned(effect, { _tag: "Shard", shard: known })
    }),
  forKey: (effect, table, key) => Effect.flatMap(keyPin(table, key), (pin) => ShardContext.pinned(effect, pin)),
  forKeyScoped: (table, key, options) =>
    Effect.flatMap(keyPin(table, key), (pin) => ShardContext.pinnedScoped(pin, { locked: options?.locked ?? false })),
  onAllShards: (effect, given) =>
    Effect.withFiberRuntime((fiber) => {
      const concurrency = given?.concurrency ?? pipeline.policyOf(fiber).concurrency
      const onOne = (shard: ShardId.ShardId) =>
        Effect.map(ShardContext.pinned(effect, { _tag: "Shard", shard }), (value) => [shard, value] as const)
      return Effect.map(
        Effect.forEach(manager.topology().shards, onOne, { concurrency }),
        (entries) => new Map(entries)
      )
    })
})

/** @since 0.1.0 @category layers */
export const layer = (
  options?: Options
): Layer.Layer<ShardRouter, never, ShardManager | QueryPlanner | KeyResolver | Dialect> =>
  Layer.effect(ShardRouter, make(options)).pipe(Layer.provide(Reactivity.layer))

/**
 * The routed client under the ordinary `SqlClient` tag.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerSqlClient: Layer.Layer<SqlClient, never, ShardRouter> = Layer.effect(
  Client.SqlClient,
  Effect.map(ShardRouter, (router) => router.client)
)

/**
 * Runs `effect` pinned to one shard: its statements go there, for that shard alone.
 *
 * @since 0.1.0
 * @category combinators
 */
export const onShard: {
  (
    shard: string
  ): <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | ShardLocked | UnknownShard, R | ShardRouter>
  <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    shard: string
  ): Effect.Effect<A, E | ShardLocked | UnknownShard, R | ShardRouter>
} = dual(2, <A, E, R>(effect: Effect.Effect<A, E, R>, shard: string) =>
  Effect.flatMap(ShardRouter, (router) => router.onShard(effect, shard))
)

/**
 * Runs `effect` pinned to one key: each statement must be provably limited to it.
 *
 * @since 0.1.0
 * @category combinators
 */
export const forKey =
  <Id extends string, Types extends ReadonlyArray<KeyType>>(
    table: Table.Sharded<Id, Types>,
    key: NoInfer<KeyInputs<Types>>
  ) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | ShardLocked | KeyInvalid, R | ShardRouter> =>
    Effect.flatMap(ShardRouter, (router) => router.forKey(effect, table, key))

/**
 * Pins the rest of this fiber to one key, and what it forks from here on, until the scope is closed: for a middleware,
 * which ends before what it guards begins. `locked`: as under `lockShard`, no other pin in there. Only the fiber that closes
 * the scope is unpinned by it. Dies inside of a batch (`Effect.forEach` with `batching`): say `forKey` there.
 *
 * @example
 * ```ts
 * import { Keyspace, ShardRouter, Table, Topology } from "@shardlayer/core"
 * import { SqlClient } from "@effect/sql"
 * import { Effect } from "effect"
 *
 * const { tables } = Topology.make({
 *   shards: ["shard_1", "shard_2"],
 *   keyspaces: { tenant: Keyspace.hash({ key: ["text"] }) },
 *   tables: { notes: Table.sharded({ key: "tenant", keyspace: "tenant" }) }
 * })
 *
 * const guard = (tenant: string) => ShardRouter.forKeyScoped(tables.notes, tenant, { locked: true })
 *
 * export const request = Effect.gen(function* () {
 *   const sql = yield* SqlClient.SqlClient
 *   yield* guard("acme")
 *   return yield* sql`SELECT text FROM notes WHERE tenant = ${"acme"}` // another tenant's would be KeyNotPinned
 * }).pipe(Effect.scoped)
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const forKeyScoped = <Id extends string, Types extends ReadonlyArray<KeyType>>(
  table: Table.Sharded<Id, Types>,
  key: NoInfer<KeyInputs<Types>>,
  options?: { readonly locked?: boolean | undefined }
): Effect.Effect<void, ShardLocked | KeyInvalid, ShardRouter | Scope.Scope> =>
  Effect.flatMap(ShardRouter, (router) => router.forKeyScoped(table, key, options))

/**
 * Runs `effect` once on each shard, several at a time, and gives the results by shard. The first failure interrupts the
 * others.
 *
 * @since 0.1.0
 * @category combinators
 */
export const onAllShards = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  options?: { readonly concurrency?: number | undefined }
): Effect.Effect<ReadonlyMap<ShardId.ShardId, A>, E | ShardLocked, R | ShardRouter> =>
  Effect.flatMap(ShardRouter, (router) => router.onAllShards(effect, options))

/**
 * The shard this fiber is pinned to.
 *
 * @since 0.1.0
 * @category accessors
 */
export const currentShard: Effect.Effect<Option.Option<ShardId.ShardId>, ShardError, ShardRouter> = Effect.flatMap(
  ShardRouter,
  (router) => router.currentShard
)

/**
 * An id of a column that the topology generates.
 *
 * @since 0.1.0
 * @category accessors
 */
export const nextId = (table: Table.Table | string, column?: string): Effect.Effect<string, ShardError, ShardRouter> =>
  Effect.flatMap(ShardRouter, (router) => router.nextId(table, column))

/**
 * Several of them, in ascending order.
 *
 * @since 0.1.0
 * @category accessors
 */
export const nextIds = (
  table: Table.Table | string,
  count: number,
  column?: string
): Effect.Effect<ReadonlyArray<string>, ShardError, ShardRouter> =>
  Effect.flatMap(ShardRouter, (router) => router.nextIds(table, count, column))

/**
 * Forbids another shard inside `effect`: a later switch is a `ShardLocked`.
 *
 * @since 0.1.0
 * @category combinators
 */
export const lockShard: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> = ShardContext.locked

/**
 * Sends pinned statements without looking at whose rows they write. A row put on a shard that does not own its key is
 * lost to the router: for repairs, and for loading what is known to be in place.
 *
 * @since 0.1.0
 * @category combinators
 */
export const unchecked: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> = ShardContext.unchecked

/**
 * Runs `effect` under a policy. What it leaves out is as in the scope around it, then as the router was made with; a
 * policy given with a statement (`router.query`) is inside of all.
 *
 * @example
 * ```ts
 * import { ShardRouter } from "@shardlayer/core"
 * import { SqlClient } from "@effect/sql"
 * import { Effect, Schedule } from "effect"
 *
 * const program = Effect.gen(function* () {
 *   const sql = yield* SqlClient.SqlClient
 *   return yield* sql`SELECT name FROM users WHERE country = ${"de"}`
 * }).pipe(ShardRouter.withPolicy({ shardTimeout: "2 seconds", retry: Schedule.recurs(2) }))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const withPolicy: {
  (policy: Policy.Options): <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(effect: Effect.Effect<A, E, R>, policy: Policy.Options): Effect.Effect<A, E, R>
} = dual(2, ShardContext.withPolicy)

/**
 * The resolver under the pin of the fiber that calls this, for what asks it in a fiber of its own. Who asks under a pin
 * needs none of this: their requests are run there, in batches of their own.
 *
 * @since 0.1.0
 * @category combinators
 */
export const bindResolver: <A extends Request.Request<any, any>, R>(
  resolver: RequestResolver.RequestResolver<A, R>
) => Effect.Effect<RequestResolver.RequestResolver<A, R>> = ShardContext.bindResolver

/**
 * Makes schema `shardlayer` on the meta database, or brings it up to date.
 *
 * @since 0.1.0
 * @category accessors
 */
export const install: Effect.Effect<void, ShardError, ShardRouter> = Effect.flatMap(
  ShardRouter,
  (router) => router.install
)

const keyPin = <Id extends string, Types extends ReadonlyArray<KeyType>>(
  table: Table.Sharded<Id, Types>,
  key: NoInfer<KeyInputs<Types>>
): Either.Either<ShardContext.Pin, KeyInvalid> =>
  Either.map(decodeKey(table, key), (tuple) => ({
    _tag: "Key",
    keyspace: table.keyspace,
    table: table.id,
    key: tuple
  }))

const decodeKey = <Id extends string, Types extends ReadonlyArray<KeyType>>(
  table: Table.Sharded<Id, Types>,
  key: NoInfer<KeyInputs<Types>>
) =>
  Either.mapLeft(
    Table.decodeKey(table, key),
    (reason) => new KeyInvalid({ table: table.id, column: table.columns.join(", "), reason })
  )

const unwrapped = (error: SqlError): ShardError => {
  if (isShardError(error.cause)) return error.cause
  throw new Error("the routed client failed with an untyped error", { cause: error })
}
