/**
 * Migrations over all shards, with a record of them on each.
 *
 * Enters: the loaders of `@effect/sql`'s `Migrator`. Leaves: what ran, or a typed error. Holds:
 * - what a migration changes and its row in the record are one transaction over all shards: all have both, or none has;
 * - the row is written first, and its id is a primary key: of two that run one migration one waits, and fails, whatever
 *   became of the lock; the lock on the meta database only keeps them from trying;
 * - the record is read behind whoever is writing it, also behind what a crash left prepared;
 * - a shard that lacks what others have gets schema changes alone: rows that a migration wrote through the router are
 *   elsewhere, or were changed since.
 *
 * @since 0.1.0
 */
import * as Migrator from "@effect/sql/Migrator"
import * as Client from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import * as Sql from "@effect/sql/Statement"
import * as LocalTransaction from "@shardlayer/core/LocalTransaction"
import * as ShardContext from "@shardlayer/core/ShardContext"
import type { ShardSession } from "@shardlayer/core/ShardConnection"
import { isShardError, type ShardError } from "@shardlayer/core/ShardError"
import { ShardManager } from "@shardlayer/core/ShardManager"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Table from "@shardlayer/core/topology/Table"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { escapeIdentifier } from "pg"
import * as MetaClient from "./internal/metaClient.js"
import { PgMeta } from "./PgMeta.js"
import * as PgShard from "./PgShard.js"
import * as Ast from "./planner/Ast.js"
import * as Parser from "./planner/Parser.js"
import * as Contents from "./planner/classify/Contents.js"
import * as StatementKind from "./planner/StatementKind.js"

/** @since 0.1.0 @category models */
export interface Options<R = never> {
  /** One of the stock `Migrator`: `fromRecord`, `fromGlob`, `fromBabelGlob`, `fromFileSystem`. */
  readonly loader: Migrator.Loader<R>
  /** The record's name in schema `shardlayer` of each shard. Default `shard_migrations`. */
  readonly table?: string | undefined
  /** Registered shards that the topology does not list yet, and that are to have the same schema. Default: none. */
  readonly also?: ReadonlyArray<string> | undefined
  /**
   * How long another process that migrates is waited for, and whoever still writes the record on a shard. Default 60
   * seconds.
   */
  readonly wait?: Duration.DurationInput | undefined
}

/** @since 0.1.0 @category models */
export interface Report {
  readonly applied: ReadonlyArray<Applied>
  /** Those that every shard had. */
  readonly skipped: ReadonlyArray<{ readonly id: number; readonly name: string }>
}

/** @since 0.1.0 @category models */
export interface Applied {
  readonly id: number
  readonly name: string
  /** Where it ran: all shards, or those that lacked it. */
  readonly shards: ReadonlyArray<string>
  readonly millis: number
}

/**
 * A migration failed. In a transaction it left nothing on any shard, unless `cause` is `CommitUnknown` or
 * `CommitIncomplete`; without one, what its statements have done stays. Running again goes on from there in each case.
 *
 * @since 0.1.0
 * @category errors
 */
export class MigrationFailed extends Data.TaggedError("MigrationFailed")<{
  readonly id: number
  readonly name: string
  /** Where, if it is one shard's trouble. */
  readonly shard: string | undefined
  readonly cause: unknown
}> {
  override get message() {
    const where = this.shard === undefined ? "" : ` on shard ${this.shard}`
    return `migration ${this.id}_${this.name} failed${where}: ${this.cause instanceof Error ? this.cause.message : String(this.cause)}`
  }
}

/**
 * The lock of those who migrate: `held` by another for as long as it was waited for, and nothing was run; or `lost` with
 * its connection, and what was under way then was stopped: run again.
 *
 * @since 0.1.0
 * @category errors
 */
export class MigrationLocked extends Data.TaggedError("MigrationLocked")<{
  readonly reason: "held" | "lost"
  readonly table: string
  readonly cause?: unknown
}> {
  override get message() {
    return this.reason === "held"
      ? `another process runs the migrations of shardlayer.${this.table}, and was waited for in vain`
      : `the connection that held the lock of shardlayer.${this.table} was lost: the migrations were stopped, run them again`
  }
}

/**
 * A shard lacks a migration that others have, and cannot be given it by running it there alone: `statement` is no schema
 * change. Nothing of the migration was done on the shard.
 *
 * @since 0.1.0
 * @category errors
 */
export class ShardBehind extends Data.TaggedError("ShardBehind")<{
  readonly id: number
  readonly name: string
  readonly shard: string
  /** As SQL calls it. */
  readonly statement: string
}> {
  override get message() {
    return `shard ${this.shard} lacks migration ${this.id}_${this.name}, whose ${this.statement} cannot be repeated there: which rows it wrote was decided over all shards. Mark the migration with ShardMigrator.perShard if it may run on one shard alone, or bring schema and rows there and say so with ShardMigrator.record`
  }
}

/**
 * As the cause of `MigrationFailed`: what a migration without a transaction did, or left, would not survive being run again.
 *
 * @since 0.1.0
 * @category errors
 */
export class NotRepeatable extends Data.TaggedError("NotRepeatable")<{ readonly reason: string }> {
  override get message() {
    return this.reason
  }
}

/** @since 0.1.0 @category errors */
export type Failure = Migrator.MigrationError | MigrationFailed | MigrationLocked | ShardBehind | ShardError

/** @since 0.1.0 @category models */
export type Requirements = ShardRouter.ShardRouter | ShardManager | PgMeta

/**
 * Runs what is pending, in order of the ids. Safe to call from any number of processes at once, and again after whatever
 * failure. Needs the tables of `ShardRouter.install`, and two connections to the meta database.
 *
 * `MigrationError` (of the stock `Migrator`): `duplicates`, `import-error`, and `bad-state` where a migration comes before
 * one that has run already, or has run under another name.
 *
 * @example
 * ```ts
 * import { Migrator, SqlClient } from "@effect/sql"
 * import { ShardMigrator } from "@shardlayer/pg"
 * import { Effect } from "effect"
 *
 * const withSql = (text: string) => Effect.asVoid(Effect.flatMap(SqlClient.SqlClient, (sql) => sql.unsafe(text)))
 *
 * export const migrate = ShardMigrator.run({
 *   loader: Migrator.fromRecord({
 *     "0001_users": withSql("create table users (id int8 primary key, name text)"),
 *     "0002_names": ShardMigrator.noTransaction(
 *       withSql("create index concurrently if not exists users_name on users (name)")
 *     )
 *   })
 * })
 * ```
 *
 * @since 0.1.0
 * @category migrations
 */
export const run = <R = never>(options: Options<R>): Effect.Effect<Report, Failure, Requirements | R> =>
  Effect.gen(function* () {
    const world = yield* open(options)
    const migrations = yield* load(options.loader)
    return yield* alone(world, migrate(world, migrations))
  }).pipe(atRoot)

/**
 * `run` when the layer is built.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <R = never>(options: Options<R>): Layer.Layer<never, Failure, Requirements | R> =>
  Layer.effectDiscard(run(options))

/**
 * Says that a shard has a migration, without running it: for what was done there by hand.
 *
 * @since 0.1.0
 * @category migrations
 */
export const record = (
  migration: { readonly id: number; readonly name: string; readonly shard: string },
  options: Pick<Options, "table" | "wait"> = {}
): Effect.Effect<void, Failure, Requirements> =>
  Effect.gen(function* () {
    const world = yield* open({ ...options, also: [migration.shard] })
    const write = Effect.gen(function* () {
      const { recorded } = yield* stateOf(world, migration.shard)
      if (!recorded.has(migration.id)) yield* world.router.transaction(recordOn(world, migration, [migration.shard]))
    })
    yield* alone(world, write)
  }).pipe(atRoot)

/**
 * Marks a migration whose statements run outside of transactions, such as CREATE INDEX CONCURRENTLY. It is recorded once
 * all of it has run; after a failure all of it runs again, which each of its statements must allow: `IF NOT EXISTS`
 * completes an index where shards lack it or have it invalid.
 *
 * The mark is on the effect that is returned: what is piped after it loses it.
 *
 * @since 0.1.0
 * @category marks
 */
export const noTransaction = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  marked(effect, { noTransaction: true })

/**
 * Marks a migration whose rows, those of reference tables, a shard that comes later may write for its own copy: the
 * statements are sent to that shard alone. Writes of other tables are still refused there. Whether the rows are the same
 * then, and what was written to the other copies since, is the program's concern.
 *
 * @since 0.1.0
 * @category marks
 */
export const perShard = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  marked(effect, { perShard: true })

interface Marks {
  readonly noTransaction?: boolean
  readonly perShard?: boolean
}

const MarksId = Symbol.for("@shardlayer/pg/ShardMigrator/Marks")

const marksOf = (effect: object): Marks => (MarksId in effect ? (effect[MarksId] as Marks) : {})

const marked = <A, E, R>(effect: Effect.Effect<A, E, R>, marks: Marks): Effect.Effect<A, E, R> =>
  Object.assign(
    Effect.suspend(() => effect),
    { [MarksId]: { ...marksOf(effect), ...marks } }
  )

interface Migration {
  readonly id: number
  readonly name: string
  readonly effect: Effect.Effect<unknown, unknown, Client.SqlClient>
  readonly marks: Marks
}

interface World {
  readonly router: ShardRouter.ShardRouterService
  readonly client: (shard: string) => Effect.Effect<Client.SqlClient, ShardError>
  readonly meta: Effect.Effect<Client.SqlClient, ShardError>
  readonly parser: Parser.Parser
  readonly table: string
  /** Those of the topology: the router's statements reach them. */
  readonly members: ReadonlyArray<string>
  readonly all: ReadonlyArray<string>
  /** Tables that every shard has all rows of. */
  readonly copies: ReadonlySet<string>
  readonly waitMillis: number
}

const open = ({
  also = [],
  table = "shard_migrations",
  wait = "60 seconds"
}: Pick<Options, "also" | "table" | "wait">): Effect.Effect<World, never, Requirements> =>
  Effect.gen(function* () {
    const manager = yield* ShardManager
    const { shards, tables } = manager.topology()
    const members: ReadonlyArray<string> = shards
    const references = Object.values(tables).filter((one) => one._tag === "Reference")
    return {
      router: yield* ShardRouter.ShardRouter,
      client: manager.client,
      meta: (yield* PgMeta).client,
      parser: yield* Parser.make,
      table,
      members,
      all: [...new Set([...members, ...also])],
      copies: new Set(references.map(Table.qualifiedName)),
      waitMillis: Duration.toMillis(wait)
    }
  })

/** Not within whatever transaction or pin the caller has: the record would say what is not so. */
const atRoot = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(ShardContext.current, ({ policy }) =>
    LocalTransaction.withoutTransaction(ShardContext.cleared(ShardContext.withPolicy(effect, policy ?? {})))
  )

/** How the stock `Migrator` finds the effect in what a loader gives: the module of an import, or the effect itself. */
const load = <R>(
  loader: Migrator.Loader<R>
): Effect.Effect<ReadonlyArray<Migration>, Migrator.MigrationError, R | Requirements> =>
  Effect.gen(function* () {
    const { client } = yield* ShardRouter.ShardRouter
    const resolved = [...(yield* loader)].sort(([one], [other]) => one - other)
    const twice = resolved.find(([id], index) => resolved[index + 1]?.[0] === id)
    if (twice !== undefined) {
      return yield* migrationError("duplicates", `several migrations have id ${twice[0]}`)
    }
    return yield* Effect.forEach(resolved, ([id, name, imported]) =>
      Effect.gen(function* () {
        const found: unknown = yield* Effect.catchAllCause(
          Effect.provideService(
            imported as Effect.Effect<unknown, unknown, Client.SqlClient>,
            Client.SqlClient,
            client
          ),
          (cause) => migrationError("import-error", `could not import migration ${id}_${name}`, Cause.squash(cause))
        )
        const effect = effectIn(found)
        if (effect === undefined) {
          return yield* migrationError("import-error", `migration ${id}_${name} has no effect as its default export`)
        }
        return { id, name, effect, marks: marksOf(effect) }
      })
    )
  })

const effectIn = (found: unknown): Migration["effect"] | undefined => {
  const { default: exported } = (found ?? {}) as { readonly default?: { readonly default?: unknown } }
  const effect = Effect.isEffect(found) ? found : (exported?.default ?? exported)
  return isMigration(effect) ? effect : undefined
}

const isMigration = (value: unknown): value is Migration["effect"] => Effect.isEffect(value)

const migrationError = (reason: Migrator.MigrationError["reason"], message: string, cause?: unknown) =>
  new Migrator.MigrationError({ reason, message, cause })

/** A quarter of a second is little beside a migration. */
const pollMillis = 250
const beatMillis = 1_000
const beatTimeoutMillis = 10_000

/** Runs a body under the lock of all who migrate by this record, and stops it when the lock is lost. */
const alone = <A, E>({ meta, table, waitMillis }: World, body: Effect.Effect<A, E>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const session = yield* PgShard.adapt(yield* meta, "meta").reserve
      // The lock is the session's: it ends with that.
      yield* session.taint
      yield* Effect.timeoutFail(locking(session, table), {
        duration: waitMillis,
        onTimeout: () => new MigrationLocked({ reason: "held", table })
      })
      return yield* Effect.raceFirst(body, losing(session, table))
    })
  )

const locking = (session: ShardSession, table: string): Effect.Effect<void, ShardError> =>
  Effect.flatMap(
    session.executeValues("select pg_try_advisory_lock(hashtextextended($1, 0))", [`shardlayer migrations ${table}`]),
    ([row]) => (row?.[0] === true ? Effect.void : Effect.delay(locking(session, table), pollMillis))
  )

const losing = (session: ShardSession, table: string): Effect.Effect<never, MigrationLocked> =>
  Effect.sleep(beatMillis).pipe(
    Effect.zipRight(Effect.timeout(session.executeValues("select 1", []), beatTimeoutMillis)),
    Effect.forever,
    Effect.mapError((cause) => new MigrationLocked({ reason: "lost", table, cause }))
  )

interface State {
  readonly shard: string
  readonly recorded: ReadonlyMap<number, string>
}

const recordTable = ({ table }: World): string => `shardlayer.${escapeIdentifier(table)}`

/**
 * The record of a shard, made if need be. The lock waits for whoever is writing it, prepared transactions included, which
 * would otherwise look as if the shard lacked what it is about to have.
 */
const stateOf = (world: World, shard: string): Effect.Effect<State, ShardError> =>
  Effect.gen(function* () {
    const rows = yield* MetaClient.make(yield* world.client(shard)).transaction((query) =>
      Effect.gen(function* () {
        yield* query("set transaction isolation level read committed, read write")
        yield* query("set local lock_timeout = '1s'")
        const found = yield* query<{ relname: string | null }>(
          `select c.relname from pg_catalog.pg_namespace n
left join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = $1 where n.nspname = 'shardlayer'`,
          [world.table]
        )
        if (found.length === 0) yield* query("create schema shardlayer")
        if (!found.some(({ relname }) => relname !== null)) {
          yield* query(`create table ${recordTable(world)} (
  id bigint primary key,
  name text not null,
  created_at timestamptz not null default clock_timestamp()
)`)
        }
        yield* query(`lock table ${recordTable(world)} in share mode`)
        return yield* query<{ id: string; name: string }>(`select id::text as id, name from ${recordTable(world)}`)
      })
    )
    return { shard, recorded: new Map(rows.map(({ id, name }) => [Number(id), name])) }
  }).pipe(
    Effect.tapError((error) =>
      isBlocked(error) ? world.router.recover({ grace: "1 second", forget: false }) : Effect.void
    ),
    Effect.retry({ while: isBlocked, times: Math.ceil(world.waitMillis / 1_000) })
  )

const isBlocked = (error: ShardError): boolean => error._tag === "StatementFailed" && error.kind === "LockNotAvailable"

/**
 * In the transaction of the fiber. All shards join before the first writes: a table that the router's catalog lacks may
 * run code that sets something, so that no shard may join after a write to it.
 */
const recordOn = (
  world: World,
  { id, name }: Pick<Migration, "id" | "name">,
  shards: ReadonlyArray<string>
): Effect.Effect<void, ShardError> => {
  const { client, onShard, query } = world.router
  const insert = client.unsafe(`insert into ${recordTable(world)} (id, name) values ($1, $2)`, [id, name])
  const onEach = (statement: Sql.Statement<object>) =>
    Effect.forEach(shards, (shard) => onShard(ShardRouter.unchecked(query(statement)), shard), { discard: true })
  return Effect.zipRight(onEach(client.unsafe("select 1")), onEach(insert))
}

const migrate = (world: World, migrations: ReadonlyArray<Migration>): Effect.Effect<Report, Failure> =>
  Effect.gen(function* () {
    const states = yield* Effect.forEach(world.all, (shard) => stateOf(world, shard), { concurrency: 8 })
    yield* checkOrder(migrations, states)
    const applied: Array<Applied> = []
    const skipped: Array<Report["skipped"][number]> = []
    for (const migration of migrations) {
      const { id, name } = migration
      const shards = states.filter(({ recorded }) => !recorded.has(id)).map(({ shard }) => shard)
      if (shards.length === 0) {
        skipped.push({ id, name })
        continue
      }
      const [took] = yield* Effect.timed(apply(world, migration, shards)).pipe(
        Effect.annotateLogs({ migration_id: String(id), migration_name: name })
      )
      applied.push({ id, name, shards, millis: Duration.toMillis(took) })
    }
    return { applied, skipped }
  })

/** What the stock `Migrator` passes over in silence would never run, or not on all shards. */
const checkOrder = (
  migrations: ReadonlyArray<Migration>,
  states: ReadonlyArray<State>
): Effect.Effect<void, Migrator.MigrationError> => {
  const known = new Map(migrations.map(({ id, name }) => [id, name]))
  const latest = Math.max(0, ...states.flatMap(({ recorded }) => [...recorded.keys()]))
  const problems = [
    ...states.flatMap(({ recorded, shard }) =>
      [...recorded].flatMap(([id, name]) => {
        const given = known.get(id)
        if (given !== undefined) {
          return given === name ? [] : [`shard ${shard} has run ${id}_${name}, which is ${id}_${given} here`]
        }
        const lacking = states.filter((other) => !other.recorded.has(id)).map((other) => other.shard)
        return lacking.length === 0
          ? []
          : [`${id}_${name}, which the loader lacks, is missing on ${lacking.join(", ")}`]
      })
    ),
    ...migrations
      .filter(({ id }) => id < latest && states.every(({ recorded }) => !recorded.has(id)))
      .map(({ id, name }) => `${id}_${name} has not run, and ${latest}, which comes after it, has`)
  ]
  return problems.length === 0 ? Effect.void : Effect.fail(migrationError("bad-state", problems.join("; ")))
}

const apply = (
  world: World,
  migration: Migration,
  lacking: ReadonlyArray<string>
): Effect.Effect<void, MigrationFailed | ShardBehind> => {
  const { members, router } = world
  const effect = Effect.provideService(migration.effect, Client.SqlClient, router.client)
  const lackingMembers = members.filter((shard) => lacking.includes(shard))
  const others = lacking.filter((shard) => !members.includes(shard))
  if (migration.marks.noTransaction === true) {
    // Over all of them again: statements that resume leave the shards alone that are done.
    const together = Effect.zipRight(
      repeatable(world.parser, effect),
      router.transaction(recordOn(world, migration, lackingMembers))
    )
    return Effect.zipRight(
      lackingMembers.length === 0 ? Effect.void : failing(migration, undefined, together),
      Effect.forEach(others, (shard) => apart(world, migration, effect, shard), { discard: true })
    )
  }
  const isNew = lackingMembers.length === members.length
  const together = router.transaction(Effect.zipRight(recordOn(world, migration, members), effect))
  return Effect.zipRight(
    isNew ? failing(migration, undefined, together) : Effect.void,
    Effect.forEach(isNew ? others : lacking, (shard) => replay(world, migration, effect, shard), { discard: true })
  )
}

const failing = (
  { id, name }: Migration,
  shard: string | undefined,
  effect: Effect.Effect<unknown, unknown>
): Effect.Effect<void, MigrationFailed | ShardBehind> =>
  Effect.catchAllCause(Effect.asVoid(effect), (cause): Effect.Effect<never, MigrationFailed | ShardBehind> => {
    if (Cause.isInterruptedOnly(cause)) return Effect.interrupt
    const squashed = Cause.squash(cause)
    if (squashed instanceof ShardBehind) return Effect.fail(squashed)
    const error = squashed instanceof SqlError ? (squashed.cause ?? squashed) : squashed
    return Effect.fail(new MigrationFailed({ id, name, shard: shard ?? shardIn(error), cause: error }))
  })

const shardIn = (error: unknown): string | undefined => {
  if (!isShardError(error)) return undefined
  if (error._tag === "SchemaChangeFailed") return error.failed[0]?.shard
  return "shard" in error && typeof error.shard === "string" ? error.shard : undefined
}

/** A migration on one shard alone, in its own transaction there. */
const replay = (
  world: World,
  migration: Migration,
  effect: Effect.Effect<unknown, unknown>,
  shard: string
): Effect.Effect<void, MigrationFailed | ShardBehind> => {
  const run = onShard(world, migration, shard, effect)
  const record = recordOn(world, migration, [shard])
  return failing(migration, shard, world.router.transaction(Effect.zipRight(record, run)))
}

/** The same without a transaction. Where the router does not reach, nothing completes an index that a failure left. */
const apart = (
  world: World,
  migration: Migration,
  effect: Effect.Effect<unknown, unknown>,
  shard: string
): Effect.Effect<void, MigrationFailed | ShardBehind> => {
  const run = onShard(world, migration, shard, repeatable(world.parser, effect))
  const record = world.router.transaction(recordOn(world, migration, [shard]))
  return failing(migration, shard, Effect.all([run, indexesAreWhole(world, shard), record], { discard: true }))
}

const indexesAreWhole = (world: World, shard: string): Effect.Effect<void, ShardError | NotRepeatable> =>
  Effect.gen(function* () {
    const rows = yield* MetaClient.make(yield* world.client(shard)).query<{ name: string }>(
      "select indexrelid::regclass::text as name from pg_catalog.pg_index where not indisvalid order by 1"
    )
    if (rows.length === 0) return
    const names = rows.map(({ name }) => name).join(", ")
    return yield* new NotRepeatable({
      reason: `a build that failed has left ${names} invalid: drop it there, and run again`
    })
  })

/** What passes the guard needs no look at whose rows it writes. */
const onShard = (
  world: World,
  { id, marks, name }: Migration,
  shard: string,
  effect: Effect.Effect<unknown, unknown>
): Effect.Effect<unknown, unknown> =>
  world.router.onShard(
    ShardRouter.unchecked(
      guarded(world.parser, effect, (statement) => {
        const { kind, words } = StatementKind.of(statement)
        const isPlain = kind === "schema" || words === "SET" || (marks.noTransaction === true && kind === "maintenance")
        return isPlain || (marks.perShard === true && writesCopies(world, kind, statement))
          ? undefined
          : new ShardBehind({ id, name, shard, statement: words })
      })
    ),
    shard
  )

const writesCopies = ({ copies }: World, kind: StatementKind.Kind, statement: Parser.Statement["tree"]): boolean => {
  const { into, writes } = Contents.of(statement)
  const isCopy = (relation: { readonly schemaname?: string; readonly relname?: string } | undefined) =>
    copies.has(`${relation?.schemaname ?? "public"}.${relation?.relname}`)
  return kind === "query" && into.length === 0 && writes.every(({ node }) => isCopy(node.relation))
}

/** Fails before a statement that would not survive being run again. */
const repeatable = (parser: Parser.Parser, effect: Effect.Effect<unknown, unknown>): Effect.Effect<unknown, unknown> =>
  guarded(parser, effect, (statement) => {
    const index = Ast.as("IndexStmt", statement)
    const drop = Ast.as("DropStmt", statement)
    const needed =
      index?.concurrent === true && index.if_not_exists !== true
        ? "IF NOT EXISTS"
        : drop?.concurrent === true && drop.missing_ok !== true
          ? "IF EXISTS"
          : undefined
    return needed === undefined
      ? undefined
      : new NotRepeatable({ reason: `a migration without a transaction may run again: this statement needs ${needed}` })
  })

/** Refuses a statement before it is sent. What the migration makes of that does not matter: it has failed. */
const guarded = (
  parser: Parser.Parser,
  effect: Effect.Effect<unknown, unknown>,
  refuse: (statement: Parser.Statement["tree"]) => ShardBehind | NotRepeatable | undefined
): Effect.Effect<unknown, unknown> =>
  Effect.suspend(() => {
    let refused: ShardBehind | NotRepeatable | undefined
    const look = (sql: string): void => {
      // What cannot be parsed is refused by the server, in its own words.
      const statements = Either.match(parser.parse(sql), { onLeft: () => [], onRight: (parsed) => parsed.statements })
      for (const { tree } of statements) refused ??= refuse(tree)
    }
    const guard = (outer: Option.Option<Sql.Statement.Transformer>): Sql.Statement.Transformer => {
      return (statement, sql, refs, span) =>
        Effect.flatMap(
          Option.isNone(outer) ? Effect.succeed(statement) : outer.value(statement, sql, refs, span),
          (given) => {
            look(given.compile()[0])
            return refused === undefined ? Effect.succeed(given) : Effect.die(refused)
          }
        )
    }
    return Effect.zipLeft(
      Effect.flatMap(currentTransformer, (outer) => Sql.withTransformer(effect, guard(outer))),
      Effect.suspend(() => (refused === undefined ? Effect.void : Effect.fail(refused)))
    )
  })

const currentTransformer = Effect.withFiberRuntime<Option.Option<Sql.Statement.Transformer>>((fiber) =>
  Effect.succeed(fiber.getFiberRef(Sql.currentTransformer))
)
