/**
 * The two sides of one set: a database that holds everything, and the router over databases that share it.
 *
 * Enters: a server, a set, a layout. Leaves: the oracle's session, the router, and the means to compare and to start
 * anew. Holds: shards are copies of the oracle's database with what they do not own taken away, so `rebuild` brings both
 * sides together again, whatever went wrong between them.
 */
import type { ShardLayer } from "@shardlayer/core/LazyShard"
import { ShardRouter, type ShardRouterService } from "@shardlayer/core/ShardRouter"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import type { Answer } from "./Answer.js"
import type { CaseSet, Layout } from "./Cases.js"
import * as Contents from "./Contents.js"
import * as Placement from "./Placement.js"
import * as Session from "./Session.js"

export interface Cluster {
  /** What could not be sharded as the layout says, and why. */
  readonly notes: () => ReadonlyArray<string>
  /** Both change with `rebuild`. */
  readonly oracle: () => Session.Session
  readonly router: () => ShardRouterService
  /** Makes the shards anew from what the oracle holds now. Sessions end on both sides. */
  readonly rebuild: Effect.Effect<void>
  /** False when the oracle's tables have become others, and would be placed otherwise: then `rebuild`. */
  readonly isPlaced: Effect.Effect<boolean>
  /**
   * The tables of which the shards do not hold what the oracle holds, and how so; all tables, or these. `counts`: only
   * the number of rows is compared.
   */
  readonly drift: (
    tables: ReadonlyArray<string> | undefined,
    compare: "rows" | "counts"
  ) => Effect.Effect<ReadonlyArray<string>>
  /** What the oracle answers when its rows are stored in another order, one for each seed. Between transactions only. */
  readonly shuffled: (sql: string, seed: number) => Effect.Effect<Answer>
  /** The defaults of a table's columns, as text. */
  readonly defaults: (tables: ReadonlyArray<string>) => Effect.Effect<string>
  /** `pg_type` names of types that one of the databases defines itself. */
  readonly typeName: (oid: string) => Effect.Effect<string>
}

export interface Options {
  readonly address: Session.Address
  readonly set: CaseSet
  readonly layout: Layout
  readonly shards: number
  readonly families: boolean
}

const oracleName = "case_oracle"
const shardName = (id: string) => `case_${id}`

export const make = (options: Options): Effect.Effect<Cluster, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { address, layout, set } = options
    const ids = Array.from({ length: options.shards }, (_, index) => `shard_${index + 1}`)
    const admin = yield* Session.open(address, "postgres")
    yield* Effect.addFinalizer(() => Effect.forEach([oracleName, ...ids.map(shardName)], (name) => drop(admin, name)))
    yield* loadOracle(admin, address, set)

    const placementOf = (oracle: Session.Session) => Placement.make(layout, ids, oracle, options.families)
    const notes = new Set<string>()
    const copy = Effect.gen(function* () {
      const placed = yield* Effect.scoped(Effect.flatMap(openOracle(address, set), placementOf))
      const { topology } = placed
      for (const note of placed.notes) notes.add(note)
      for (const id of ids) {
        yield* createFrom(admin, shardName(id), oracleName)
        yield* Effect.scoped(
          Effect.flatMap(Session.open(address, shardName(id)), (shard) => takeAway(shard, topology, id))
        )
      }
      const scope = yield* Scope.make()
      const oracle = yield* Scope.extend(openOracle(address, set), scope)
      const shards = yield* Effect.forEach(ids, (id) =>
        Effect.map(Scope.extend(openSession(address, shardName(id), set), scope), (session) => [id, session] as const)
      )
      const router = yield* Scope.extend(openRouter(options, topology), scope)
      return { scope, oracle, router, shards: new Map(shards), topology }
    })

    let sides = yield* copy
    yield* Effect.addFinalizer(() => Scope.close(sides.scope, Exit.void))
    return {
      notes: () => [...notes],
      oracle: () => sides.oracle,
      router: () => sides.router,
      rebuild: Effect.gen(function* () {
        yield* Scope.close(sides.scope, Exit.void)
        sides = yield* copy
      }),
      isPlaced: Effect.suspend(() =>
        Effect.map(placementOf(sides.oracle), ({ topology }) => Placement.isSame(topology, sides.topology))
      ),
      drift: (tables, compare) =>
        Effect.suspend(() => Contents.drift(sides.topology, sides.oracle, sides.shards, { tables, compare })),
      shuffled: (sql, seed) => Effect.suspend(() => Contents.shuffled(sides.oracle, sql, seed)),
      defaults: (tables) => Effect.suspend(() => defaults(sides.oracle, tables)),
      typeName: (oid) => Effect.suspend(() => typeName(oid, [sides.oracle, ...sides.shards.values()]))
    }
  })

const drop = (admin: Session.Session, name: string) => admin.run(`drop database if exists ${name} with (force)`)

const createFrom = (admin: Session.Session, name: string, template: string): Effect.Effect<void> =>
  Effect.zipRight(
    drop(admin, name),
    Effect.asVoid(admin.run(`create database ${name} template ${template} strategy file_copy`))
  )

/** What several sets share is loaded once and stays, for this server, under a name of its own. */
const loadOracle = (admin: Session.Session, address: Session.Address, set: CaseSet): Effect.Effect<void> =>
  Effect.gen(function* () {
    let template = "template0"
    if (set.base !== undefined) {
      template = `base_${set.base.id.replace(/\W+/g, "_")}`
      const [there] = yield* admin.run(`select from pg_database where datname = '${template}'`)
      if (there === undefined) {
        yield* createFrom(admin, template, "template0")
        yield* load(address, template, set.session, set.base.sql())
      }
    }
    yield* createFrom(admin, oracleName, template)
    yield* load(address, oracleName, set.session, set.setup())
  })

const load = (address: Session.Address, database: string, session: ReadonlyArray<string>, sql: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      const opened = yield* Session.open(address, database)
      for (const setting of session) yield* opened.run(setting)
      if (sql.trim() !== "") yield* opened.run(sql)
    })
  )

const openOracle = (address: Session.Address, set: CaseSet): Effect.Effect<Session.Session, never, Scope.Scope> =>
  openSession(address, oracleName, set)

/** A session as the set's statements expect it. */
const openSession = (
  address: Session.Address,
  database: string,
  set: CaseSet
): Effect.Effect<Session.Session, never, Scope.Scope> =>
  Effect.tap(Session.open(address, database), (session) =>
    Effect.forEach(["set search_path = public", "set statement_timeout = '60s'", ...set.session], session.run)
  )

/** The set's session settings that shards take as their own. Those that the router pins anyway are left out. */
const openRouter = (
  { address, set }: Options,
  topology: Placement.Placement["topology"]
): Effect.Effect<ShardRouterService, never, Scope.Scope> => {
  const timeZone = set.session.map((setting) => /^set\s+timezone\s*(?:=|to)\s*'(.+)'/i.exec(setting)?.[1]).find(Boolean)
  const shards: Record<string, ShardLayer> = {}
  for (const id of topology.shards) {
    shards[id] = PgShard.layer({
      host: address.host,
      port: address.port,
      username: address.username,
      database: shardName(id),
      maxConnections: 4,
      types: Session.textTypes,
      ...(timeZone === undefined ? {} : { timeZone })
    })
  }
  const layer = PgRouter.layer({ topology, shards, install: true })
  return Effect.orDie(Effect.map(Layer.build(layer), (context) => Context.get(context, ShardRouter)))
}

const takeAway = (shard: Session.Session, topology: Placement.Placement["topology"], id: string) =>
  Effect.gen(function* () {
    // Without triggers, rules and foreign keys: the rows are only put in their place.
    yield* shard.run("set session_replication_role = replica")
    const statements = Placement.takeAway(topology, id, yield* Contents.plainTables(shard))
    if (statements.length > 0) yield* shard.run(statements.join(";\n"))
  })

const defaults = (session: Session.Session, tables: ReadonlyArray<string>): Effect.Effect<string> =>
  Effect.map(
    session.run(
      `select pg_get_expr(d.adbin, d.adrelid) from pg_attrdef d join pg_class c on c.oid = d.adrelid
       where c.relname in (${["", ...tables].map((name) => `'${name.replaceAll("'", "''")}'`).join(", ")})`
    ),
    (rows) => rows.map(([expression]) => expression ?? "").join("\n")
  )

const typeName = (oid: string, sessions: ReadonlyArray<Session.Session>): Effect.Effect<string> =>
  Effect.gen(function* () {
    for (const session of sessions) {
      const answer = yield* session.ask(`select format_type(${oid}, null) from pg_type where oid = ${oid}`)
      if (answer._tag === "Rows" && answer.rows[0]?.[0] !== undefined) return answer.rows[0][0] ?? oid
    }
    return oid
  })
