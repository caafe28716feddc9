/** The first program, as a newcomer starts it. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { describe } from "vitest"
import { left, run, temporaryFolder } from "./command.js"

describe("npm run example:first", () => {
  it.scopedLive(
    "puts rows where their keys say, reads one from its shard, counts those of both, and leaves nothing",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const { code, err, out } = yield* run("first.js", folder)
        expect(err).toBe("")
        expect(code).toBe(0)
        expect(out).toContain("shard_1: 1 Ada, 4 Barbara\n  shard_2: 2 Grace, 3 Edsger, 5 Donald\n")
        expect(out).toMatch(/WHERE id = \$1\n.*\n *plan {3}SingleShard on shard_2 \(1 of 2\)\n.*\n *name\n *Edsger\n/)
        expect(out).toMatch(/plan {3}ScatterMerge on shard_1, shard_2 \(2 of 2\)\n(.*\n){2} *users\n *5\n/)
        expect(yield* left(folder, out)).toEqual([])
      }),
    180_000
  )
})
