/** `ACCEPT=1` rewrites docs/refusals.md; `npm run docs:refusals` does it. */
import { readFileSync, writeFileSync } from "node:fs"
import { describe, expect, it } from "@effect/vitest"
import * as Classify from "@shardlayer/pg/planner/Classify"
import * as Parser from "@shardlayer/pg/planner/Parser"
import { type Code, entries, type Entry } from "@shardlayer/pg/planner/Refusal"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Corpus from "./corpus.js"
import { fileUrl, topology, viewOf } from "./world.js"

const parser = await Effect.runPromise(Parser.make)
const all: ReadonlyArray<readonly [string, Entry]> = Object.entries(entries)

const families: ReadonlyArray<readonly [string, string, string]> = [
  [
    "SL1",
    "Kinds of statements",
    "They are refused because they belong to one session or server, or are not looked into yet."
  ],
  ["SL2", "Tables and names", "Where a table lives must be known, and a name must mean the same on every shard."],
  ["SL3", "Keys", "A row's key must be known before the row is stored."],
  [
    "SL4",
    "Several shards",
    "These statements are exact on one shard; on more they would need rows of each other's shards."
  ],
  ["SL5", "Code", "What functions, operators and types read must be known."],
  ["SL6", "Writes", "What the server does beside the write must be something that shards can keep."],
  [
    "SL7",
    "Under onShard",
    "Pinning chooses the shard; it does not let rows be put where the router would not look for them."
  ]
]

const page = (): string => {
  const sections = families.map(([prefix, title, about]) => {
    const own = all.filter(([code]) => code.startsWith(prefix)).sort(([a], [b]) => (a < b ? -1 : 1))
    return `## ${title}\n\n${about}\n\n${own.map(([code, entry]) => section(code, entry)).join("\n\n")}`
  })
  return `# Refusals

What the router does not answer exactly it refuses before any shard is touched, as \`UnsupportedQuery\`: \`code\`, \`reason\`,
\`hint\`, and \`offset\`, the place in the text. A code keeps its meaning for good. This page is generated from the catalog in
\`packages/pg/src/planner/Refusal.ts\`; words in braces are filled in.

${sections.join("\n\n")}
`
}

const section = (code: string, { example, hint, reason, title }: Entry): string =>
  [
    `### ${code}: ${title}`,
    "",
    `${reason[0]?.toUpperCase() ?? ""}${reason.slice(1)}.`,
    "",
    `${hint}.`,
    ...(example === "" ? [] : ["", "```sql", example, "```"])
  ].join("\n")

describe("refusals", () => {
  it("docs/refusals.md is current", () => {
    const file = fileUrl("../../../../docs/refusals.md")
    if (process.env["ACCEPT"] === "1") writeFileSync(file, page())
    expect(readFileSync(file, "utf8")).toBe(page())
  })

  for (const [code, entry] of all.filter(([, { example }]) => example !== "")) {
    it(`${code}: the example is refused with it`, () => {
      const found = code.startsWith("SL7") ? pinned(entry.example) : Corpus.explain(parser, entry.example)
      expect(found).toContain(code satisfies string as Code)
    })
  }
})

const pinned = (sql: string): string => {
  const parsed = Either.getOrThrow(parser.parse(sql))
  const { verdict } = Classify.classify(parsed, viewOf(topology)).plan
  return verdict._tag === "Refuse" || verdict._tag === "OnlyOn" ? verdict.refusal.code : verdict._tag
}
