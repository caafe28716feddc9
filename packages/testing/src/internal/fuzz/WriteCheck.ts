/**
 * A statement that writes, on the oracle and on the routers: what it answers, and what its table holds afterwards.
 *
 * Holds: both sides do it in a transaction that is rolled back, so that the next statement finds the same rows. Where an
 * assignment may take one of several rows, or the oracle fails for one of several reasons, nothing is determined.
 */
import type { ShardRouterService } from "@shardlayer/core/ShardRouter"
import * as Effect from "effect/Effect"
import type { Answer } from "../conformance/Answer.js"
import { judge } from "../conformance/Answer.js"
import * as Routed from "../conformance/Routed.js"
import type { Session } from "../conformance/Session.js"
import type { Write } from "./generate/Write.js"
import type { Sides } from "./Sides.js"

export interface Done {
  readonly answer: Answer
  /** What the table holds then; nothing after a failure. */
  readonly content: Answer | undefined
}

export type Verdict =
  | { readonly _tag: "Exact" }
  | { readonly _tag: "FailedAlike"; readonly code: string }
  | { readonly _tag: "Refused"; readonly code: string }
  | { readonly _tag: "Undetermined"; readonly reason: string }
  | { readonly _tag: "Wrong" | "Broken"; readonly reason: string }

export const check = (
  sides: Sides,
  write: Write
): Effect.Effect<ReadonlyArray<{ readonly shards: number; readonly verdict: Verdict }>> =>
  Effect.gen(function* () {
    const expected = yield* onOracle(sides.oracle, write)
    const outcomes: Array<{ readonly shards: number; readonly verdict: Verdict }> = []
    for (const [shards, router] of sides.routers) {
      const actual = yield* onRouter(router, write)
      let verdict = compared(sides, write, expected, actual)
      if (verdict._tag === "Wrong") {
        const again = compared(sides, write, expected, yield* onOracle(sides.mirror, write))
        if (again._tag !== "Exact") verdict = { _tag: "Undetermined", reason: verdict.reason }
      }
      outcomes.push({ shards, verdict })
    }
    return outcomes
  })

const contentSql = ({ table }: Write): string => `select * from ${table}`

const onOracle = (oracle: Session, write: Write): Effect.Effect<Done> =>
  Effect.gen(function* () {
    yield* oracle.run("begin")
    const answer = yield* oracle.ask(write.sql, write.params)
    const content = answer._tag === "Rows" ? yield* oracle.ask(contentSql(write)) : undefined
    yield* oracle.run("rollback")
    return { answer, content }
  })

class Undone {
  readonly _tag = "Undone"
  constructor(readonly done: Done) {}
}

const onRouter = (router: ShardRouterService, write: Write): Effect.Effect<Done> => {
  const body = Effect.gen(function* () {
    const answer = yield* Routed.ask(router, write.sql, false, write.params)
    const content = answer._tag === "Rows" ? yield* Routed.ask(router, contentSql(write), false) : undefined
    return yield* Effect.fail(new Undone({ answer, content }))
  })
  return Effect.map(Effect.flip(router.client.withTransaction(body)), (ended): Done =>
    ended._tag === "Undone"
      ? ended.done
      : { answer: { _tag: "Broken", message: String(ended.message) }, content: undefined }
  )
}

const compared = ({ named }: Sides, write: Write, expected: Done, actual: Done): Verdict => {
  const { answer } = actual
  switch (answer._tag) {
    case "Refused":
      return { _tag: "Refused", code: answer.code }
    case "Broken":
      return { _tag: "Broken", reason: answer.message }
    case "Failed":
      if (expected.answer._tag !== "Failed")
        return { _tag: "Wrong", reason: `it failed: ${answer.code} ${answer.message}` }
      return answer.code === expected.answer.code
        ? { _tag: "FailedAlike", code: answer.code }
        : { _tag: "Undetermined", reason: `it failed with ${answer.code}, not with ${expected.answer.code}` }
    case "Rows": {
      const order = write.isOrdered ? "seq" : "set"
      const first = judge(order, named(expected.answer), named(answer), [])
      if (first._tag !== "Exact")
        return { _tag: "Wrong", reason: `answer: ${"reason" in first ? first.reason : first._tag}` }
      if (expected.content === undefined || actual.content === undefined)
        return { _tag: "Broken", reason: "no content" }
      const content = judge("set", named(expected.content), named(actual.content), [])
      return content._tag === "Exact"
        ? { _tag: "Exact" }
        : {
            _tag: content._tag === "Broken" ? "Broken" : "Wrong",
            reason: `${write.table} afterwards: ${"reason" in content ? content.reason : content._tag}`
          }
    }
  }
}
