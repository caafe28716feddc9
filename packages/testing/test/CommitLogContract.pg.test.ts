// PostgreSQL's commit log keeps its contract, and one with a mistake in it does not: each planted bug fails a case.
import { describe, expect, it } from "@effect/vitest"
import { CommitLog, type CommitLogService } from "@shardlayer/core/CommitLog"
import * as Topology from "@shardlayer/core/topology/Topology"
import * as PgCommitLog from "@shardlayer/pg/PgCommitLog"
import { commitLogContract } from "@shardlayer/testing/contracts/CommitLogContract"
import * as PgCluster from "@shardlayer/testing/PgCluster"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Planted from "../src/internal/chaos/Planted.js"

const topology = Topology.make({ shards: ["shard_1", "shard_2"], keyspaces: {}, tables: {} })

const prepared = Effect.gen(function* () {
  const cluster = yield* PgCluster.make({ shards: 2, mode: "databases" })
  yield* Effect.void.pipe(
    Effect.provide(PgCluster.routed({ topology, schema: "create table contract (id int primary key)" })),
    Effect.provideService(PgCluster.PgCluster, cluster)
  )
  return yield* PgCluster.template(cluster)
})

const checked = (
  template: PgCluster.Template,
  log: CommitLogService,
  check: (typeof commitLogContract)[number]["check"]
) =>
  check.pipe(
    Effect.timeout("20 seconds"),
    Effect.provideService(CommitLog, log),
    Effect.provide(PgCluster.routed({ topology, router: { install: false } })),
    Effect.provide(PgCluster.layerFresh(template))
  )

describe("PgCommitLog keeps the contract", () => {
  for (const { check, name } of commitLogContract) {
    it.scopedLive(name, () => Effect.flatMap(prepared, (template) => checked(template, PgCommitLog.make, check)))
  }
})

describe("a commit log with a mistake does not", () => {
  for (const bug of Planted.bugs.filter((each) => each !== "none")) {
    it.scopedLive(
      bug,
      () =>
        Effect.gen(function* () {
          const template = yield* prepared
          const log = Planted.withBug(PgCommitLog.make, bug)
          const exits = yield* Effect.forEach(commitLogContract, ({ check }) =>
            Effect.exit(checked(template, log, check))
          )
          expect(exits.filter(Exit.isFailure).length).toBeGreaterThan(0)
        }),
      120_000
    )
  }
})
