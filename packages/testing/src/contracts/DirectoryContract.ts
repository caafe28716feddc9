/**
 * What every `Directory` must do: one shard a key, answers in the order asked, keys told apart exactly.
 *
 * @since 0.1.0
 */
import { Directory, KeyAssignedElsewhere } from "@shardlayer/core/Directory"
import type { KeyTuple } from "@shardlayer/core/topology/KeyValue"
import * as ShardId from "@shardlayer/core/topology/ShardId"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import assert from "node:assert/strict"
import type { Contract } from "./Contract.js"

const one = ShardId.make("shard_1")
const two = ShardId.make("shard_2")

/** Keys that a careless encoding would take for one another. */
const deceptiveKeys: ReadonlyArray<KeyTuple> = [
  ["a"],
  ["A"],
  ["a "],
  ["ä"],
  ["a\u0308"],
  ["𝄞"],
  [""],
  [null],
  ["NULL"],
  ["null"],
  ["{a}"],
  ["{}"],
  ['"a"'],
  ["\\a"],
  ["\\"],
  ["a,b"],
  ["a\nb"],
  ["'"],
  ["1"],
  ["01"],
  ["a", "b"],
  ["a", null],
  [null, "a"],
  [null, null],
  ["a", ""],
  ["", "a"],
  ["a", "NULL"],
  ["a", "b", "c"],
  ["x".repeat(2_000)]
]

/**
 * @since 0.1.0
 * @category contracts
 */
export const directoryContract: Contract<Directory> = [
  {
    name: "knows no key at first, and answers no questions with no answers",
    check: Effect.gen(function* () {
      const directory = yield* Directory
      assert.deepEqual(yield* directory.lookup("tenants", [["a"], [null]]), [Option.none(), Option.none()])
      assert.deepEqual(yield* directory.lookup("tenants", []), [])
    })
  },
  {
    name: "answers in the order asked, a key as often as it is asked",
    check: Effect.gen(function* () {
      const directory = yield* Directory
      yield* directory.assign("tenants", ["a"], one)
      yield* directory.assign("tenants", ["b"], two)
      assert.deepEqual(yield* directory.lookup("tenants", [["b"], ["nobody"], ["a"], ["b"]]), [
        Option.some(two),
        Option.none(),
        Option.some(one),
        Option.some(two)
      ])
    })
  },
  {
    name: "tells every key from every other, NULL parts from text",
    check: Effect.gen(function* () {
      const directory = yield* Directory
      for (const [index, key] of deceptiveKeys.entries()) {
        assert.deepEqual(yield* directory.lookup("tenants", [key]), [Option.none()], `before ${JSON.stringify(key)}`)
        yield* directory.assign("tenants", key, index % 2 === 0 ? one : two)
      }
      assert.deepEqual(
        yield* directory.lookup("tenants", deceptiveKeys),
        deceptiveKeys.map((_, index) => Option.some(index % 2 === 0 ? one : two))
      )
    })
  },
  {
    name: "keeps directories apart",
    check: Effect.gen(function* () {
      const directory = yield* Directory
      yield* directory.assign("tenants", ["a"], one)
      yield* directory.assign("regions", ["a"], two)
      assert.deepEqual(yield* directory.lookup("tenants", [["a"]]), [Option.some(one)])
      assert.deepEqual(yield* directory.lookup("regions", [["a"]]), [Option.some(two)])
      assert.deepEqual(yield* directory.lookup("Tenants", [["a"]]), [Option.none()])
    })
  },
  {
    name: "assigns to the same shard again, and to another only by replace",
    check: Effect.gen(function* () {
      const directory = yield* Directory
      yield* directory.assign("tenants", ["a", null], one)
      yield* directory.assign("tenants", ["a", null], one)
      const error = yield* Effect.flip(directory.assign("tenants", ["a", null], two))
      assert.ok(error instanceof KeyAssignedElsewhere)
      const { directory: name, key, owner, wanted } = error
      assert.deepEqual({ name, key, owner, wanted }, { name: "tenants", key: ["a", null], owner: one, wanted: two })
      assert.deepEqual(yield* directory.lookup("tenants", [["a", null]]), [Option.some(one)])
      yield* directory.assign("tenants", ["a", null], two, { replace: true })
      assert.deepEqual(yield* directory.lookup("tenants", [["a", null]]), [Option.some(two)])
      yield* directory.assign("tenants", ["new"], two, { replace: true })
      assert.deepEqual(yield* directory.lookup("tenants", [["new"]]), [Option.some(two)])
    })
  },
  {
    name: "removes a key once, and it can be assigned anew",
    check: Effect.gen(function* () {
      const directory = yield* Directory
      yield* directory.assign("tenants", ["a"], one)
      assert.equal(yield* directory.remove("regions", ["a"]), false)
      assert.equal(yield* directory.remove("tenants", ["a"]), true)
      assert.equal(yield* directory.remove("tenants", ["a"]), false)
      assert.deepEqual(yield* directory.lookup("tenants", [["a"]]), [Option.none()])
      yield* directory.assign("tenants", ["a"], two)
      assert.deepEqual(yield* directory.lookup("tenants", [["a"]]), [Option.some(two)])
    })
  },
  {
    name: "lets one of 8 racing assignments win; the others learn the winner's shard",
    check: Effect.gen(function* () {
      const directory = yield* Directory
      const shards = Array.from({ length: 8 }, (_, index) => ShardId.make(`shard_${index}`))
      const results = yield* Effect.forEach(
        shards,
        (shard) => Effect.either(Effect.as(directory.assign("tenants", ["a"], shard), shard)),
        { concurrency: "unbounded" }
      )
      const winners = results.filter(Either.isRight).map((won) => won.right)
      assert.equal(winners.length, 1)
      for (const lost of results.filter(Either.isLeft)) {
        assert.ok(lost.left instanceof KeyAssignedElsewhere)
        assert.equal(lost.left.owner, winners[0])
      }
      assert.deepEqual(yield* directory.lookup("tenants", [["a"]]), [Option.fromNullable(winners[0])])
    })
  },
  {
    name: "answers 10,000 keys at once",
    check: Effect.gen(function* () {
      const directory = yield* Directory
      const keys = Array.from({ length: 10_000 }, (_, index): KeyTuple => [
        `key ${index}`,
        index % 3 === 0 ? null : "x"
      ])
      const known = keys.filter((_, index) => index % 10 === 0)
      yield* Effect.forEach(known, (key) => directory.assign("tenants", key, one), { concurrency: 8, discard: true })
      const answers = yield* directory.lookup("tenants", keys)
      assert.equal(answers.length, 10_000)
      assert.ok(answers.every((answer, index) => Option.isSome(answer) === (index % 10 === 0)))
    })
  }
]
