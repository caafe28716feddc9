/**
 * Schema changes that are hurt at each of their commands on each shard. An undisturbed run is recorded, down to the wire:
 * statements, control of transactions, looks at catalogs, the protocol of commits. Then, once for each command that it
 * sent, whoever runs the change is interrupted there, the command's connection is cut before the server gets it, or cut
 * once it was carried out. Recovery and one retry have to leave schema and contents of all shards as one PostgreSQL has
 * them, nothing prepared, no lock held, no session at work; and what was told before has to be true.
 *
 * `SHARDLAYER_POINTS=all` runs every case, and not a chosen part: some 500, for which two busy
 * cores need a quarter of an hour.
 */
import { describe, expect, it } from "@effect/vitest"
import type { SqlClient } from "@effect/sql/SqlClient"
import { SqlError } from "@effect/sql/SqlError"
import { CurrentShardDriver } from "@shardlayer/core/ShardConnection"
import { isShardError, type ShardError } from "@shardlayer/core/ShardError"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { type Command, type Fault, keyOf, type Strike, Wire } from "./crash/wire.js"
import { eventually } from "./eventually.js"
import { clusterOf, described, ids, routerOver, run } from "./schemas.js"

const base = `
create table countries (code text primary key, name text not null);
create table users (id int8 primary key, name text, country text references countries);
insert into countries values ('a', 'A');
insert into users select id, 'u' || id, 'a' from generate_series(1, 12) as id;
`

interface Subject {
  readonly name: string
  readonly mode: "transaction" | "apart"
  readonly change: (sql: SqlClient) => Effect.Effect<unknown, SqlError>
  /** The same for one PostgreSQL. */
  readonly text: string
  readonly undo: string
  readonly isUndone: "none" | "index"
  /** What PostgreSQL says to the change where it has been made already. */
  readonly again: ReadonlyArray<string>
}

const list = `
create type kind as enum ('a', 'b');
alter table users add column kind kind default 'a';
create index users_kind on users (kind);
alter table countries add column area int default 7;
insert into countries (code, name) values ('b', 'B');
update users set name = upper(name), country = 'b' where id > 4;
`
const undoList = `
drop index users_kind;
alter table users drop column kind;
drop type kind;
alter table countries drop column area;
update users set name = lower(name), country = 'a' where id > 4;
delete from countries where code = 'b';
`

const subjects: ReadonlyArray<Subject> = [
  {
    name: "one statement",
    mode: "transaction",
    change: (sql) => run(sql, "alter table users add column kind int not null default 3"),
    text: "alter table users add column kind int not null default 3",
    undo: "alter table users drop column kind",
    isUndone: "none",
    again: ["42701"]
  },
  {
    name: "a list",
    mode: "transaction",
    change: (sql) => run(sql, list),
    text: list,
    undo: undoList,
    isUndone: "none",
    again: ["42710"]
  },
  {
    name: "a program's transaction",
    mode: "transaction",
    change: (sql) =>
      sql.withTransaction(
        Effect.forEach(
          list.split(";").filter((text) => text.trim() !== ""),
          (text) => run(sql, text),
          { discard: true }
        )
      ),
    text: list,
    undo: undoList,
    isUndone: "none",
    again: ["42710"]
  },
  {
    name: "CREATE INDEX CONCURRENTLY",
    mode: "apart",
    change: (sql) => run(sql, "create unique index concurrently users_name on users (id, name)"),
    text: "create unique index concurrently users_name on users (id, name)",
    undo: "drop index users_name",
    isUndone: "none",
    again: ["42P07"]
  },
  {
    name: "DROP INDEX CONCURRENTLY",
    mode: "apart",
    change: (sql) => run(sql, "drop index concurrently users_name"),
    text: "drop index concurrently users_name",
    undo: "create unique index users_name on users (id, name)",
    isUndone: "index",
    again: ["42704"]
  }
]

interface Shown {
  readonly schema: ReadonlyArray<string>
  readonly countries: ReadonlyArray<unknown>
  readonly users: ReadonlyArray<{ readonly id: number }>
}

interface Left {
  readonly busy: number
  readonly prepared: number
  readonly locks: number
}

const looking = `select json_build_object(
  'schema', (select coalesce(json_agg(line), '[]') from (${described}) as lines),
  'countries', (select coalesce(json_agg(c order by code), '[]') from countries c),
  'users', (select coalesce(json_agg(u order by id), '[]') from users u)
) as shown, json_build_object(
  'busy', (
    select count(*)::int from pg_stat_activity
    where backend_type = 'client backend' and datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'
  ),
  'prepared', (select count(*)::int from pg_prepared_xacts where database = current_database()),
  'locks', (
    select count(*)::int from pg_locks l left join pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'relation' and l.pid is distinct from pg_backend_pid()
      and l.database = (select oid from pg_database where datname = current_database())
      -- A prepared transaction has no process, and autovacuum comes when it likes.
      and (l.pid is null or a.backend_type = 'client backend')
  )
) as held`

interface View {
  readonly shards: ReadonlyArray<Shown>
  readonly held: ReadonlyArray<Left>
}

const isFree = ({ held }: View): boolean =>
  held.every(({ busy, locks, prepared }) => busy === 0 && locks === 0 && prepared === 0)

/** All shards have what one PostgreSQL has: its schema, its countries, and its users among them. */
const isAs = ({ shards }: View, one: Shown): boolean =>
  shards.every(
    ({ countries, schema }) =>
      JSON.stringify(schema) === JSON.stringify(one.schema) &&
      JSON.stringify(countries) === JSON.stringify(one.countries)
  ) && JSON.stringify(usersOf(shards)) === JSON.stringify(one.users)

const usersOf = (shards: ReadonlyArray<Shown>) =>
  shards.flatMap(({ users }) => users).sort((left, right) => left.id - right.id)

type Told = "done" | "not done" | "unknown"

const errorOf = (exit: Exit.Exit<unknown, unknown>): ShardError | undefined => {
  if (Exit.isSuccess(exit)) return undefined
  const error = Option.getOrUndefined(Cause.failureOption(exit.cause))
  const cause = error instanceof SqlError ? error.cause : error
  if (isShardError(cause)) return cause
  if (Cause.isInterruptedOnly(exit.cause)) return undefined
  throw new Error(Cause.pretty(exit.cause))
}

const toldOf = (exit: Exit.Exit<unknown, unknown>): Told => {
  const error = errorOf(exit)
  if (Exit.isSuccess(exit) || error?._tag === "CommitIncomplete") return "done"
  return error === undefined || error._tag === "CommitUnknown" ? "unknown" : "not done"
}

const makeWorld = Effect.gen(function* () {
  const cluster = yield* clusterOf()
  const wire = new Wire()
  const urls: Record<string, Effect.Effect.Success<ReturnType<Wire["proxy"]>>> = {}
  for (const node of cluster.shards) urls[node.id] = yield* wire.proxy(node)
  const router = yield* routerOver(cluster, { urls })
  yield* run(router.client, base)
  yield* cluster.query("oracle", base)
  const nodes = [...cluster.shards, yield* cluster.node("oracle")]
  const watchers = yield* Effect.forEach(nodes, ({ url }) =>
    Effect.map(Layer.build(PgShard.layer({ url, maxConnections: 1 })), (context) =>
      Context.get(context, CurrentShardDriver)
    )
  )
  const views = Effect.forEach(
    watchers,
    (watcher) => Effect.map(watcher.execute(looking, []), ([row]): { shown: Shown; held: Left } => row),
    { concurrency: "unbounded" }
  )
  return {
    cluster,
    wire,
    router,
    sql: router.client,
    /** Past the router, which looks at the catalogs anew. */
    undo: ({ undo }: Subject) =>
      Effect.zipRight(
        Effect.forEach(watchers.slice(0, -1), (watcher) => watcher.executeRaw(undo, []), { concurrency: "unbounded" }),
        router.refresh
      ),
    look: Effect.map(views, (all): View & { readonly one: Shown } => {
      const one = all.at(-1)?.shown
      if (one === undefined) throw new Error("there is no oracle")
      const shards = all.slice(0, -1)
      return { one, shards: shards.map(({ shown }) => shown), held: shards.map(({ held }) => held) }
    })
  }
})

type World = Effect.Effect.Success<typeof makeWorld>

/** What a cut session still does is waited for, and what it left is recovered. */
const settled = ({ look, router }: World) =>
  Effect.zipRight(eventually(Effect.zipRight(router.recover({ grace: 0 }), look), isFree), look)

/** What every undisturbed run sends. */
const recorded = (world: World, subject: Subject) =>
  Effect.gen(function* () {
    const { cluster, sql, wire } = world
    const before = (yield* world.look).one
    yield* cluster.query("oracle", subject.text)
    const after = (yield* world.look).one
    let common: ReadonlyArray<Command> | undefined
    for (let n = 0; n < 4; n++) {
      wire.begin()
      yield* subject.change(sql)
      const seen = new Set(wire.seen.map(keyOf))
      common = (common ?? wire.seen).filter((command) => seen.has(keyOf(command)))
      expect(isAs(yield* settled(world), after)).toBe(true)
      yield* world.undo(subject)
      expect(isAs(yield* world.look, before)).toBe(true)
    }
    return { before, after, commands: common ?? [] }
  })

const faults: ReadonlyArray<Fault> = ["interrupted", "cutBefore", "cutAfter"]

const isAll = process.env["SHARDLAYER_POINTS"] === "all"

interface Case {
  readonly at: Command
  readonly fault: Fault
}

/**
 * Each command that differs by more than its shard is a step. All: each step on each shard with each fault. Otherwise each
 * step on one shard with one fault, in turn; and of the looks at the catalogs only the first.
 */
const casesOf = (commands: ReadonlyArray<Command>): ReadonlyArray<Case> => {
  if (isAll) return commands.flatMap((at) => faults.map((fault) => ({ at, fault })))
  const steps = new Map<string, Array<Command>>()
  for (const command of commands) {
    if (command.text.startsWith("with recursive bases") && command.nth > 0) continue
    const step = `${command.text} ${command.nth}`
    steps.set(step, [...(steps.get(step) ?? []), command])
  }
  return [...steps.values()].flatMap((on, step) => {
    const at = on[Math.floor(step / faults.length) % on.length]
    const fault = faults[step % faults.length]
    return at === undefined || fault === undefined ? [] : [{ at, fault }]
  })
}

interface Recorded {
  readonly before: Shown
  readonly after: Shown
}

/** The change with a fault in it; undefined where the fault did not come to strike. */
const hurt = ({ sql, wire }: World, subject: Subject, at: Command, fault: Fault) =>
  Effect.gen(function* () {
    const gate = yield* Effect.makeLatch(false)
    const running = yield* Effect.fork(Effect.exit(Effect.zipRight(gate.await, subject.change(sql))))
    const strike: Strike = { at, fault, interrupt: () => running.unsafeInterruptAsFork(FiberId.none) }
    wire.begin(strike)
    yield* gate.open
    const exit = yield* Effect.timeout(Fiber.await(running), "30 seconds")
    wire.end()
    return { exit: Exit.flatten(exit), isStruck: wire.struck }
  })

const holds = (world: World, subject: Subject, at: Command, fault: Fault, { after, before }: Recorded) =>
  Effect.gen(function* () {
    const { exit, isStruck } = yield* hurt(world, subject, at, fault)
    const view = yield* settled(world)
    const problems: Array<unknown> = []
    const wrong = (problem: string, more?: unknown) => {
      const error = errorOf(exit)
      problems.push({ at, fault, problem, told: error?.message ?? exit._tag, more })
    }
    const told = toldOf(exit)
    const isDone = isAs(view, after)
    if (!isFree(view)) wrong("something is left", view.held)
    if (told === "done" && !isDone) wrong("told as done", view.shards)
    if (subject.mode === "transaction") {
      if (!isDone && !isAs(view, before)) wrong("half done", view.shards)
      if (told === "not done" && isDone) wrong("told as not done")
    } else {
      const error = errorOf(exit)
      const isOn = (shard: string, one: Shown): boolean =>
        JSON.stringify(view.shards[ids.findIndex((id) => id === shard)]?.schema) === JSON.stringify(one.schema)
      if (error?._tag === "SchemaChangeFailed") {
        if (!error.applied.every((id) => isOn(id, after))) wrong("told as applied", view.shards)
        if (!error.notRun.every((id) => isOn(id, before))) wrong("told as not run", view.shards)
        if (new Set([...error.applied, ...error.failed.map(({ shard }) => shard), ...error.notRun]).size !== ids.length)
          wrong("a shard is missing in the report")
      }
    }
    const retry = yield* Effect.exit(subject.change(world.sql))
    const again = errorOf(retry)
    const code = again?._tag === "SchemaChangeFailed" ? again.failed[0]?.cause : again
    const isKnown = code?._tag === "StatementFailed" && subject.again.includes(code.code)
    if (isDone ? !isKnown : !Exit.isSuccess(retry)) wrong("the retry", again)
    const last = yield* eventually(world.look, isFree)
    if (!isFree(last) || !isAs(last, after)) wrong("after the retry", last)
    yield* world.undo(subject)
    return { isStruck, told, isDone, problems }
  })

describe("schema changes that are hurt at each of their commands", () => {
  for (const subject of subjects) {
    it.scopedLive(
      subject.name,
      () =>
        Effect.gen(function* () {
          const world = yield* makeWorld
          if (subject.isUndone === "index") {
            yield* world.undo(subject)
            yield* world.cluster.query("oracle", subject.undo)
          }
          const record = yield* recorded(world, subject)
          const cases = casesOf(record.commands)
          const tally: { [told: string]: number } = {}
          const problems: Array<unknown> = []
          for (const { at, fault } of cases) {
            let isStruck = false
            for (let tries = 0; !isStruck && tries < 5; tries++) {
              const held = yield* holds(world, subject, at, fault, record)
              isStruck = held.isStruck
              problems.push(...held.problems)
              const kind = `${held.told}, ${held.isDone ? "done" : "not done"}`
              tally[kind] = (tally[kind] ?? 0) + 1
            }
            if (!isStruck) problems.push({ at, fault, problem: "it never struck" })
          }
          if (isAll) process.stderr.write(`${subject.name}: ${cases.length} cases, ${JSON.stringify(tally)}\n`)
          expect(problems).toEqual([])
          for (const id of ids) expect(record.commands.some(({ shard }) => shard === id)).toBe(true)
          expect(Object.keys(tally)).toEqual(
            expect.arrayContaining(["not done, not done", "unknown, not done", ...(isAll ? ["done, done"] : [])])
          )
        }),
      isAll ? 3_600_000 : 240_000
    )
  }
})
