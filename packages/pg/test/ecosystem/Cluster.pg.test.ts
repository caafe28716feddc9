/**
 * `@effect/cluster` with its mailboxes, locks and workflows on one shard, and the rows of its entities on all of them: what
 * an entity says is what it says on one PostgreSQL.
 */
import * as ClusterSchema from "@effect/cluster/ClusterSchema"
import * as ClusterWorkflowEngine from "@effect/cluster/ClusterWorkflowEngine"
import * as Entity from "@effect/cluster/Entity"
import * as RunnerHealth from "@effect/cluster/RunnerHealth"
import * as Runners from "@effect/cluster/Runners"
import * as Sharding from "@effect/cluster/Sharding"
import * as ShardingConfig from "@effect/cluster/ShardingConfig"
import * as SingleRunner from "@effect/cluster/SingleRunner"
import * as SqlMessageStorage from "@effect/cluster/SqlMessageStorage"
import * as SqlRunnerStorage from "@effect/cluster/SqlRunnerStorage"
import * as Rpc from "@effect/rpc/Rpc"
import type { SqlClient } from "@effect/sql/SqlClient"
import * as Client from "@effect/sql/SqlClient"
import { layer } from "@effect/vitest"
import * as Activity from "@effect/workflow/Activity"
import * as Workflow from "@effect/workflow/Workflow"
import * as ShardManager from "@shardlayer/core/ShardManager"
import * as ShardRouter from "@shardlayer/core/ShardRouter"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PrimaryKey from "effect/PrimaryKey"
import * as Schema from "effect/Schema"
import { expect } from "vitest"
import * as Shop from "./shop.js"
import { layer as sides, Sides } from "./sides.js"

class Deposit extends Schema.TaggedRequest<Deposit>()("Deposit", {
  payload: { id: Schema.String, amount: Schema.Number },
  success: Schema.String,
  failure: Schema.String
}) {
  [PrimaryKey.symbol]() {
    return this.id
  }
}

/** A user's account, whose messages outlive the process: each is carried out once. */
const Account = Entity.make("Account", [Rpc.fromTaggedRequest(Deposit)]).annotateRpcs(ClusterSchema.Persisted, true)

const AccountLive = Account.toLayer(
  Effect.gen(function* () {
    const address = yield* Entity.CurrentAddress
    const sql = yield* Client.SqlClient
    return {
      Deposit: ({ payload: { amount } }) =>
        sql<{ balance: string }>`
          update users set balance = balance + ${amount} where id = ${Number(address.entityId)} returning balance
        `.pipe(
          Effect.map(([row]) => row?.balance ?? "nobody"),
          Effect.mapError((error) => (error.cause as { readonly code: string }).code)
        )
    }
  })
)

const Greeting = Workflow.make({
  name: "Greeting",
  payload: { user: Schema.Number },
  success: Schema.String,
  idempotencyKey: ({ user }) => String(user)
})

const ran: Array<string> = []

const GreetingLive = Greeting.toLayer(({ user }) =>
  Activity.make({
    name: "greet",
    success: Schema.String,
    execute: Effect.gen(function* () {
      const sql = yield* Client.SqlClient
      ran.push(`greet ${user}`)
      const [row] = yield* Effect.orDie(sql<{ full_name: string }>`select full_name from users where id = ${user}`)
      return `hello ${row?.full_name}`
    })
  })
)

/**
 * A runner with its storages on one client, its entities and workflows on another. By hand, and not by `SingleRunner.layer`:
 * `Sharding` gives its entities all of its own environment, where the client of the storages would stand for theirs.
 */
const runner = (storage: Layer.Layer<SqlClient, unknown>, sql: SqlClient) =>
  Layer.mergeAll(AccountLive, GreetingLive).pipe(
    Layer.provideMerge(ClusterWorkflowEngine.layer),
    Layer.provideMerge(Sharding.layer),
    Layer.provideMerge(Runners.layerNoop),
    Layer.provideMerge(Layer.provide(SqlMessageStorage.layer, storage)),
    Layer.provide([Layer.provide(SqlRunnerStorage.layer, storage), RunnerHealth.layerNoop]),
    Layer.provide(ShardingConfig.layer({ entityMessagePollInterval: "50 millis" })),
    Layer.provide(Layer.succeed(Client.SqlClient, sql))
  )

const deposits = Effect.gen(function* () {
  const account = yield* Account.client
  const deposit = (user: number, id: string, amount: number) =>
    Effect.either(account(String(user)).Deposit(new Deposit({ id, amount }), {}))
  const first = yield* Effect.forEach([1, 2, 3, 4, 5], (user) => deposit(user, "first", user * 10), {
    concurrency: "unbounded"
  })
  // The same message again is answered with what was answered, and changes nothing.
  const again = yield* deposit(1, "first", 10)
  return { first, again, nobody: yield* deposit(99, "x", 1), tooMuch: yield* deposit(2, "y", -1_000) }
})

layer(sides(Shop), { excludeTestServices: true, timeout: 120_000 })("@effect/cluster on a shard", (it) => {
  const onEach = <A, E, R>(
    use: (run: <B, F>(effect: Effect.Effect<B, F, R>) => Effect.Effect<B, F>) => Effect.Effect<A, E>,
    layerOf: (storage: Layer.Layer<SqlClient, unknown>, sql: SqlClient) => Layer.Layer<R, unknown>
  ) =>
    Effect.gen(function* () {
      const { four, manager, plain } = yield* Sides
      const shard = ShardManager.layerClient("shard_3").pipe(
        Layer.provide(Layer.succeed(ShardManager.ShardManager, manager))
      )
      const side = (storage: Layer.Layer<SqlClient, unknown>, sql: SqlClient) =>
        use((effect) => Effect.scoped(Effect.provide(effect, Layer.orDie(layerOf(storage, sql)))))
      const expected = yield* side(Layer.succeed(Client.SqlClient, plain.sql), plain.sql)
      expect(yield* side(shard, four.sql)).toEqual(expected)
      return expected
    })

  it.effect("entities whose messages are kept, carried out once, whatever shard their rows are on", () =>
    Effect.gen(function* () {
      const { cluster, four, plain } = yield* Sides
      const said = yield* onEach((run) => Effect.zip(run(deposits), run(deposits)), runner)
      // A runner that starts anew finds what was answered.
      expect(said[1]).toEqual(said[0])
      expect(said[0]).toMatchObject({ tooMuch: { left: "23514" }, nobody: { right: "nobody" } })
      const balances = (sql: SqlClient) => sql`select id, balance from users order by id`
      expect(yield* balances(four.sql)).toEqual(yield* balances(plain.sql))
      const tables = (id: string) =>
        cluster.query(id, "select relname from pg_class where relname like 'cluster_%' and relkind = 'r' order by 1")
      expect(yield* tables("shard_3")).toEqual(yield* tables("oracle"))
      expect(yield* tables("shard_1")).toEqual([])
    })
  )

  it.effect("workflows run once", () =>
    Effect.gen(function* () {
      ran.length = 0
      const greet = Effect.forEach([1, 2, 3, 1], (user) => Greeting.execute({ user }), { concurrency: "unbounded" })
      const said = yield* onEach((run) => Effect.zip(run(greet), run(greet)), runner)
      expect(said).toEqual([said[0], said[0]])
      expect(said[0]).toEqual(["hello user 1", "hello user 2", "hello user 3", "hello user 1"])
      expect(ran.toSorted()).toEqual([1, 1, 2, 2, 3, 3].map((user) => `greet ${user}`))
    })
  )

  it.scoped(
    "under SingleRunner.layer the SqlClient of the handlers is that of the storages: ShardRouter has the other",
    () =>
      Effect.gen(function* () {
        const { four, manager, router } = yield* Sides
        const storage = yield* manager.client("shard_4")
        const Which = Entity.make("Which", [Rpc.make("Client", { success: Schema.Array(Schema.Boolean) })])
        const WhichLive = Which.toLayer(
          Effect.gen(function* () {
            const [sql, routed] = [yield* Client.SqlClient, (yield* ShardRouter.ShardRouter).client]
            return { Client: () => Effect.succeed([sql === storage, routed === four.sql]) }
          })
        )
        const runner = WhichLive.pipe(
          Layer.provide(Layer.succeed(Client.SqlClient, four.sql)),
          Layer.provide(Layer.succeed(ShardRouter.ShardRouter, router)),
          Layer.provideMerge(SingleRunner.layer()),
          Layer.provide(Layer.succeed(Client.SqlClient, storage))
        )
        const asked = Effect.flatMap(Which.client, (which) => which("1").Client())
        expect(yield* Effect.provide(asked, runner)).toEqual([true, true])
      })
  )
})
