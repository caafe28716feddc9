/**
 * The sides of a comparison: one PostgreSQL with all rows, the same once more with everything else as different as it
 * can be, and routers over databases that share the rows.
 *
 * Enters: a server, a world, numbers of shards. Leaves: sessions, routers, and the means to change the rows on all of
 * them. Holds: the server's own hash functions decide which shard has a row, never the router's.
 */
import type { ShardLayer } from "@shardlayer/core/LazyShard"
import { ShardRouter, type ShardRouterService } from "@shardlayer/core/ShardRouter"
import type { Topology } from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { Answer } from "../conformance/Answer.js"
import * as Session from "../conformance/Session.js"
import { name as quoted } from "./Print.js"
import * as World from "./World.js"

export interface Sides {
  readonly world: World.World
  readonly oracle: Session.Session
  /** The oracle's rows, stored in another order and read by other plans: what differs here has no one answer. */
  readonly mirror: Mirror
  /** By number of shards. */
  readonly routers: ReadonlyMap<number, ShardRouterService>
  /** Types that databases define themselves have numbers of their own in each; names compare. */
  readonly named: (answer: Answer) => Answer
  /** Gives all databases these rows instead; tables that are not among them are emptied. */
  readonly refill: (tables: ReadonlyArray<World.WorldTable>) => Effect.Effect<void>
}

export interface Mirror extends Session.Session {
  /**
   * The answer while no table has a key or a unique index. No query's rows hang on those, but which joins PostgreSQL leaves
   * out does: what differs here is a mistake of its own.
   */
  readonly withoutKeys: Session.Session["ask"]
}

interface Options {
  readonly address: Session.Address
  readonly world: World.World
  readonly shards: ReadonlyArray<number>
  /** Distinguishes the databases of several at a time. */
  readonly prefix?: string
}

/** A database, and which of all rows it keeps. */
interface Member {
  readonly database: string
  readonly topology: Topology | undefined
  readonly shard: string
}

export const make = ({ address, prefix = "fuzz", shards, world }: Options): Effect.Effect<Sides, never, Scope.Scope> =>
  Effect.gen(function* () {
    const admin = yield* Session.open(address, "postgres")
    const [oracleName, mirrorName] = [`${prefix}_oracle`, `${prefix}_mirror`]
    const topologies = new Map(shards.map((count) => [count, World.topology(world, count)]))
    const databaseOf = (count: number, id: string) => `${prefix}_${count}_${id}`
    const members: ReadonlyArray<Member> = [
      { database: oracleName, topology: undefined, shard: "" },
      { database: mirrorName, topology: undefined, shard: "" },
      ...[...topologies].flatMap(([count, topology]) =>
        topology.shards.map((shard) => ({ database: databaseOf(count, shard), topology, shard }))
      )
    ]
    const typeNames = new Map<string, string>()
    for (const { database } of members) {
      yield* Effect.acquireRelease(
        Effect.gen(function* () {
          yield* admin.run(`drop database if exists ${database} with (force)`)
          yield* admin.run(`create database ${database} template template0 strategy file_copy`)
          yield* Effect.scoped(loadSchema(address, database, world, typeNames))
        }),
        () => admin.run(`drop database if exists ${database} with (force)`)
      )
    }
    const refill = (tables: ReadonlyArray<World.WorldTable>) =>
      Effect.forEach(
        members,
        (member) => Effect.scoped(fill(address, member, world, tables, member.database === mirrorName)),
        {
          discard: true
        }
      )
    yield* refill(world.tables)

    const oracle = yield* openSession(address, oracleName, world, [])
    const mirror = yield* openMirror(address, mirrorName, world)
    const routers = new Map<number, ShardRouterService>()
    for (const [count, topology] of topologies) {
      routers.set(count, yield* openRouter(address, topology, world, (id) => databaseOf(count, id)))
    }
    return { world, oracle, mirror, routers, refill, named: named(typeNames) }
  })

/** Notes the types the schema makes, by number. */
const loadSchema = (
  address: Session.Address,
  database: string,
  world: World.World,
  typeNames: Map<string, string>
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const session = yield* Session.open(address, database)
    for (const statement of world.setup) yield* session.run(statement)
    const types = yield* session.run("select oid, typname from pg_type where oid >= 16384")
    for (const [oid, name] of types) typeNames.set(oid ?? "", name ?? "")
  })

const named =
  (typeNames: ReadonlyMap<string, string>) =>
  (answer: Answer): Answer =>
    answer._tag === "Rows"
      ? { ...answer, columns: answer.columns.map(({ name, type }) => ({ name, type: typeNames.get(type) ?? type })) }
      : answer

/** With triggers and foreign keys asleep: rows are only put in their place. */
const fill = (
  address: Session.Address,
  { database, shard, topology }: Member,
  world: World.World,
  tables: ReadonlyArray<World.WorldTable>,
  reversed: boolean
) =>
  Effect.gen(function* () {
    const session = yield* Session.open(address, database)
    const names = world.tables.map(({ name }) => name)
    const inOrder = reversed ? tables.map((table) => ({ ...table, rows: table.rows.toReversed() })) : tables
    const statements = [
      "set session_replication_role = replica",
      `set timezone = '${world.timeZone}'`,
      ...(names.length === 0 ? [] : [`truncate ${names.map(quoted).join(", ")}`]),
      ...inOrder.flatMap(World.fill),
      ...(topology === undefined ? [] : World.takeAway(world, topology, shard))
    ]
    yield* session.run(statements.join(";\n"))
  })

const otherPlans = [
  "set enable_hashagg = off",
  "set enable_hashjoin = off",
  "set enable_memoize = off",
  "set enable_indexscan = off",
  "set enable_incremental_sort = off",
  "set from_collapse_limit = 1",
  "set join_collapse_limit = 1"
]

const openSession = (
  address: Session.Address,
  database: string,
  world: World.World,
  settings: ReadonlyArray<string>
): Effect.Effect<Session.Session, never, Scope.Scope> =>
  Effect.map(openAlone(address, database, world, settings), ({ session }) => session)

const openMirror = (
  address: Session.Address,
  database: string,
  world: World.World
): Effect.Effect<Mirror, never, Scope.Scope> =>
  Effect.map(openAlone(address, database, world, otherPlans), ({ alone, own, session }) => ({
    ...session,
    withoutKeys: (sql, params) =>
      alone(
        Effect.acquireUseRelease(
          own.run(`begin;\n${dropKeys}`),
          () => own.ask(sql, params),
          () => own.run("rollback")
        )
      )
  }))

/** What goes with them is gone until the ROLLBACK: foreign keys, views that group by a key. */
const dropKeys = `do $$ declare one record; begin
  for one in select conrelid::regclass as place, conname from pg_constraint
    where contype in ('p', 'u') and conparentid = 0 and connamespace = 'public'::regnamespace
  loop execute format('alter table %s drop constraint %I cascade', one.place, one.conname); end loop;
  for one in select indexrelid::regclass as place from pg_index join pg_class on pg_class.oid = indexrelid
    where indisunique and relnamespace = 'public'::regnamespace and not relispartition
  loop execute format('drop index %s cascade', one.place); end loop;
end $$`

/** `own`: its session as it is, for who is `alone` with it. */
const openAlone = (address: Session.Address, database: string, world: World.World, settings: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const session = yield* Session.open(address, database)
    const all = ["set search_path = public", "set statement_timeout = '5s'", `set timezone = '${world.timeZone}'`]
    for (const setting of [...all, ...settings]) yield* session.run(setting)
    // Statements under way at a time share this one connection.
    const mutex = yield* Effect.makeSemaphore(1)
    const alone = mutex.withPermits(1)
    const shared: Session.Session = { ...session, ask: (sql, params) => alone(session.ask(sql, params)) }
    return { session: shared, own: session, alone }
  })

const openRouter = (
  address: Session.Address,
  topology: Topology,
  world: World.World,
  databaseOf: (id: string) => string
): Effect.Effect<ShardRouterService, never, Scope.Scope> => {
  const shards: Record<string, ShardLayer> = {}
  for (const id of topology.shards) {
    shards[id] = PgShard.layer({
      host: address.host,
      port: address.port,
      username: address.username,
      database: databaseOf(id),
      maxConnections: 4,
      types: Session.textTypes,
      timeZone: world.timeZone
    })
  }
  // Few rows as these would never be staged, nor a gather reduced: on one side of each schema they always are, by many keys
  // or by few.
  const isStaged = topology.shards.length > 2 === (world.tables.length % 2 === 0)
  const gatherKeysMax = world.setup.length % 2 === 0 ? 10_000 : 3
  const layer = PgRouter.layer({
    topology,
    shards,
    install: true,
    ...(isStaged ? { gatherTablesMin: 0, gatherKeysMax } : {})
  })
  return Effect.orDie(Effect.map(Layer.build(layer), (context) => Context.get(context, ShardRouter)))
}
