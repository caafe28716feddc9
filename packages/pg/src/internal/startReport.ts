/**
 * The report of a start: what the catalogs tell, and what else is asked of each database that answers.
 *
 * Holds: it never fails, and waits for no database longer than its limits say; nothing is changed anywhere.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { ShardError } from "@shardlayer/core/ShardError"
import type { ShardManagerService } from "@shardlayer/core/ShardManager"
import * as StartReport from "@shardlayer/core/topology/StartReport"
import type { ShardId } from "@shardlayer/core/topology/ShardId"
import * as Table from "@shardlayer/core/topology/Table"
import type { Topology } from "@shardlayer/core/topology/Topology"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { CustomResolver } from "@shardlayer/core/KeyResolver"
import * as PgInstall from "../PgInstall.js"
import type { PgPlanner } from "../PgPlanner.js"

export interface Sources {
  readonly manager: ShardManagerService
  readonly planner: Pick<PgPlanner, "findings">
  /** The meta database's client. */
  readonly meta: Effect.Effect<SqlClient, ShardError>
  /** It is none of the topology's shards. */
  readonly isMetaApart: boolean
  /** The topology is kept there. */
  readonly isStored: boolean
  readonly custom: { readonly [name: string]: CustomResolver } | undefined
}

type Finding = StartReport.Finding

export const make = (sources: Sources): Effect.Effect<StartReport.StartReport> =>
  Effect.gen(function* () {
    const { manager, planner } = sources
    const found = yield* planner.findings
    const topology = manager.topology()
    const silent = new Set(found.flatMap(({ kind, shards }) => (kind === "unreachable" ? shards : [])))
    const answering = topology.shards.filter((shard) => !silent.has(shard))
    const [servers, installed] = yield* Effect.all(
      [askAll(manager, answering), installation(sources, topology, answering)],
      { concurrency: 2 }
    )
    return StartReport.make(topology, [
      ...found,
      ...shared(servers),
      ...resolvers(sources, topology),
      ...installed,
      ...(topology.shards.length < 2 ? [] : unprepared(servers))
    ])
  })

interface Server {
  readonly shard: ShardId
  /** Equal for two shards that are one database, seen through the same schemas. */
  readonly database: string
  readonly isPrepared: boolean
}

/** Who cannot be asked is left out. */
export const askAll = (
  manager: ShardManagerService,
  shards: ReadonlyArray<ShardId>
): Effect.Effect<ReadonlyArray<Server>> =>
  Effect.forEach(shards, (shard) => ask(manager, shard), { concurrency: "unbounded" }).pipe(
    Effect.map((all) => all.filter((server) => server !== undefined))
  )

const ask = (manager: ShardManagerService, shard: ShardId): Effect.Effect<Server | undefined> =>
  Effect.flatMap(manager.driver(shard), (driver) => driver.inspect(serverSql, [])).pipe(
    Effect.map(([row]): Server => ({ shard, database: String(row?.[0]), isPrepared: row?.[1] !== "0" })),
    Effect.timeout("30 seconds"),
    Effect.orElseSucceed(() => undefined)
  )

/** No two servers start in the same microsecond, and have a database of the same number and name. */
const serverSql = `SELECT concat_ws(' ', pg_catalog.pg_postmaster_start_time(), d.oid, d.datname, pg_catalog.current_schemas(false)),
  pg_catalog.current_setting('max_prepared_transactions')
FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()`

const shared = (servers: ReadonlyArray<Server>): ReadonlyArray<Finding> => {
  const databases = new Map<string, Array<ShardId>>()
  for (const { database, shard } of servers) databases.set(database, [...(databases.get(database) ?? []), shard])
  return [...databases.values()].flatMap((shards) =>
    shards.length < 2
      ? []
      : [
          {
            severity: "error",
            kind: "database",
            shards,
            problem: "they are one database: its rows would be read once for each of them",
            advice: "Correct how they are connected to"
          }
        ]
  )
}

/** Servers that prepare nothing; a router of one shard does without. */
export const unprepared = (servers: ReadonlyArray<Server>): ReadonlyArray<Finding> => {
  const shards = servers.flatMap(({ isPrepared, shard }) => (isPrepared ? [] : [shard]))
  if (shards.length === 0) return []
  return [
    {
      severity: "warning",
      kind: "prepared",
      shards,
      problem:
        "max_prepared_transactions is 0 on the server: transactions that write there and on another shard will fail (PreparedTransactionsDisabled)",
      advice: "Set it to at least max_connections in postgresql.conf, and restart the server"
    }
  ]
}

const resolvers = ({ custom }: Sources, topology: Topology): ReadonlyArray<Finding> =>
  Object.values(topology.keyspaces).flatMap(({ name, resolver }): ReadonlyArray<Finding> => {
    if (resolver._tag !== "Custom" || (custom !== undefined && Object.hasOwn(custom, resolver.name))) return []
    const problem = `keyspace ${name} is resolved by function ${resolver.name}, which the router was not given`
    return [{ severity: "error", kind: "resolver", shards: [], problem, advice: "Give it in option `custom`" }]
  })

/** Who cannot do without our tables on the meta database. */
const metaUses = ({ isStored }: Sources, topology: Topology): ReadonlyArray<string> => {
  const generators = Object.values(topology.tables).flatMap((table) => Object.values(Table.generatorsOf(table)))
  const isLookup = Object.values(topology.keyspaces).some(({ resolver }) => resolver._tag === "Lookup")
  return [
    ...(isStored ? ["the stored topology"] : []),
    ...(isLookup ? ["directories"] : []),
    ...(generators.some(({ _tag }) => _tag !== "Uuidv7") ? ["generated ids"] : [])
  ]
}

/** Our tables on one database: what is wrong with them, or the installation it belongs to. */
type Installed = Either.Either<string | undefined, ShardError>

const installedOn = (client: Effect.Effect<SqlClient, ShardError>): Effect.Effect<Installed | undefined> =>
  Effect.flatMap(client, (opened) => Effect.zipRight(PgInstall.check(opened), PgInstall.clusterOf(opened))).pipe(
    Effect.either,
    Effect.timeout("10 seconds"),
    Effect.orElseSucceed(() => undefined)
  )

const installation = (
  sources: Sources,
  topology: Topology,
  answering: ReadonlyArray<ShardId>
): Effect.Effect<ReadonlyArray<Finding>> =>
  Effect.gen(function* () {
    const uses = metaUses(sources, topology)
    const asked: ReadonlyArray<ShardId> = topology.shards.length > 1 ? answering : []
    const needsMeta = uses.length > 0 && (sources.isMetaApart || answering.includes(topology.meta))
    const [meta, shards] = yield* Effect.all(
      [
        needsMeta ? installedOn(sources.meta) : Effect.succeed(Either.right(undefined)),
        Effect.forEach(
          asked,
          (shard) => Effect.map(installedOn(sources.manager.client(shard)), (installed) => ({ shard, installed })),
          { concurrency: "unbounded" }
        )
      ],
      { concurrency: 2 }
    )
    const name = sources.isMetaApart ? "meta" : topology.meta
    return [
      ...ofMeta(meta, name, uses),
      ...ofShards(shards.filter(({ shard }) => uses.length === 0 || shard !== name)),
      ...strangers([...shards, ...(sources.isMetaApart ? [{ shard: name, installed: meta }] : [])])
    ]
  })

const ofMeta = (
  installed: Installed | undefined,
  shard: string,
  uses: ReadonlyArray<string>
): ReadonlyArray<Finding> => {
  if (installed === undefined || (Either.isLeft(installed) && installed.left._tag !== "NotInstalled")) {
    const why = installed === undefined ? "no answer within 10 s" : installed.left.message
    const advice = `Start its server, or correct how it is connected to: without it there is no ${uses.join(", no ")}`
    return [{ severity: "error", kind: "unreachable", shards: [shard], problem: `the meta database: ${why}`, advice }]
  }
  if (Either.isRight(installed)) return []
  const problem = `${stateOf(installed.left)} on the meta database, which ${uses.join(", ")} need`
  return [{ severity: "error", kind: "installation", shards: [shard], problem, advice: installAdvice }]
}

/** Shards with one state in one line. */
const ofShards = (
  all: ReadonlyArray<{ readonly shard: ShardId; readonly installed: Installed | undefined }>
): ReadonlyArray<Finding> => {
  const states = new Map<string, Array<ShardId>>()
  for (const { installed, shard } of all) {
    if (installed === undefined || Either.isRight(installed)) continue
    const state = stateOf(installed.left)
    states.set(state, [...(states.get(state) ?? []), shard])
  }
  return [...states].map(([state, shards]) => ({
    severity: "warning",
    kind: "installation",
    shards,
    problem: `${state}: transactions that write on several shards will fail there`,
    advice: installAdvice
  }))
}

const installAdvice = "Run ShardRouter.install, or start with `install: true`"

const stateOf = (error: ShardError): string => {
  if (error._tag !== "NotInstalled") return `schema shardlayer cannot be read (${error.message})`
  const { expected, found } = error
  return found === undefined
    ? "schema shardlayer is missing"
    : `schema shardlayer has version ${found}, this program needs ${expected}`
}

/** Databases that another installation has named: two-phase commit would not know their transactions. */
const strangers = (
  all: ReadonlyArray<{ readonly shard: string; readonly installed: Installed | undefined }>
): ReadonlyArray<Finding> => {
  const owners = new Map<string, Array<string>>()
  for (const { installed, shard } of all) {
    if (installed === undefined || Either.isLeft(installed) || installed.right === undefined) continue
    owners.set(installed.right, [...(owners.get(installed.right) ?? []), shard])
  }
  if (owners.size < 2) return []
  const said = [...owners].map(([owner, shards]) => `${shards.join(", ")} to ${owner}`)
  return [
    {
      severity: "error",
      kind: "installation",
      shards: [],
      problem: `the databases belong to several installations: ${said.join("; ")}`,
      advice: "Look whether a shard leads to a database of another installation"
    }
  ]
}
