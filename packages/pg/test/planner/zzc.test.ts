import { it } from "vitest"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Explain from "@shardlayer/core/plan/Explain"
import * as Parser from "@shardlayer/pg/planner/Parser"
import { analyze } from "@shardlayer/pg/planner/analysis/Analyze"
import { closure, constraintOf } from "@shardlayer/pg/planner/analysis/Closure"
import * as Corpus from "./corpus.js"
import { topology, topologyUnlisted, viewOf } from "./world.js"
it("x", async () => {
  const parser = await Effect.runPromise(Parser.make)
  const views = [viewOf(topology), viewOf(topologyUnlisted)]
  for (const folder of ["plans", "refusals"]) for (const file of Corpus.files(folder)) for (const { sql, expected } of Corpus.read(folder, file)) {
    const parsed = parser.parse(sql)
    if (Either.isLeft(parsed) || parsed.right.statements.length !== 1) continue
    const study = analyze(parsed.right.statements[0]!.tree, views[sql.includes("-- unlisted") ? 1 : 0]!, Corpus.paramsOf(sql))
    if (Either.isLeft(study)) continue
    const { analyzed } = study.right
    const lines = analyzed.leaves.map((leaf) => `${leaf.alias}: ${Explain.formatConstraint(leaf.table.columns, constraintOf(closure(analyzed, { block: leaf.block, relation: leaf.relation }), leaf.key, leaf.table.types))}`)
    const old = expected.split("\n").slice(1).map((l) => l.trim()).filter((l) => !/^(shards|then|first): /.test(l)).slice(0, lines.length)
    if (file === "constraints.plan") console.log(sql + "\n     + " + lines.join("\n     + ")); else if (old.length && JSON.stringify(old) !== JSON.stringify(lines)) console.log(`${file} ${sql}\n   - ${old.join("\n   - ")}\n   + ${lines.join("\n   + ")}`)
  }
})
