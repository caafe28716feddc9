/** All that a start finds, in one report: an error that refuses the start, a log entry, or a value. */
import { describe, expect, it } from "@effect/vitest"
import { StartRefused } from "@shardlayer/core/ShardError"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Id from "@shardlayer/core/topology/Id"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as StartReport from "@shardlayer/core/topology/StartReport"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgRouter from "@shardlayer/pg/PgRouter"
import * as PgShard from "@shardlayer/pg/PgShard"
import type { PgShardConfig } from "@shardlayer/pg/PgShardConfig"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"

const definition = {
  shards: ["shard_1", "shard_2", "shard_3"],
  keyspaces: {
    user: Keyspace.hash({ key: ["int8"] }),
    tenant: Keyspace.lookup({ key: ["text"], directory: "tenants" }),
    own: Keyspace.custom({ key: ["int8"], name: "mine" })
  },
  tables: {
    users: Table.sharded({ key: "id", keyspace: "user" }),
    accounts: Table.sharded({ key: "user_id", keyspace: "user" }),
    orders: Table.sharded({ key: "user_id", keyspace: "user", generate: { id: Id.snowflake() } }),
    notes: Table.sharded({ key: "user_id", keyspace: "user" }),
    hidden: Table.sharded({ key: "user_id", keyspace: "user" }),
    countries: Table.reference(),
    settings: Table.single("shard_1")
  }
} as const

const tables = `
create table countries (code text primary key);
create table settings (name text primary key);
create function noted() returns trigger language plpgsql as 'begin return new; end';
create table users (id int8 primary key, email text unique, country text references countries);
create table accounts (user_id int8, id int8 references users (id), primary key (user_id, id));
create table orders (id int8 primary key, user_id int8 not null);
create table notes (user_id int8, number serial, text text);
create table hidden (user_id int8 primary key);
alter table hidden enable row level security;
create policy lucky on hidden using (random() < 0.5);
create trigger noted before insert on countries for each row execute function noted()`

interface Options {
  readonly topology?: Topology.Topology
  readonly config?: Partial<PgRouter.Config>
  readonly connections?: { readonly [shard: string]: PgShardConfig }
}

const configOf = (cluster: PgCluster.PgCluster.Service, options: Options = {}): PgRouter.Config => ({
  topology: options.topology ?? Topology.make(definition),
  ...options.config,
  shards: Object.fromEntries(
    cluster.shards.map(({ id, url }) => [id, PgShard.layer({ url, maxConnections: 2, ...options.connections?.[id] })])
  )
})

const start = (config: PgRouter.Config) =>
  Effect.map(Layer.build(PgRouter.layer(config)), (context) => Context.get(context, ShardRouter.ShardRouter))

const recorded = () => {
  const entries: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => void entries.push(`${logLevel._tag} ${String(message)}`))
  return { entries, layer: Logger.replace(Logger.defaultLogger, logger) }
}

/** Nobody listens there. */
const nowhere = Redacted.make("postgres://nobody@127.0.0.1:1/none")

/** The lines of a report, with what each must say. */
const expectLines = (report: StartReport.StartReport, expected: ReadonlyArray<string | RegExp>) => {
  const [, ...lines] = StartReport.format(report).split("\n")
  for (const pattern of expected) {
    const at = lines.findIndex((line) => (typeof pattern === "string" ? line.includes(pattern) : pattern.test(line)))
    expect(at, `${String(pattern)} in\n${lines.join("\n")}`).toBeGreaterThanOrEqual(0)
    lines.splice(at, 1)
  }
  expect(lines).toEqual([])
}

describe("a report", () => {
  it.scopedLive(
    "has each kind of finding at once, a line each; the start that asks for none fails with it",
    () =>
      Effect.gen(function* () {
        const cluster = yield* PgCluster.make({
          shards: 3,
          mode: "databases",
          shared: false,
          settings: { max_prepared_transactions: 0 }
        })
        for (const { id } of cluster.shards.slice(0, 2)) yield* cluster.query(id, tables)
        yield* cluster.query("shard_2", "alter table users add column age int4; drop table settings")
        yield* cluster.query("shard_1", "alter table notes alter user_id type text")
        const config = configOf(cluster, {
          config: { topologyStore: true },
          connections: { shard_2: { timeZone: "Asia/Tokyo" }, shard_3: { url: nowhere } }
        })
        const report = yield* PgRouter.report(config)
        expect(StartReport.format(report).split("\n")[0]).toMatch(/^\d+ errors, \d+ warnings \(3 shards, epoch 1\)$/)
        expectLines(report, [
          /^error {3}shard_3: it did not tell its catalog: .*ECONNREFUSED.*\. Start its server/,
          /^error {3}shard_2: shard shard_2 has TimeZone "Asia\/Tokyo", shard shard_1 has "UTC"\. Give/,
          /^error {3}shard_1, shard_2, users: shard shard_1 lacks column age of table users\. Bring/,
          /^error {3}shard_1, shard_2, notes: column user_id of table notes differs between/,
          /^error {3}notes\.user_id: key column user_id of table notes has type text, the topology says int8\. /,
          /^error {3}accounts: foreign key accounts_id_fkey of accounts references users, .*\[SL6005\]\. Make the shard key/,
          /^error {3}orders: orders_pkey of orders leaves out the shard key, .*\[SL6006\]\. Add the shard key/,
          /^error {3}hidden: .*row security.*\[SL2009\]\. /i,
          /^error {3}shard_1: schema shardlayer is missing on the meta database, which the stored topology, directories, generated ids need\. Run/,
          /^error {3}keyspace own is resolved by function mine, which the router was not given\. Give/,
          /^warning countries: trigger noted of countries .*\[SL6003\]/,
          /^warning shard_2: schema shardlayer is missing: transactions .*\. Run ShardRouter\.install/,
          /^warning shard_1, shard_2: max_prepared_transactions is 0 .*\. Set it to at least max_connections/
        ])
        const refused = yield* Effect.flip(Effect.scoped(start({ ...config, check: true })))
        expect(refused).toBeInstanceOf(StartRefused)
        expect(refused.message).toBe(`the router does not start: ${StartReport.format(report)}`)
        // Nothing was made.
        expect(yield* cluster.query("shard_1", "select to_regnamespace('shardlayer') is null as none")).toEqual([
          { none: true }
        ])
      }),
    120_000
  )

  it.scopedLive(
    "tells what works but may surprise as warnings, which let a router start",
    () =>
      Effect.gen(function* () {
        const { entries, layer } = recorded()
        const cluster = yield* PgCluster.make({ shards: 2, mode: "databases" })
        for (const { id } of cluster.shards) yield* cluster.query(id, tables)
        const topology = Topology.make({
          shards: ["shard_1", "shard_2"],
          keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
          tables: {
            users: Table.sharded({ key: "id", keyspace: "user", acknowledge: ["users_email_key"] }),
            notes: definition.tables.notes,
            countries: Table.reference()
          }
        })
        const router = yield* Effect.provide(
          start(configOf(cluster, { topology, config: { install: true, check: true } })),
          layer
        )
        const report = yield* router.report
        expect(StartReport.errors(report)).toEqual([])
        expectLines(report, [
          /^warning users: foreign key accounts_id_fkey of accounts references users, .*\[SL6011\]/,
          "warning notes.user_id: the key column may be NULL: rows without a key all live on the shard of slot 0. Make it NOT NULL",
          "warning notes: the table has no primary key",
          /^warning notes\.number: column number of notes takes its number from a sequence.*\[SL6007\]/,
          /^warning countries: trigger noted/
        ])
        expect(entries).toEqual([`WARN ${StartReport.format(report)}`.replace("WARN", "Warning")])
        // What it says of them is true.
        const sql = router.client
        yield* sql`insert into notes (user_id, number, text) values (null, 1, 'x')`
        expect(yield* sql`select text from notes where user_id is null`).toEqual([{ text: "x" }])
        const failed = yield* Effect.flip(router.query(sql`insert into notes (user_id, text) values (1, 'x')`))
        expect(failed).toMatchObject({ code: "SL6007" })
        expect(yield* Effect.flip(router.query(sql`delete from users where id = 1`))).toMatchObject({ code: "SL6011" })
        expect(yield* Effect.flip(router.query(sql`insert into countries values ('x')`))).toMatchObject({
          code: "SL6003"
        })
      }),
    60_000
  )

  it.scopedLive(
    "is logged where that is what was asked for, and the router starts; without errors and warnings nothing is",
    () =>
      Effect.gen(function* () {
        const { entries, layer } = recorded()
        const cluster = yield* PgCluster.make({ shards: 2, mode: "databases" })
        for (const { id } of cluster.shards) yield* cluster.query(id, "create table users (id int8 primary key)")
        const topology = Topology.make({
          shards: ["shard_1", "shard_2"],
          keyspaces: {
            user: Keyspace.list({ key: ["int8"], entries: [{ keys: [1], shard: "shard_1" }], otherwise: "shard_2" })
          },
          tables: { users: Table.sharded({ key: "id", keyspace: "user" }) }
        })
        const good = yield* start(configOf(cluster, { topology, config: { install: true, check: true } })).pipe(
          Effect.provide(layer)
        )
        expect(yield* good.report).toEqual({ epoch: 1, shards: ["shard_1", "shard_2"], findings: [] })
        expect(entries).toEqual([])

        // One database under two names, and one shard that is down.
        const [one] = cluster.shards
        const twice = configOf(cluster, { topology, connections: { shard_2: { url: one!.url } } })
        expectLines(yield* PgRouter.report(twice), ["error   shard_1, shard_2: they are one database"])
        const down = configOf(cluster, {
          topology,
          connections: { shard_2: { url: nowhere } },
          config: { check: "report" }
        })
        const router = yield* Effect.provide(start(down), layer)
        expect(entries).toHaveLength(1)
        expect(entries[0]).toMatch(/^Error 1 error, 0 warnings .*\nerror {3}shard_2: it did not tell its catalog/)
        yield* router.client`insert into users values (1)`
        expect(yield* router.client`select * from users where id = 1`).toEqual([{ id: "1" }])
        expect(yield* Effect.flip(Effect.scoped(start({ ...down, check: true })))).toBeInstanceOf(StartRefused)

        // Without a look at start it waits for nobody; with all of them gone the report says so of each.
        const gone = { shard_1: { url: nowhere }, shard_2: { url: nowhere } }
        const dark = yield* start(configOf(cluster, { topology, connections: gone }))
        expectLines(yield* dark.report, [/^error {3}shard_1: it did not tell/, /^error {3}shard_2: it did not tell/])

        // Of another installation.
        yield* cluster.query("shard_2", "update shardlayer.cluster set cluster = reverse(cluster)")
        expectLines(yield* PgRouter.report(configOf(cluster, { topology })), [
          /^error {3}the databases belong to several installations: shard_1 to \w+; shard_2 to \w+\./
        ])
        yield* cluster.query("shard_2", "delete from shardlayer.migrations where version > 1")
        expectLines(yield* PgRouter.report(configOf(cluster, { topology })), [
          /^warning shard_2: schema shardlayer has version 1, this program needs \d+/
        ])
      }),
    60_000
  )
})
