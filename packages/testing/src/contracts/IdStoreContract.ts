/**
 * What every `IdStore` must do: spans of a node that never overlap, blocks of a sequence that never overlap.
 *
 * @since 0.1.0
 */
import { IdStore, type Lease, type LeaseRequest } from "@shardlayer/core/IdStore"
import * as Effect from "effect/Effect"
import assert from "node:assert/strict"
import type { Contract } from "./Contract.js"

const asking = (holder: string, more: Partial<LeaseRequest> = {}): LeaseRequest => ({
  family: "snowflake",
  nodes: 1_024,
  holder,
  node: undefined,
  leaseMillis: 60_000,
  ...more
})

const isSpan = ({ fromMillis, nowMillis, untilMillis }: Lease, leaseMillis: number): void => {
  assert.ok(fromMillis >= nowMillis - 2_000, "it begins in the past")
  assert.ok(untilMillis - fromMillis >= leaseMillis, "it is shorter than was asked for")
}

/**
 * @since 0.1.0
 * @category contracts
 */
export const idStoreContract: Contract<IdStore> = [
  {
    name: "leases different nodes to different holders, also all at once, and of each family apart",
    check: Effect.gen(function* () {
      const store = yield* IdStore
      const leases = yield* Effect.forEach(
        Array.from({ length: 16 }, (_, index) => `holder${index}`),
        (holder) => store.lease(asking(holder)),
        { concurrency: "unbounded" }
      )
      for (const lease of leases) isSpan(lease, 60_000)
      assert.deepEqual(
        leases.map(({ node }) => node).sort((one, other) => one - other),
        leases.map((_, index) => index)
      )
      assert.equal((yield* store.lease(asking("holder0", { family: "safeSnowflake" }))).node, 0)
    })
  },
  {
    name: "leases a node to its holder again, for longer",
    check: Effect.gen(function* () {
      const store = yield* IdStore
      const first = yield* store.lease(asking("a", { leaseMillis: 1_000 }))
      const second = yield* store.lease(asking("a", { node: first.node, leaseMillis: 60_000 }))
      assert.equal(second.node, first.node)
      assert.ok(second.untilMillis >= first.untilMillis + 58_000)
      assert.equal((yield* store.lease(asking("b"))).node, 1)
    })
  },
  {
    name: "leases a node anew once its lease is over, from where the span before it ends",
    check: Effect.gen(function* () {
      const store = yield* IdStore
      const first = yield* store.lease(asking("a", { leaseMillis: 40 }))
      yield* Effect.sleep("120 millis")
      const second = yield* store.lease(asking("b"))
      assert.equal(second.node, first.node)
      assert.ok(second.fromMillis >= first.untilMillis)
      const third = yield* store.lease(asking("a", { node: first.node }))
      assert.notEqual(third.node, first.node)
      isSpan(third, 60_000)
    })
  },
  {
    name: "leaves a node to a holder that comes late, as long as nobody else has taken it",
    check: Effect.gen(function* () {
      const store = yield* IdStore
      const first = yield* store.lease(asking("a", { leaseMillis: 40 }))
      yield* Effect.sleep("120 millis")
      const again = yield* store.lease(asking("a", { node: first.node }))
      assert.equal(again.node, first.node)
      assert.ok(again.untilMillis > first.untilMillis)
    })
  },
  {
    name: "says that all nodes are leased",
    check: Effect.gen(function* () {
      const store = yield* IdStore
      for (const holder of ["a", "b"]) yield* store.lease(asking(holder, { nodes: 2 }))
      const error = yield* Effect.flip(store.lease(asking("c", { nodes: 2 })))
      assert.equal(error._tag === "IdsUnavailable" && error.kind, "NoNode")
    })
  },
  {
    name: "gives a node away that is released, not before what was used of it",
    check: Effect.gen(function* () {
      const store = yield* IdStore
      const lease = yield* store.lease(asking("a", { nodes: 1 }))
      const held = { family: "snowflake", node: lease.node, untilMillis: lease.fromMillis + 30_000 } as const
      yield* store.release({ ...held, holder: "b" })
      assert.equal((yield* Effect.flip(store.lease(asking("c", { nodes: 1 }))))._tag, "IdsUnavailable")
      yield* store.release({ ...held, holder: "a" })
      const next = yield* store.lease(asking("c", { nodes: 1 }))
      assert.deepEqual([next.node, next.fromMillis], [lease.node, held.untilMillis])
      isSpan(next, 60_000)
    })
  },
  {
    name: "does not begin a span far ahead of its clock",
    check: Effect.gen(function* () {
      const store = yield* IdStore
      const lease = yield* store.lease(asking("a", { nodes: 1, leaseMillis: 600_000 }))
      const held = { family: "snowflake", node: lease.node, holder: "a" } as const
      yield* store.release({ ...held, untilMillis: lease.fromMillis + 300_000 })
      const error = yield* Effect.flip(store.lease(asking("b", { nodes: 1 })))
      assert.equal(error._tag === "IdsUnavailable" && error.kind, "ClockBehind")
      // One that nobody has had is better than none.
      assert.equal((yield* store.lease(asking("b", { nodes: 2 }))).node, 1)
    })
  },
  {
    name: "allocates blocks that follow each other, whoever asks, of each sequence apart",
    check: Effect.gen(function* () {
      const store = yield* IdStore
      const firsts = yield* Effect.forEach(Array.from({ length: 20 }), () => store.allocate("s", 100, 7), {
        concurrency: "unbounded"
      })
      assert.deepEqual(
        firsts.map(Number).sort((one, other) => one - other),
        firsts.map((_, index) => 100 + 7 * index)
      )
      assert.equal(yield* store.allocate("s", 1, 1), "240")
      assert.equal(yield* store.allocate("t", -5, 1), "-5")
      assert.equal(yield* store.allocate("t", -5, 1_000_000), "-4")
    })
  }
]
