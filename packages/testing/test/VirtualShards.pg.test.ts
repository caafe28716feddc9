// The plain `pg` driver against virtual shards, as against a server: values, errors, transactions that take turns, cursors,
// sessions that keep their settings and names apart. No server is started here, but PGlite takes seconds and much memory.
import { CurrentShardDriver } from "@shardlayer/core/ShardConnection"
import * as Keyspace from "@shardlayer/core/topology/Keyspace"
import * as Table from "@shardlayer/core/topology/Table"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgShard from "@shardlayer/pg/PgShard"
import * as VirtualShards from "@shardlayer/testing/VirtualShards"
import * as Reactivity from "@effect/experimental/Reactivity"
import * as PgClient from "@effect/sql-pg/PgClient"
import { SqlClient } from "@effect/sql/SqlClient"
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import pg from "pg"
import Cursor from "pg-cursor"

let scope: Scope.CloseableScope
let shards: VirtualShards.VirtualShards.Service
let pool: pg.Pool

beforeAll(async () => {
  scope = await Effect.runPromise(Scope.make())
  shards = await Effect.runPromise(Scope.extend(VirtualShards.make({ shards: 2, waitMillis: 1000 }), scope))
  pool = new pg.Pool({ ...configOf("shard_1"), max: 5 })
})

afterAll(async () => {
  await pool.end()
  await Effect.runPromise(Scope.close(scope, Exit.void))
})

const configOf = (id: string): pg.ClientConfig => {
  const { database, stream, username: user } = shards.nodes.find((node) => node.id === id)!
  return { stream, database, user }
}

const withClient = async <A>(use: (client: pg.Client) => Promise<A>, config: pg.ClientConfig = {}): Promise<A> => {
  const client = new pg.Client({ ...configOf("shard_1"), ...config })
  await client.connect()
  try {
    return await use(client)
  } finally {
    await client.end()
  }
}

describe("statements", () => {
  it("bring values as a server would, in text and in binary", async () => {
    const { rows } = await pool.query(
      `select $1::int8 as big, $2::text as text, $3::bytea as bytes, $4::jsonb as json, $5::timestamptz as at,
        $6::numeric as number, null as nothing, array[1, 2] as list, 1.5::float8 as float`,
      ["9007199254740993", "häß漢🐘\n\\'", Buffer.from([0, 255, 1]), { a: [1] }, "2024-02-29T12:00:00Z", "1.10"]
    )
    expect(rows).toEqual([
      {
        big: "9007199254740993",
        text: "häß漢🐘\n\\'",
        bytes: Buffer.from([0, 255, 1]),
        json: { a: [1] },
        at: new Date("2024-02-29T12:00:00Z"),
        number: "1.10",
        nothing: null,
        list: [1, 2],
        float: 1.5
      }
    ])
    const binary = { text: "select 258::int4 as a", values: [], binary: true } as pg.QueryConfig
    expect((await pool.query(binary)).rows).toEqual([{ a: 258 }])
  })

  it("bring a megabyte in and 100,000 rows out", async () => {
    const long = "x".repeat(1_000_000)
    expect((await pool.query("select length($1) as length", [long])).rows).toEqual([{ length: 1_000_000 }])
    const { rows } = await pool.query("select n, repeat('y', 50) as t from generate_series(1, 100000) n")
    expect(rows.length).toBe(100_000)
    expect(rows.at(-1)).toEqual({ n: 100_000, t: "y".repeat(50) })
  })

  it("fail with a code and a place, and the connection goes on", async () => {
    await withClient(async (client) => {
      for (const values of [undefined, [1]]) {
        await expect(client.query("select 1/0 from nothing", values)).rejects.toMatchObject({
          code: "42P01",
          position: "17"
        })
        expect((await client.query("select 2 as two")).rows).toEqual([{ two: 2 }])
      }
      await expect(client.query("select $1::int", ["x"])).rejects.toMatchObject({ code: "22P02" })
      expect((await client.query("select $1::int as n", [3])).rows).toEqual([{ n: 3 }])
    })
  })

  it("run in the order sent, many connections at once", async () => {
    await pool.query("create table counters (id int primary key, n int not null); insert into counters values (1, 0)")
    const updates = Array.from({ length: 200 }, () =>
      pool.query("update counters set n = n + $1 where id = 1 returning n", [1])
    )
    const results = await Promise.all(updates)
    expect(results.map((result) => Number(result.rows[0].n)).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 200 }, (_, index) => index + 1)
    )
  })

  it("of each shard stay there", async () => {
    await Effect.runPromise(shards.query("shard_2", "create table only_here (id int)"))
    expect((await pool.query("select to_regclass('only_here') as found")).rows).toEqual([{ found: null }])
    expect(await Effect.runPromise(shards.query("shard_2", "select count(*)::int as n from only_here"))).toEqual([
      { n: 0 }
    ])
    expect(await Effect.runPromise(Effect.flip(shards.query("shard_9", "select 1")))).toMatchObject({
      _tag: "NodeUnknown"
    })
  })
})

describe("transactions", () => {
  it("take turns instead of mixing", async () => {
    await pool.query("create table transfers (id serial, who text)")
    const transfer = async (who: string) => {
      const client = await pool.connect()
      try {
        await client.query("begin")
        for (let step = 0; step < 3; step++) {
          await client.query("insert into transfers (who) values ($1)", [who])
          await new Promise((resolve) => setTimeout(resolve, 5))
        }
        await client.query(who === "b" ? "rollback" : "commit")
      } finally {
        client.release()
      }
    }
    await Promise.all(["a", "b", "c"].map(transfer))
    const { rows } = await pool.query("select string_agg(who, '' order by id) as order from transfers")
    expect(["aaaccc", "cccaaa"]).toContain(rows[0].order)
  })

  it("of a connection that went away are rolled back, also when they had failed", async () => {
    await pool.query("create table lost (id int)")
    for (const last of ["select 1", "select 1/0"]) {
      const client = new pg.Client(configOf("shard_1"))
      client.on("error", () => {})
      await client.connect()
      await client.query("begin; insert into lost values (1)")
      await client.query(last).catch(() => {})
      // The driver's own connection, cut off without a word.
      Reflect.get(client, "connection").stream.destroy()
      expect((await pool.query("select count(*)::int as n from lost")).rows).toEqual([{ n: 0 }])
    }
  })

  it("that wait too long are refused, with a reason", async () => {
    await withClient(async (holder) => {
      await holder.query("begin")
      const waiting = new pg.Client(configOf("shard_1"))
      waiting.on("error", () => {})
      await waiting.connect()
      await expect(waiting.query("select 1")).rejects.toMatchObject({
        code: "53300",
        message: expect.stringContaining("1000 ms")
      })
      expect((await holder.query("select 1 as one")).rows).toEqual([{ one: 1 }])
      await holder.query("rollback")
    })
    expect((await pool.query("select 1 as one")).rows).toEqual([{ one: 1 }])
  })

  it("wait no longer than their lock_timeout, and are good for the next statement", async () => {
    await withClient(async (holder) => {
      await withClient(async (waiting) => {
        await waiting.query("set lock_timeout = 50")
        await holder.query("begin")
        await expect(waiting.query("select 1")).rejects.toMatchObject({ code: "55P03" })
        await expect(waiting.query("select $1::int", [1])).rejects.toMatchObject({ code: "55P03" })
        await holder.query("rollback")
        expect((await waiting.query("select $1::int as one", [1])).rows).toEqual([{ one: 1 }])
        await waiting.query("reset lock_timeout")
      })
    })
  })

  it("can be prepared and finished by another connection", async () => {
    await pool.query("create table prepared (id int)")
    await withClient((client) => client.query("begin; insert into prepared values (1); prepare transaction 'x'"))
    expect((await pool.query("select gid from pg_prepared_xacts")).rows).toEqual([{ gid: "x" }])
    expect((await pool.query("select * from prepared")).rows).toEqual([])
    await pool.query("commit prepared 'x'")
    expect((await pool.query("select * from prepared")).rows).toEqual([{ id: 1 }])
  })

  it("that are prepared are waited for outside of PostgreSQL, which would never come back", async () => {
    await pool.query("create table owned (id int primary key, n int); insert into owned values (1, 1)")
    const prepare = (sql: string) => withClient((client) => client.query(`begin; ${sql}; prepare transaction 'x'`))
    await prepare("update owned set n = 2")
    expect((await pool.query("select n from owned where id = $1", [1])).rows).toEqual([{ n: 1 }])
    await withClient(async (waiting) => {
      await waiting.query("set lock_timeout = 50")
      const refused = { code: "55P03", message: expect.stringContaining("has a transaction that is prepared") }
      await expect(waiting.query("update owned set n = n + 1")).rejects.toMatchObject(refused)
      await expect(waiting.query("begin")).rejects.toMatchObject(refused)
      await expect(waiting.query("select n from owned for update")).rejects.toMatchObject(refused)
      await waiting.query("begin read only")
      expect((await waiting.query("select n from owned")).rows).toEqual([{ n: 1 }])
      await waiting.query("commit; reset lock_timeout")
      const update = waiting.query({ name: "named", text: "update owned set n = n + 10 returning n" })
      await pool.query("commit prepared 'x'")
      expect((await update).rows).toEqual([{ n: 12 }])
    })
    await prepare("alter table owned add column m int")
    await withClient(async (waiting) => {
      await waiting.query("set lock_timeout = 50")
      await expect(waiting.query("select n from owned")).rejects.toMatchObject({ code: "55P03" })
      await pool.query("rollback prepared 'x'")
      expect((await waiting.query("select * from owned")).rows).toEqual([{ id: 1, n: 12 }])
    })
  })

  it("do not keep statements from being described, which harms no transaction that is open", async () => {
    await pool.query("create table described (id int primary key, label text)")
    const { database, stream, username } = shards.nodes.find(({ id }) => id === "shard_1")!
    const program = Effect.gen(function* () {
      const driver = yield* CurrentShardDriver
      const session = yield* driver.reserve
      yield* session.control("begin")
      yield* session.execute("insert into described values ($1, 'a')", [1])
      const description = yield* driver.describe("select id, label from described where id = $1")
      expect([description.params, description.columns.map(({ type }) => type)]).toEqual([[23], [23, 25]])
      const missing = yield* Effect.flip(driver.describe("select * from missing"))
      expect(missing).toMatchObject({ code: "42P01" })
      expect(yield* session.execute("select label from described where id = $1", [1])).toEqual([{ label: "a" }])
      yield* session.commit
      expect(yield* driver.execute("select count(*)::int as n from described", [])).toEqual([{ n: 1 }])
    })
    const layer = PgShard.layer({ database, stream, username, maxConnections: 3 })
    await Effect.runPromise(Effect.scoped(Effect.provide(program, layer)))
  })

  it("do not keep waiting what a router has finished over rows it has, and no table is read for", async () => {
    await pool.query("create table finished (n int)")
    const over = (what: string, also = "") =>
      `SELECT ${what} AS n FROM (SELECT texts.c0::int AS c0 FROM ROWS FROM (pg_catalog.unnest(CAST($1 AS pg_catalog._text))) AS texts(c0)) AS shards${also}`
    await withClient(async (holder) => {
      await holder.query("begin; set local timezone = 'Asia/Tokyo'; insert into finished values (1)")
      await withClient(
        async (other) => {
          const ask = async (text: string, name?: string) =>
            (await other.query({ text, name, values: [["4", "5"]] })).rows.map(({ n }) => n)
          expect(await ask(over("c0 + 1"))).toEqual([5, 6])
          expect(await ask(over("sum(c0)"), "summed")).toEqual(["9"])
          expect(await ask(over("sum(c0)"), "summed")).toEqual(["9"])
          expect(await ask(over("current_setting('timezone')"))).toEqual(["Europe/Rome", "Europe/Rome"])
          await expect(ask(over("c0 / 0"))).rejects.toMatchObject({ code: "22012" })
          // A table has rows that nobody else should see yet.
          await expect(ask(over("finished.n", ", finished"))).rejects.toMatchObject({ code: "55P03" })
        },
        { options: "-c timezone=Europe/Rome -c lock_timeout=50" }
      )
      expect((await holder.query("select n, current_setting('timezone') as zone from finished")).rows).toEqual([
        { n: 1, zone: "Asia/Tokyo" }
      ])
      await holder.query("commit")
    })
  })

  it("a waiting statement can be cancelled", async () => {
    await withClient(async (holder) => {
      await holder.query("begin")
      await withClient(async (waiting) => {
        const answer = waiting.query("select 1")
        const [processID, secretKey] = ["processID", "secretKey"].map((key) => Number(Reflect.get(waiting, key)))
        const request = Buffer.alloc(16)
        for (const [index, value] of [16, 80877102, processID!, secretKey!].entries())
          request.writeInt32BE(value, index * 4)
        configOf("shard_1").stream!()!.write(request)
        await expect(answer).rejects.toMatchObject({ code: "57014" })
        await holder.query("rollback")
        expect((await waiting.query("select 2 as two")).rows).toEqual([{ two: 2 }])
      })
    })
  })
})

describe("sessions", () => {
  it("name their prepared statements without knowing of each other", async () => {
    await withClient((left) =>
      withClient(async (right) => {
        for (let round = 0; round < 2; round++) {
          expect((await left.query({ name: "same", text: "select $1::int + 1 as n", values: [1] })).rows).toEqual([
            { n: 2 }
          ])
          expect((await right.query({ name: "same", text: "select $1::text as t", values: ["x"] })).rows).toEqual([
            { t: "x" }
          ])
        }
      })
    )
    const prepared = () => pool.query("select count(*)::int as n from pg_prepared_statements")
    expect((await prepared()).rows).toEqual([{ n: 0 }])
  })

  it("keep their settings apart, from start-up, SET and set_config", async () => {
    const zone = async (client: pg.Client) => (await client.query("show timezone")).rows[0].TimeZone
    await withClient(
      async (left) =>
        withClient(async (right) => {
          expect([await zone(left), await zone(right)]).toEqual(["Asia/Tokyo", "UTC"])
          await right.query("set timezone = 'Europe/Rome'; set search_path = pg_catalog, public")
          expect([await zone(left), await zone(right)]).toEqual(["Asia/Tokyo", "Europe/Rome"])
          await left.query("select set_config('timezone', $1, false)", ["America/Lima"])
          expect([await zone(left), await zone(right)]).toEqual(["America/Lima", "Europe/Rome"])
          expect((await right.query("show search_path")).rows).toEqual([{ search_path: "pg_catalog, public" }])
          expect((await left.query("show application_name")).rows).toEqual([{ application_name: "left" }])
        }),
      { options: "-c timezone=Asia/Tokyo -c search_path=public,\\ pg_catalog", application_name: "left" }
    )
    await withClient(async (client) => expect(await zone(client)).toBe("UTC"))
  })

  it("are those of who logs in, with what databases and roles are set to", async () => {
    await pool.query(
      `create role somebody login; create table closed (n int); create table open (n int); grant select on open to somebody;
       alter role somebody set app.tenant = 'seven'; alter database postgres set app.stage = 'test'`
    )
    const who =
      "select session_user::text as who, current_setting('app.tenant', true) as tenant, current_setting('app.stage') as stage"
    await withClient(
      async (client) => {
        expect((await client.query(who)).rows).toEqual([{ who: "somebody", tenant: "seven", stage: "test" }])
        await expect(client.query("select * from closed")).rejects.toMatchObject({ code: "42501" })
        await withClient(async (other) => {
          expect((await other.query(who)).rows).toMatchObject([{ who: "postgres", stage: "test" }])
          await other.query("set session authorization somebody")
        })
        expect((await client.query("select count(*)::int as n from open")).rows).toEqual([{ n: 0 }])
      },
      { user: "somebody" }
    )
    expect((await pool.query("select session_user::text as who")).rows).toEqual([{ who: "postgres" }])
    await expect(withClient((client) => client.query(who), { user: "nobody" })).rejects.toThrow(
      '"nobody" does not exist'
    )
    await pool.query("drop owned by somebody; drop role somebody; alter database postgres reset app.stage")
  })

  it("have temporary tables and types in common, for as long as there is one that made some", async () => {
    const make =
      "create type pg_temp.mood as enum ('ok'); create temp table passing as select 'ok'::pg_temp.mood as mood"
    await withClient(async (left) => {
      await withClient((right) => right.query(make))
      expect((await left.query("select to_regclass('pg_temp.passing') as there")).rows).toEqual([{ there: null }])
      await left.query(make)
      await withClient((right) => right.query("create temp table another (n int)"))
      expect((await left.query("select * from passing")).rows).toEqual([{ mood: "ok" }])
    })
  })

  it("with a setting that does not exist are refused", async () => {
    const refused = withClient((client) => client.query("select 1"), { options: "-c no_such=1" })
    await expect(refused).rejects.toMatchObject({ message: expect.stringContaining("no_such") })
  })

  it("hear notifications that another one sends", async () => {
    await withClient(async (listener) => {
      const heard = new Promise((resolve) => listener.on("notification", (message) => resolve(message.payload)))
      await listener.query("listen news")
      await pool.query("select pg_notify('news', 'from elsewhere')")
      expect(await heard).toBe("from elsewhere")
    })
  })

  it("come and go without a trace", async () => {
    const before = await Effect.runPromise(shards.connections("shard_1"))
    await Promise.all(Array.from({ length: 50 }, () => withClient((client) => client.query("select 1"))))
    expect(await Effect.runPromise(shards.connections("shard_1"))).toBe(before)
  })
})

describe("streams", () => {
  it("a cursor reads in portions, and another connection waits for its end", async () => {
    await withClient(async (client) => {
      const cursor = client.query(new Cursor("select n from generate_series(1, 2500) n"))
      const portions: Array<number> = []
      const other = pool.query("select 1 as one")
      for (;;) {
        const rows = await cursor.read(1000)
        if (rows.length === 0) break
        portions.push(rows.length)
      }
      await cursor.close()
      expect(portions).toEqual([1000, 1000, 500])
      expect((await other).rows).toEqual([{ one: 1 }])
    })
  })

  it("a COPY without a source fails, a COPY out comes through, and the connection goes on", async () => {
    await withClient(async (client) => {
      await client.query("create table copied (id int); insert into copied values (1), (2)")
      await expect(client.query("copy copied from stdin")).rejects.toMatchObject({ code: "57014" })
      expect((await client.query("select count(*)::int as n from copied")).rows).toEqual([{ n: 2 }])
    })
  })

  it("a COPY in brings rows", async () => {
    await withClient(async (client) => {
      await client.query("create table brought (id int, t text)")
      expect(
        await new Promise((resolve, reject) => client.query(copyIn("1\tone\n2\t", "zwei\n", resolve, reject)))
      ).toBe("COPY 2")
      expect((await pool.query("select t from brought order by id")).rows).toEqual([{ t: "one" }, { t: "zwei" }])
    })
  })
})

/** The driver leaves COPY's data to others (pg-copy-streams): this is the least of them. */
const copyIn = (first: string, second: string, done: (tag: string) => void, failed: (error: Error) => void) => {
  let tag = ""
  return {
    submit: (connection: pg.Connection) => connection.query("copy brought from stdin"),
    handleCopyInResponse: (connection: CopyConnection) => {
      connection.sendCopyFromChunk(Buffer.from(first))
      connection.sendCopyFromChunk(Buffer.from(second))
      connection.endCopyFrom()
    },
    handleCommandComplete: (message: { readonly text: string }) => {
      tag = message.text
    },
    handleReadyForQuery: () => done(tag),
    handleError: failed
  }
}

interface CopyConnection {
  readonly sendCopyFromChunk: (chunk: Buffer) => void
  readonly endCopyFrom: () => void
}

describe("@effect/sql-pg", () => {
  it.scopedLive("runs on a virtual shard as it is", () =>
    Effect.gen(function* () {
      const { database, stream, username } = yield* shards.node("shard_2")
      const sql = yield* PgClient.make({ database, stream, username })
      yield* sql`create table people (id int primary key, name text)`
      yield* sql`insert into people ${sql.insert([
        { id: 1, name: "Ann" },
        { id: 2, name: "Bo" }
      ])}`
      const failed = yield* Effect.exit(
        sql.withTransaction(sql`delete from people`.pipe(Effect.zipRight(Effect.fail("no"))))
      )
      expect(failed).toEqual(Exit.fail("no"))
      const names = yield* Stream.runCollect(sql<{ readonly name: string }>`select name from people order by id`.stream)
      expect([...names]).toEqual([{ name: "Ann" }, { name: "Bo" }])
    }).pipe(Effect.provide(Reactivity.layer))
  )
})

describe("a router", () => {
  it.scopedLive("has a PostgreSQL finish what a transaction asks that holds all shards", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient
      yield* sql`insert into users select * from (values (1, 'c'), (2, 'a'), (3, 'b'), (4, 'd')) as v (id, name)`
      const ranked = sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`update users set name = 'e' || name`
          const failed = yield* Effect.flip(
            sql.withTransaction(sql`select 1 / (id - rank() over (order by id)) from users`)
          )
          const rows = yield* sql`select name, (rank() over (order by name))::int as rank from users order by 2`
          return [String(failed.cause), rows]
        })
      )
      expect(yield* ranked).toEqual([
        "StatementFailed: division by zero",
        ["ea", "eb", "ec", "ed"].map((name, place) => ({ name, rank: place + 1 }))
      ])
      const gone = sql`with d as (delete from users returning id) select id::int, (sum(id) over (order by id))::int as sum from d`
      expect(yield* gone).toEqual([1, 3, 6, 10].map((sum, place) => ({ id: place + 1, sum })))
    }).pipe(
      Effect.provide(
        VirtualShards.layer({
          topology: Topology.make({
            shards: ["shard_1", "shard_2"],
            keyspaces: { user: Keyspace.hash({ key: ["int8"] }) },
            tables: { users: Table.sharded({ key: "id", keyspace: "user" }) }
          }),
          schema: "create table users (id int8 primary key, name text)",
          waitMillis: 3000
        })
      )
    )
  )
})
