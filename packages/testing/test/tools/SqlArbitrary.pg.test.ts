import { expect, it } from "@effect/vitest"
import * as Oracle from "@shardlayer/testing/Oracle"
import * as SqlArbitrary from "@shardlayer/testing/SqlArbitrary"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"

const sample = <A>(arbitrary: FastCheck.Arbitrary<A>, numRuns: number) =>
  FastCheck.sample(arbitrary, { numRuns, seed: 11 })

const schemaOf = () => {
  const [schema] = sample(SqlArbitrary.schema({ shards: 2 }), 1)
  if (schema === undefined) throw new Error("a sample of one is empty")
  return schema
}

it("the same seed gives the same, and a failure shrinks to a short statement", () => {
  const schema = schemaOf()
  expect(schemaOf()).toEqual(schema)
  const statements = SqlArbitrary.statement(schema)
  expect(sample(statements, 30)).toEqual(sample(statements, 30))
  expect(new Set(sample(statements, 30).map(({ sql }) => sql)).size).toBeGreaterThan(25)
  const holds = FastCheck.property(statements, ({ sql }) => !/\bjoin\b/i.test(sql))
  const { counterexample, failed } = FastCheck.check(holds, { seed: 3, numRuns: 200 })
  expect(failed).toBe(true)
  const [shrunk] = counterexample ?? []
  expect(shrunk?.sql).toMatch(/\bjoin\b/i)
  expect(shrunk?.sql.length).toBeLessThan(120)
})

it.live("its statements and writes are asked on both sides", () =>
  Effect.gen(function* () {
    const { schema, seed, source, topology } = schemaOf()
    const statements = [...sample(SqlArbitrary.statement({ source }), 15), ...sample(SqlArbitrary.write({ source }), 5)]
    const report = yield* Oracle.differential({ topology, schema, seed, statements })
    expect(report.compared + report.refused.length + report.undetermined.length).toBe(20)
    expect(report.compared).toBeGreaterThan(8)
  })
)
