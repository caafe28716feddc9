/**
 * The query planner over PostgreSQL: parser, catalog, analysis, plans.
 *
 * Enters: SQL text. Leaves: a plan or a classification, or a typed refusal. Holds: of a shard nothing is asked but its
 * catalog and the types of parameters; the catalog is read once for all that wait for it, again after `invalidate`, and
 * (at most once in `reloadMillis`) before a name is refused as unknown; nothing is kept but the catalog.
 *
 * @since 0.1.0
 */
import type { CopyPlan, CopyTarget } from "@shardlayer/core/plan/Copy"
import type { PinnedPlan, Plan } from "@shardlayer/core/plan/Plan"
import type { Inspected, QueryPlannerService } from "@shardlayer/core/QueryPlanner"
import type { Description } from "@shardlayer/core/ShardConnection"
import { SchemaMismatch, type ShardError, ShardUnavailable } from "@shardlayer/core/ShardError"
import type { ShardId } from "@shardlayer/core/topology/ShardId"
import type { Finding } from "@shardlayer/core/topology/StartReport"
import { generatesIds, type Topology } from "@shardlayer/core/topology/Topology"
import { isNonEmptyReadonlyArray, type NonEmptyReadonlyArray } from "effect/Array"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { stoppable } from "./planner/analysis/Analyze.js"
import type { ParamTypes } from "./planner/analysis/Builder.js"
import type * as Catalog from "./planner/Catalog.js"
import * as CatalogCheck from "./planner/CatalogCheck.js"
import * as CatalogReader from "./planner/CatalogReader.js"
import * as Classify from "./planner/Classify.js"
import * as CopyPlanning from "./planner/CopyPlan.js"
import type { Coordinator } from "./planner/Coordinator.js"
import * as Generate from "./planner/Generate.js"
import * as Parser from "./planner/Parser.js"
import { type Planned, planStatement, paramTypes } from "./planner/PlanStatement.js"
import { toError } from "./planner/Refusal.js"
import * as SchemaView from "./planner/SchemaView.js"
import * as StartFindings from "./planner/StartFindings.js"
import type { Described } from "./planner/Types.js"
import * as Types from "./planner/Types.js"

/** @since 0.1.0 @category models */
export interface Database {
  readonly id: ShardId
  readonly driver: Effect.Effect<Inspected, ShardError>
}

/** @since 0.1.0 @category models */
export interface Options {
  /** The topology as it is now. */
  readonly topology: () => Topology
  /** Its shards; a driver may have to be opened first. */
  readonly shards: () => ReadonlyArray<Database>
  /** Where a PostgreSQL finishes, if that is chosen: a shard, or none of them. */
  readonly coordinator?: Database | undefined
  /** Where unqualified names are looked for. Default: what the shards' sessions say. */
  readonly searchPath?: ReadonlyArray<string> | undefined
  /** The shortest time between two readings of the catalog that an unknown name or a missing shard asks for. */
  readonly reloadMillis?: number | undefined
  /** How long a shard may take to tell its catalog. */
  readonly catalogTimeoutMillis?: number | undefined
}

/** @since 0.1.0 @category models */
export interface PgPlanner extends QueryPlannerService {
  /** Reads every shard's catalog now: all that statements would be refused for, and what cannot be read. */
  readonly findings: Effect.Effect<ReadonlyArray<Finding>>
}

/** The catalogs read last, and what they were read for. */
interface Loaded {
  /** A transaction was prepared on a shard, or changed its schema: the catalogs may be of different moments. */
  readonly isUnsettled: boolean
  readonly catalogs: ReadonlyArray<Catalog.ShardCatalog>
  readonly missing: ReadonlyArray<StartFindings.Missing>
  /** A shard's catalog could not be read just now: what is here of it, if anything, may be old. */
  readonly isBehind: boolean
  readonly problems: CatalogCheck.Problems
  /** One that is no shard. */
  readonly coordinator: Coordinator | undefined
  readonly view: SchemaView.SchemaView
  readonly topology: Topology
  readonly readAtMillis: number
}

/** @since 0.1.0 @category constructors */
export const make = (options: Options): Effect.Effect<PgPlanner> =>
  Effect.gen(function* () {
    const parser = yield* Parser.make
    const catalog = yield* makeCatalog(options)
    const parse = (sql: string) => Effect.suspend(() => parser.parse(sql))

    const plan = (sql: string): Effect.Effect<Plan, ShardError> =>
      Effect.flatMap(parse(sql), (parsed) => attempt(options, catalog, parser, parsed, false))

    const classify = (sql: string): Effect.Effect<PinnedPlan, ShardError> =>
      Effect.flatMap(parse(sql), (parsed) =>
        Effect.flatMap(Effect.zip(Clock.currentTimeMillis, catalog.current), ([sinceMillis, loaded]) => {
          const first = Classify.classify(parsed, loaded.view)
          if (!first.unknownName) return Effect.succeed(first.plan)
          return Effect.map(catalog.newer(loaded, sinceMillis), (newer) =>
            newer === undefined ? first.plan : Classify.classify(parsed, newer.view).plan
          )
        })
      )

    const generate: QueryPlannerService["generate"] = (sql) => {
      const parsed = parser.parse(sql)
      // Whoever runs it says what is wrong with it.
      if (Either.isLeft(parsed)) return Effect.succeed(undefined)
      return Effect.flatMap(catalog.current, ({ view }) =>
        Either.mapLeft(Generate.generate(parser, parsed.right, view), (refusal) => toError(refusal, sql))
      )
    }

    return {
      version: catalog.version,
      plan,
      generate,
      classify,
      ...copying(options, catalog, plan),
      invalidate: catalog.invalidate,
      inside: (session) =>
        make({
          ...options,
          shards: () =>
            options.shards().map(({ driver, id }) => {
              const own = session(id)
              return { id, driver: own === undefined ? driver : Effect.succeed(own) }
            })
        }),
      check: Effect.flatMap(catalog.reload, (loaded) => {
        const [missing] = loaded.missing
        if (missing !== undefined) return Effect.fail(missing.error)
        const problems = [...[...loaded.problems.values()].flat(), ...(loaded.coordinator?.problems ?? [])]
        return problems.length === 0 ? Effect.void : Effect.fail(new SchemaMismatch({ problems }))
      }),
      findings: Effect.map(catalog.reload, findingsOf).pipe(
        Effect.catchAll(() => Effect.sync(() => catalog.unread().map(StartFindings.unread)))
      ),
      parses: parser.parses
    }
  })

const findingsOf = (loaded: Loaded): ReadonlyArray<Finding> => [
  ...loaded.missing.map(StartFindings.unread),
  ...StartFindings.find(loaded)
]

/** COPY in both directions, as the statements that it stands for. */
const copying = (
  options: Options,
  catalog: CatalogState,
  plan: QueryPlannerService["plan"]
): Pick<QueryPlannerService, "copyFrom" | "copyTo"> => {
  const copyFrom = (target: CopyTarget): Effect.Effect<CopyPlan, ShardError> =>
    Effect.suspend(() => {
      const topology = options.topology()
      const name = CopyPlanning.nameOf(topology, target.table)
      if (!target.generates || !generatesIds(topology)) {
        return copyOf(name, target, CopyPlanning.ungenerated(target))
      }
      return Effect.flatMap(catalog.current, ({ view }) =>
        copyOf(name, target, CopyPlanning.generated(name, target, view))
      )
    })

  const copyOf = (
    name: CopyPlanning.Name,
    { format, several, unseen }: CopyTarget,
    { columns, draws, pinned }: CopyPlanning.Generated
  ): Effect.Effect<CopyPlan, ShardError> => {
    const insert = CopyPlanning.insert(name, columns, 1)
    const statement = CopyPlanning.statement(name, columns, format)
    const known = { statement, insert, draws, pinned, moment: undefined }
    if (unseen) return Effect.succeed({ ...known, plan: undefined })
    return Effect.flatMap(plan(insert), (made): Effect.Effect<CopyPlan, ShardError> =>
      several && made._tag !== "Fixed"
        ? Effect.map(copyOfSeveral(name, columns, format), (timed) => ({ ...known, plan: made, ...timed }))
        : Effect.succeed({ ...known, plan: made })
    )
  }

  /** What several shards could not do as one, one statement of two rows says. */
  const copyOfSeveral = (
    name: CopyPlanning.Name,
    columns: ReadonlyArray<string>,
    format: CopyTarget["format"]
  ): Effect.Effect<Timed, ShardError> => {
    const rows = CopyPlanning.insert(name, columns, 2)
    return Effect.flatMap(
      Effect.zip(plan(rows), catalog.current),
      ([made, { view }]): Effect.Effect<Timed, ShardError> => {
        if (made._tag === "Routed" && made.scatter._tag === "Refuse") return Effect.fail(made.scatter.refusal)
        const timed = Either.flatMap(
          Either.mapLeft(
            stoppable(() => view.table(name.schema, name.name, undefined)),
            () => undefined
          ),
          (named) => CopyPlanning.timed(named, columns)
        )
        if (Either.isLeft(timed)) {
          // It was there a moment ago.
          if (timed.left === undefined)
            return Effect.fail(new SchemaMismatch({ problems: [`${name.name} has changed`] }))
          return Effect.fail(toError(timed.left, rows))
        }
        const all = [...columns, ...timed.right.map((column) => column.name)]
        return Effect.succeed({
          statement: CopyPlanning.statement(name, all, format),
          moment: CopyPlanning.moment(timed.right)
        })
      }
    )
  }

  const copyTo = (table: string, columns: ReadonlyArray<string> | undefined): Effect.Effect<string, ShardError> =>
    Effect.suspend(() => {
      const name = CopyPlanning.nameOf(options.topology(), table)
      if (columns !== undefined) return Effect.succeed(CopyPlanning.select(name, columns))
      return Effect.map(catalog.current, ({ view }) => {
        const named = stoppable(() => view.table(name.schema, name.name, undefined))
        const relation = Either.isRight(named) ? named.right.relation : undefined
        // What it is refused for is said of the statement.
        if (relation === undefined) return CopyPlanning.select(name, undefined)
        const all = relation.columns.filter(({ generated }) => generated === "")
        return CopyPlanning.select(
          name,
          all.map((column) => column.name)
        )
      })
    })

  return { copyFrom, copyTo }
}

type Timed = Pick<CopyPlan, "statement" | "moment">

interface CatalogState {
  readonly version: () => number
  /** Read now, if it was not before or is stale. */
  readonly current: Effect.Effect<Loaded, ShardError>
  readonly reload: Effect.Effect<Loaded, ShardError>
  /** A newer reading than this one; none if this one was begun at `sinceMillis` or later. */
  readonly newer: (than: Loaded, sinceMillis: number) => Effect.Effect<Loaded | undefined, ShardError>
  readonly invalidate: Effect.Effect<void>
  /** Why the last reading failed: of all databases, none told its catalog. */
  readonly unread: () => ReadonlyArray<StartFindings.Missing>
}

const makeCatalog = (options: Options): Effect.Effect<CatalogState> =>
  Effect.map(Effect.makeSemaphore(1), (single) => {
    const reloadMillis = options.reloadMillis ?? 250
    let loaded: Loaded | undefined
    let isStale = true
    let version = 1
    let unread: ReadonlyArray<StartFindings.Missing> = []
    const hasChanged = topologyChanges(options)

    const followTopology = () => {
      if (!hasChanged()) return
      isStale = true
      version++
    }

    const load = Effect.suspend(() => {
      followTopology()
      isStale = false
      return readSettled(options, loaded)
    }).pipe(
      Effect.mapError((missing) => {
        unread = missing
        return missing[0].error
      }),
      Effect.tap((fresh) =>
        Effect.sync(() => {
          if (loaded !== undefined && contentOf(loaded) !== contentOf(fresh)) version++
          loaded = fresh
        })
      ),
      // Interruption included.
      Effect.onError(() =>
        Effect.sync(() => {
          isStale = true
        })
      )
    )

    /** Shards that could not be read are tried again beside what is planned meanwhile, at most once in `reloadMillis`. */
    const catchUp = (than: Loaded) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        now - than.readAtMillis < reloadMillis
          ? Effect.void
          : Effect.forkDaemon(
              single.withPermitsIfAvailable(1)(
                Effect.suspend(() => (loaded === than ? Effect.ignore(load) : Effect.void))
              )
            )
      )

    const current = Effect.suspend(() => {
      followTopology()
      if (loaded !== undefined && !isStale) {
        return loaded.isBehind ? Effect.as(catchUp(loaded), loaded) : Effect.succeed(loaded)
      }
      // Those who waited find it read.
      return single.withPermits(1)(
        Effect.suspend(() => (loaded !== undefined && !isStale ? Effect.succeed(loaded) : load))
      )
    })

    return {
      version: () => {
        followTopology()
        return version
      },
      current,
      reload: single.withPermits(1)(load),
      unread: () => unread,
      newer: (than, sinceMillis) => {
        if (loaded !== undefined && loaded !== than) return Effect.succeed(loaded)
        if (than.readAtMillis > sinceMillis) return Effect.succeed(undefined)
        return single.withPermits(1)(
          Effect.flatMap(Clock.currentTimeMillis, (now) => {
            if (loaded !== than) return current
            return Effect.delay(load, Duration.millis(Math.max(0, than.readAtMillis + reloadMillis - now)))
          })
        )
      },
      invalidate: Effect.sync(() => {
        isStale = true
        version++
      })
    }
  })

/** Whether it has another shape than when it was asked last: a new slot map leaves plans as they are. */
const topologyChanges = (options: Options): (() => boolean) => {
  let seen = options.topology()
  let shape = shapeOf(seen)
  return () => {
    const now = options.topology()
    if (now === seen) return false
    seen = now
    const next = shapeOf(now)
    if (next === shape) return false
    shape = next
    return true
  }
}

const shapeOf = (topology: Topology): string =>
  JSON.stringify([
    topology.shards,
    topology.unlisted,
    topology.pureFunctions,
    Object.values(topology.keyspaces).map((keyspace) => [keyspace.name, keyspace.key]),
    topology.tables
  ])

/** Two readings with the same content give the same plans. */
const contentOf = ({ catalogs, coordinator, missing, problems }: Loaded): string =>
  JSON.stringify([
    [...catalogs, ...(coordinator?.catalog === undefined ? [] : [coordinator.catalog])].map((catalog) => ({
      ...catalog,
      relations: [...catalog.relations],
      indexTables: [...catalog.indexTables],
      builtins: catalog.builtins.size,
      system: catalog.system.size
    })),
    missing.map(({ shard }) => shard),
    [...problems],
    coordinator?.problems
  ])

/** How long a schema change that some shards have committed may take on the others, before it is called a mismatch. */
const settlingMillis = 2_000

/**
 * Catalogs that differ because a change of the schema is being committed are read again: shards commit it one after
 * another, and each is asked by itself. What differs in the second reading, with no transaction prepared anywhere, differs.
 */
const readSettled = (options: Options, before: Loaded | undefined): Effect.Effect<Loaded, Unread> =>
  Effect.gen(function* () {
    const startedAt = yield* Clock.currentTimeMillis
    let fresh = yield* readAll(options, before)
    for (let pauseMillis = 25; fresh.problems.size > 0; pauseMillis *= 2) {
      if (fresh.readAtMillis - startedAt > settlingMillis) break
      if (pauseMillis > 25 && !fresh.isUnsettled) break
      yield* Effect.sleep(Duration.millis(pauseMillis))
      fresh = yield* readAll(options, before)
    }
    return fresh
  })

/** Why no database told its catalog. */
type Unread = NonEmptyReadonlyArray<StartFindings.Missing>

/** Asks all shards at once, and a coordinator that is none of them; at least one shard must answer. */
const readAll = (options: Options, before: Loaded | undefined): Effect.Effect<Loaded, Unread> =>
  Effect.gen(function* () {
    const topology = options.topology()
    const readAtMillis = yield* Clock.currentTimeMillis
    const shards = options.shards()
    const apart = shards.some(({ id }) => id === options.coordinator?.id) ? undefined : options.coordinator
    const readings = yield* Effect.forEach(
      apart === undefined ? shards : [...shards, apart],
      (database) => readOne(options, topology, before, database),
      { concurrency: "unbounded" }
    )
    const isApart = ({ id }: Reading) => id === apart?.id
    const catalogs = readings.flatMap((reading) =>
      reading.catalog === undefined || isApart(reading) ? [] : [reading.catalog]
    )
    const missing = readings.flatMap(({ catalog, error, id }) =>
      catalog === undefined && error !== undefined ? [{ shard: id, error }] : []
    )
    const isBehind = readings.some(({ error }) => error !== undefined)
    const isUnsettled = readings.some((reading) => reading.isUnsettled)
    if (catalogs.length === 0) {
      return yield* isNonEmptyReadonlyArray(missing)
        ? Effect.fail(missing)
        : Effect.dieMessage("the topology has no shards")
    }
    const problems = CatalogCheck.check(topology, catalogs)
    const catalog = readings.find(isApart)?.catalog
    const coordinator: Coordinator | undefined = apart && {
      id: apart.id,
      catalog,
      problems: catalog === undefined ? [] : CatalogCheck.coordinatorProblems(catalog, catalogs)
    }
    const searchPath = options.searchPath ?? searchPathOf(catalogs)
    const view = SchemaView.make({ topology, catalogs, problems, searchPath, coordinator })
    return { catalogs, missing, isBehind, isUnsettled, problems, coordinator, view, topology, readAtMillis }
  })

/** What a database said of its catalog, or why it did not; then the one known before may stand for it. */
interface Reading {
  readonly id: ShardId
  readonly catalog: Catalog.ShardCatalog | undefined
  readonly error: ShardError | undefined
  readonly isUnsettled: boolean
}

const readOne = (
  options: Options,
  topology: Topology,
  before: Loaded | undefined,
  { driver, id }: Database
): Effect.Effect<Reading> => {
  const timeoutMillis = options.catalogTimeoutMillis ?? 10_000
  return Effect.flatMap(driver, (connection) => CatalogReader.read(id, connection, topology)).pipe(
    Effect.timeoutFail({
      duration: Duration.millis(timeoutMillis),
      onTimeout: () =>
        new ShardUnavailable({ shard: id, reason: `its catalog did not come within ${timeoutMillis} ms`, sent: false })
    }),
    Effect.match({
      onSuccess: ({ catalog, isUnsettled }): Reading => ({ id, catalog, error: undefined, isUnsettled }),
      onFailure: (error) => ({
        id,
        catalog: isLocked(error) ? knownOf(before, id) : undefined,
        error,
        isUnsettled: isLocked(error)
      })
    })
  )
}

const knownOf = (before: Loaded | undefined, id: ShardId): Catalog.ShardCatalog | undefined =>
  before?.coordinator?.id === id ? before.coordinator.catalog : before?.catalogs.find(({ shard }) => shard === id)

/** Where the shards' own sessions look for names; `CatalogCheck` makes sure that all look alike. */
const searchPathOf = (catalogs: ReadonlyArray<Catalog.ShardCatalog>): ReadonlyArray<string> => {
  const path: unknown = JSON.parse(catalogs[0]?.settings["search_path"] ?? "[]")
  return Array.isArray(path) ? path.filter((schema) => typeof schema === "string") : []
}

/**
 * Reading a catalog waits for who changes the schema in an open transaction. Nothing of that is committed yet, so what
 * was read before still says what is.
 */
const isLocked = (error: ShardError): boolean => error._tag === "StatementFailed" && error.kind === "LockNotAvailable"

const pendingTypes: ParamTypes = { scalar: () => "pending", array: () => "pending" }

/** Plans with the catalog at hand; an unknown name is looked for once more in a newer one. */
const attempt = (
  options: Options,
  catalog: CatalogState,
  parser: Parser.Parser,
  parsed: Parser.Parsed,
  isSecond: boolean
): Effect.Effect<Plan, ShardError> =>
  Effect.flatMap(Effect.zip(Clock.currentTimeMillis, catalog.current), ([sinceMillis, loaded]) => {
    const stoppedBy = (stop: SchemaView.Stop) =>
      stopped(options, catalog, loaded, parser, parsed, stop, isSecond ? undefined : sinceMillis)
    const general = loaded.problems.get(CatalogCheck.everything)
    if (general !== undefined) return Effect.fail(new SchemaMismatch({ problems: general }))
    const known = new Map<string, Described | "invalid">()
    const plan = (types: ParamTypes) => planDescribed(options, loaded, { parser, parsed, types, known })
    return Effect.flatMap(plan(pendingTypes), (first) => {
      if (Either.isLeft(first)) return stoppedBy(first.left)
      if (first.right.paramsNeeded.size === 0) return Effect.succeed(first.right.plan)
      const answered = known.get(parsed.sql)
      const described =
        answered === undefined || answered === "invalid"
          ? describe(options, loaded, parsed.sql, shardsOf(first.right.plan))
          : Effect.succeed(answered)
      return Effect.flatMap(described, (types) =>
        Effect.flatMap(plan(paramTypes(types)), (second) =>
          Either.isLeft(second) ? stoppedBy(second.left) : Effect.succeed(second.right.plan)
        )
      )
    })
  })

interface Planning {
  readonly parser: Parser.Parser
  readonly parsed: Parser.Parsed
  readonly types: ParamTypes
  /** What shards said of texts so far. */
  readonly known: Map<string, Described | "invalid">
}

/** Its own text, the shards' part, what finishes it; of a set operation, each of its branches. */
const describesMax = 100

/** Plans, and asks a shard about each text that the plan is made of, until it is whole. */
const planDescribed = (
  options: Options,
  loaded: Loaded,
  { known, parsed, parser, types }: Planning
): Effect.Effect<Either.Either<Planned, SchemaView.Stop>, ShardError> =>
  Effect.suspend(() => {
    const planned = planStatement(parser, parsed, loaded.view, types, (sql) => known.get(sql))
    if (Either.isRight(planned) || planned.left._tag !== "Undescribed") return Effect.succeed(planned)
    const { shard, sql } = planned.left
    if (known.size >= describesMax) throw new Error(`a plan asks for the types of too many texts: ${sql}`)
    const own = describe(options, loaded, sql, shard === undefined ? [] : [shard])
    // What the server does not take of the program's own text is the program's to know; of ours, it is a refusal.
    const asked =
      sql === parsed.sql ? own : Effect.catchTag(own, "StatementFailed", () => Effect.succeed("invalid" as const))
    return Effect.flatMap(asked, (described) => {
      known.set(sql, described)
      return planDescribed(options, loaded, { parser, parsed, types, known })
    })
  })

const stopped = (
  options: Options,
  catalog: CatalogState,
  loaded: Loaded,
  parser: Parser.Parser,
  parsed: Parser.Parsed,
  stop: SchemaView.Stop,
  /** When the statement came; absent where it was planned anew already. */
  sinceMillis: number | undefined
): Effect.Effect<Plan, ShardError> => {
  const mayChange = stop._tag !== "Refused" || stop.unknownName
  if (sinceMillis === undefined || !mayChange) return Effect.fail(errorOf(loaded, parsed.sql, stop))
  return Effect.flatMap(catalog.newer(loaded, sinceMillis), (newer) =>
    newer === undefined
      ? Effect.fail(errorOf(loaded, parsed.sql, stop))
      : attempt(options, catalog, parser, parsed, true)
  )
}

const errorOf = (loaded: Loaded, sql: string, stop: SchemaView.Stop): ShardError => {
  switch (stop._tag) {
    case "Refused":
      return toError(stop.refusal, sql)
    case "Undescribed":
      throw new Error(`a text was not described: ${stop.sql}`)
    case "Mismatch":
      return new SchemaMismatch({ problems: stop.problems })
    case "Unread": {
      const missing = loaded.missing.find(({ shard }) => shard === stop.shard)
      return (
        missing?.error ??
        new ShardUnavailable({
          shard: stop.shard,
          reason:
            stop.table === "" ? "its catalog was not read" : `its catalog, with table ${stop.table}, was not read`,
          sent: false
        })
      )
    }
  }
}

const shardsOf = (plan: Plan): ReadonlyArray<ShardId> =>
  plan._tag === "Fixed" ? [plan.shard] : plan._tag === "Routed" ? plan.singles : []

/**
 * The parameters' types, asked of a shard that has the statement's tables: the one it is fixed to, or the first that
 * answers.
 */
const describe = (
  options: Options,
  loaded: Loaded,
  sql: string,
  singles: ReadonlyArray<ShardId>
): Effect.Effect<Described, ShardError> => {
  const answered = new Set(loaded.catalogs.map((catalog) => catalog.shard))
  const candidates = options.shards().filter(({ id }) => (singles.length > 0 ? singles.includes(id) : answered.has(id)))
  const [first, ...rest] = candidates.map(({ driver, id }, index) => {
    const types = Effect.map(
      Effect.flatMap(driver, (connection) => connection.describe(sql)),
      (description) => describedOn(loaded, id, description)
    )
    // A shard that hangs, or whose only session a transaction holds, is not waited for while another can answer.
    return index === candidates.length - 1 ? types : Effect.timeoutFail(types, slow(id))
  })
  if (first === undefined) {
    return Effect.fail(
      new ShardUnavailable({ shard: singles[0] ?? "", reason: "no shard can describe the statement", sent: false })
    )
  }
  return rest.reduce<Effect.Effect<Described, ShardError>>(
    (before, next) => Effect.catchIf(before, mayKnowMore, () => next),
    first
  )
}

/** A table of one shard, in a text of which no plan says yet where it goes, is not there on the others. */
const mayKnowMore = (error: ShardError): boolean =>
  error._tag === "ShardUnavailable" || (error._tag === "StatementFailed" && error.code === "42P01")

const slow = (shard: ShardId) => ({
  duration: Duration.seconds(1),
  onTimeout: () => new ShardUnavailable({ shard, reason: "it did not describe a statement within 1 s", sent: false })
})

/** Domains have oids of their own on each shard; what counts is the type under them. */
const describedOn = (loaded: Loaded, shard: ShardId, description: Description): Described => {
  const types: Types.Known = loaded.catalogs.find((catalog) => catalog.shard === shard) ?? {
    types: [],
    orders: [],
    recasts: []
  }
  return {
    params: description.params.map((oid) => Types.ofOid(oid, types)),
    columns: description.columns.map(({ name, type }) => ({ name, type: Types.ofOid(type, types) }))
  }
}
