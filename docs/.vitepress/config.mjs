/**
 * The site: the pages of docs as they are, the reference that scripts/api.mjs writes, and what pages link to outside of docs
 * as pages of their own. Links that lead nowhere fail the build.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { defineConfig } from "vitepress"
import { slugOf } from "../../scripts/doc-blocks.mjs"
import { decisionsListed } from "./decisions.mjs"
import { linksOutwards } from "./links.mjs"
import { mermaid } from "./mermaid.mjs"

const base = process.env["DOCS_BASE"] ?? "/"
const docs = fileURLToPath(new URL("..", import.meta.url))
const text = (page) => readFileSync(join(docs, page), "utf8")

/** Where a page is there, its entry; so the site is whole before and after a page is written. */
const entry = (label, page) =>
  existsSync(join(docs, `${page}.md`)) ? [{ text: label, link: `/${page === "index" ? "" : page}` }] : []

/** The sections of a page, each an entry. */
const sections = (page) =>
  [
    ...text(`${page}.md`)
      .replaceAll(/^```[\s\S]*?^```/gm, "")
      .matchAll(/^## (.+)$/gm)
  ].map(([, heading]) => ({
    text: heading.replaceAll("`", ""),
    link: `/${page}#${slugOf(heading)}`
  }))

const decisions = () =>
  readdirSync(join(docs, "decisions"))
    .filter((file) => /^\d/.test(file))
    .sort()
    .map((file) => {
      const [, title] = /^# (.+)$/m.exec(text(`decisions/${file}`))
      return { text: title.replaceAll("`", ""), link: `/decisions/${file.replace(/\.md$/, "")}` }
    })

/** What programs name; the rest is what these are made of. */
const face = {
  core: [
    ...["ShardRouter", "Topology", "Keyspace", "Table", "Id", "ShardedModel", "Policy", "ShardError", "ShardManager"],
    ...["ShardResolver", "Recovery", "StartReport", "TopologyConfig", "TableChanges", "ShardEvents", "ShardEvent"],
    "ShardMetrics"
  ],
  pg: [
    ...["PgRouter", "PgShard", "PgShardConfig", "PgRouterConfig", "ShardMigrator", "PgDrift", "PgDirectory"],
    ...["PgTopologyStore", "PgInstall", "SlotExpression", "PgErrors"]
  ],
  testing: [
    ...["PgCluster", "PgServer", "VirtualShards", "Expect", "vitest", "QueryLog", "Oracle", "SqlArbitrary"],
    ...["Faults", "CrashPoints", "Isolation", "PgProxy"]
  ]
}

/** The pages of a package's modules, once the reference has been written. */
const modules = (name) => {
  const folder = join(docs, "api", name)
  if (!existsSync(folder)) return []
  const found = readdirSync(folder, { withFileTypes: true }).map((file) => ({
    text: file.name.replace(/\.md$/, ""),
    link: `/api/${name}/${file.isDirectory() ? `${file.name}/` : file.name.replace(/\.md$/, "")}`
  }))
  const first = face[name].flatMap((module) => found.filter(({ text }) => text === module))
  const rest = found.filter((page) => !first.includes(page)).sort((a, b) => (a.text < b.text ? -1 : 1))
  return [
    { text: `@shardlayer/${name}`, collapsed: false, items: first },
    ...(rest.length === 0 ? [] : [{ text: `Ports and parts of ${name}`, collapsed: true, items: rest }])
  ]
}

/** Pages whose tables need the room. */
const wide = ["comparison.md", "consistency.md", "ecosystem.md", "glossary.md", "performance.md"]

const sidebar = [
  {
    text: "Start",
    items: [
      ...entry("What it is", "index"),
      ...entry("Ten minutes", "start"),
      ...entry("Examples", "examples"),
      ...entry("Migrating", "migrating"),
      ...entry("Beside its peers", "comparison")
    ]
  },
  { text: "Guide by task", link: "/guide", collapsed: true, items: sections("guide") },
  {
    text: "Concepts",
    items: [
      ...entry("The life of a query", "life-of-a-query"),
      ...entry("Consistency", "consistency"),
      ...entry("Glossary", "glossary")
    ]
  },
  {
    text: "In practice",
    items: [
      ...entry("Testing", "testing"),
      ...entry("Operations", "operations"),
      ...entry("What stands on @effect/sql", "ecosystem"),
      ...entry("What it costs", "performance"),
      ...entry("Refusals", "refusals")
    ]
  },
  { text: "Decisions", link: "/decisions/", collapsed: true, items: decisions() },
  { text: "API reference", link: "/api/", items: [] }
]

export default defineConfig({
  title: "ShardLayer",
  description: "Horizontal sharding for PostgreSQL, as an Effect library",
  lang: "en",
  base,
  cleanUrls: false,
  lastUpdated: false,
  transformPageData: (page) => {
    if (wide.includes(page.relativePath)) page.frontmatter.aside = false
  },
  rewrites: { "decisions/README.md": "decisions/index.md" },
  head: [["link", { rel: "icon", type: "image/svg+xml", href: `${base}icon.svg` }]],
  markdown: {
    anchor: { slugify: slugOf },
    theme: { light: "github-light", dark: "github-dark" },
    languageAlias: { promql: "python" },
    config: (md) => {
      linksOutwards(md)
      mermaid(md)
      decisionsListed(md, decisions())
    }
  },
  themeConfig: {
    logo: "/icon.svg",
    outline: { level: [2, 3], label: "On this page" },
    search: {
      provider: "local",
      options: {
        // Sources would bury the pages.
        _render: (source, env, md) => (env.relativePath.startsWith("source/") ? "" : md.render(source, env))
      }
    },
    nav: [
      ...entry("Start", "start"),
      { text: "Guide", link: "/guide", activeMatch: "^/guide" },
      {
        text: "Concepts",
        items: [
          ...entry("The life of a query", "life-of-a-query"),
          ...entry("Consistency", "consistency"),
          ...entry("Glossary", "glossary"),
          { text: "Decisions", link: "/decisions/" }
        ]
      },
      ...entry("Testing", "testing"),
      ...entry("Operations", "operations"),
      { text: "API", link: "/api/", activeMatch: "^/api/" }
    ],
    sidebar: {
      "/api/": [
        { text: "API reference", link: "/api/" },
        ...modules("core"),
        ...modules("pg"),
        ...modules("testing"),
        { text: "Back to the guide", link: "/guide" }
      ],
      "/source/": [],
      "/": sidebar
    },
    footer: { message: "MIT licence" }
  },
  vite: {
    // mermaid comes as one file, which only pages with diagrams fetch.
    build: { chunkSizeWarningLimit: 3_000 }
  }
})
