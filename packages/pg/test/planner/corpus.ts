/** Golden cases: SQL, then `=>` and what the planner makes of it. `ACCEPT=1` rewrites them; read the diff first. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import * as Explain from "@shardlayer/core/plan/Explain"
import type { Plan, Sequence } from "@shardlayer/core/plan/Plan"
import type { Topology } from "@shardlayer/core/topology/Topology"
import type { ParamTypes } from "@shardlayer/pg/planner/analysis/Builder"
import type * as Parser from "@shardlayer/pg/planner/Parser"
import { planStatement } from "@shardlayer/pg/planner/PlanStatement"
import { toError } from "@shardlayer/pg/planner/Refusal"
import type { SchemaView } from "@shardlayer/pg/planner/SchemaView"
import type { Described } from "@shardlayer/pg/planner/Types"
import * as KeyTypes from "@shardlayer/pg/planner/KeyTypes"
import * as KeyType from "@shardlayer/core/topology/KeyType"
import * as Either from "effect/Either"
import { fileUrl, topology, topologyUnlisted, viewOf } from "./world.js"

export interface Case {
  readonly sql: string
  readonly expected: string
}

export const files = (folder: string): ReadonlyArray<string> => readdirSync(fileUrl(`${folder}/`)).sort()

export const read = (folder: string, file: string): ReadonlyArray<Case> =>
  readFileSync(fileUrl(`${folder}/${file}`), "utf8")
    .split(/\n\n+/)
    .map((block) => block.trim())
    .filter((block) => block !== "")
    .map((block) => {
      const [sql = "", ...expected] = block.split(/\n=> ?/)
      return { sql: sql.trim(), expected: expected.join("\n").trim() }
    })

export const accept = (folder: string, file: string, cases: ReadonlyArray<Case>): void =>
  writeFileSync(
    fileUrl(`${folder}/${file}`),
    cases
      .map(
        ({ expected, sql }) =>
          `${sql}\n${expected
            .split("\n")
            .map((line) => `=> ${line}`)
            .join("\n")}\n`
      )
      .join("\n")
  )

const views = new Map<Topology, SchemaView>()

const view = (of: Topology): SchemaView => {
  const known = views.get(of) ?? viewOf(of)
  views.set(of, known)
  return known
}

/** `-- params: int8, text[]` gives types; without it a parameter has whatever type fits. `-- unlisted` has its topology. */
export const paramsOf = (sql: string): ParamTypes => {
  const names = /^-- params: (.*)$/m.exec(sql)?.[1]?.split(/,\s*/)
  if (names === undefined) return { scalar: () => "pending", array: () => "pending" }
  const family = (name: string | undefined) =>
    KeyTypes.familyOf(name !== undefined && KeyType.is(name) ? name : undefined)
  return {
    scalar: (index) => family(names[index - 1]),
    array: (index) => (names[index - 1]?.endsWith("[]") === true ? family(names[index - 1]?.slice(0, -2)) : undefined)
  }
}

/** What a server said of texts (`Descriptions.pg.test.ts` asks it), so that plans are made here without one. */
const described = (sql: string): Described | undefined => descriptions[sql]

const descriptions: Readonly<Record<string, Described>> = JSON.parse(readFileSync(fileUrl("descriptions.json"), "utf8"))

export const explain = (parser: Parser.Parser, sql: string): string => {
  const parsed = parser.parse(sql)
  if (Either.isLeft(parsed)) return `StatementInvalid ${parsed.left.message}`
  const planned = planStatement(
    parser,
    parsed.right,
    view(sql.includes("-- unlisted") ? topologyUnlisted : topology),
    paramsOf(sql),
    described
  )
  if (Either.isRight(planned)) return print(planned.right.plan)
  const stop = planned.left
  if (stop._tag === "Undescribed") return `not described yet, run npm run plans:accept: ${stop.sql}`
  if (stop._tag !== "Refused") return JSON.stringify(stop)
  const { code, offset, reason } = toError(stop.refusal, sql)
  return `${code}${offset === undefined ? "" : ` at "${sql.slice(offset, offset + 12).replaceAll("\n", " ")}"`}: ${reason}`
}

const printSteps = ({ now, steps }: Sequence): ReadonlyArray<string> => [
  ...(now === undefined ? [] : [`first:   ${now}`]),
  ...steps.flatMap(({ gives, plan, statement }, place) => [
    `step ${place + 1}:  ${Explain.formatFragment(statement)}${gives === "nothing" ? "" : ` (${gives})`}`,
    ...print(plan)
      .split("\n")
      .map((line) => `  ${line}`)
  ])
]

const print = (plan: Plan): string => {
  switch (plan._tag) {
    case "AnyShard":
      return "any shard"
    case "Fixed":
      return `${plan.access} on ${plan.shard}`
    case "Everywhere":
      return ["write on all shards", ...Explain.formatWrite(plan.write).map((line) => `  ${line}`)].join("\n")
    case "Fed":
      return ["write on all shards", ...Explain.formatWrite(plan.write), ...print(plan.source).split("\n")].join("\n  ")
    case "Sequence":
      return ["write on all shards", ...printSteps(plan.sequence)].join("\n  ")
    case "Schema":
      return `${plan.change.words} on ${plan.shard ?? "every shard"}${plan.change.mode === "apart" ? ", each by itself" : ""}`
    case "List":
      return ["a list, in one transaction", ...plan.statements.map((text) => `  ${text.trim()}`)].join("\n")
    case "Routed": {
      const { scatter } = plan
      const many =
        scatter._tag !== "Refuse"
          ? scatter._tag.toLowerCase()
          : `${scatter.refusal.code}${scatter.refusal.offset === undefined ? "" : ` at "${scatter.refusal.sql.slice(scatter.refusal.offset, scatter.refusal.offset + 12)}"`}: ${scatter.refusal.reason}`
      const singles = plan.singles.length === 0 ? "" : ` with ${plan.singles.join(", ")}`
      return [
        `${plan.access} by key${singles}, else ${many}`,
        ...plan.references.map(
          (reference) => `  ${reference.alias}: ${Explain.formatConstraint(reference.columns, reference.constraint)}`
        ),
        ...(scatter._tag === "Write" ? Explain.formatWrite(scatter.write).map((line) => `  ${line}`) : []),
        ...(scatter._tag === "Feed"
          ? [...Explain.formatWrite(scatter.write), ...print(scatter.source).split("\n")].map((line) => `  ${line}`)
          : []),
        ...(scatter._tag === "Sequence" ? printSteps(scatter.sequence).map((line) => `  ${line}`) : []),
        ...(scatter._tag === "Merge" ? Explain.formatMerge(scatter.merge).map((line) => `  ${line}`) : [])
      ].join("\n")
    }
  }
}
