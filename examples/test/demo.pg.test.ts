/**
 * The demo as a newcomer runs it: built, as a process of its own.
 *
 * Holds: exit code 0 and every answer compared; 130 on Ctrl-C; either way no server and no folder is left.
 */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { describe } from "vitest"
import { left, run, temporaryFolder } from "./command.js"

/** On two cores it takes some fifteen seconds; other test files may want the cores as well. */
const timeoutMillis = 180_000

describe("npm run demo", () => {
  it.scopedLive(
    "answers as one server does, refuses what it must, and leaves nothing",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const { code, err, out } = yield* run("demo.js", folder)
        expect(err).toBe("")
        expect(code).toBe(0)
        expect(out).toMatch(/PostgreSQL 18\.\d+: shard_1 :\d+, shard_2 :\d+, shard_3 :\d+, shard_4 :\d+/)
        expect(out).toContain("four shards 100 % (135,233 of 135,233)")
        expect(out.match(/✓ .*equal to the fifth server's/g)?.length).toBe(17)
        expect(out).toContain("✓ all 135,233 places equal to the fifth server's")
        expect(out).toContain(
          "merge by column 3 desc nulls first, column 1 nulls last; far down, where a guess fails, keys first; skip $1; take 10"
        )
        for (const strategy of ["CoLocatedScatter", "ScatterMerge", "ScatterCombine", "Gather"]) {
          expect(out).toContain(`plan   ${strategy} on shard_1, shard_2, shard_3, shard_4 (4 of 4)`)
        }
        expect(out).toMatch(/p\.population LIMIT 1\) AS larger\n *\^\n {5}SL4022 .* has LIMIT without ORDER BY\n/)
        expect(out).toMatch(/RowBelongsElsewhere .* belongs to shard_\d/)
        expect(out).toMatch(/SIGKILL between the decision and the second COMMIT/)
        expect(out).toMatch(/in doubt on shard_\d, decided on shard_\d: /)
        expect(out).toMatch(/each shard by itself: [\d,]+, half a transfer/)
        expect(out).toContain("✓ never a wrong sum by default, the transfer is whole, nothing is in doubt")
        expect(out).toMatch(/\n17 answers compared, all equal; 4 statements refused/)
        // No terminal: plain lines.
        // eslint-disable-next-line no-control-regex
        expect(out).not.toMatch(/[\u001b\r]/)
        expect(yield* left(folder, out)).toEqual([])
      }),
    timeoutMillis
  )

  it.scopedLive(
    "ends with 130 on Ctrl-C, its servers gone",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const { code, err, out } = yield* run("demo.js", folder, /four shards 25 %/)
        expect(out).not.toContain("answers compared")
        expect(err).toBe("\nstopped; the servers are gone\n")
        expect(code).toBe(130)
        expect(yield* left(folder, out)).toEqual([])
      }),
    timeoutMillis
  )
})
