/**
 * The site: the pages of docs as they are, the reference that scripts/api.mjs writes, and what pages link to outside of docs
 * as pages of their own. Links that lead nowhere fail the build.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { defineConfig } from "vitepress"
import { slugOf } from "../../scripts/doc-blocks.mjs"
import { linksOutwards } from "./links.mjs"
import { mermaid } from "./mermaid.mjs"

const docs = fileURLToPath(new URL("..", import.meta.url))
const text = (page) => readFileSync(join(docs, page), "utf8")

/** Where a page is there, its entry; so the site is whole before and after a page is written. */
const entry = (label, page) =>
  existsSync(join(docs, `${page}.md`)) ? [{ text: label, link: `/${page === "index" ? "" : page}` }] : []

/** The sections of a page, each an entry. */
const sections = (page) =>
  [...text(`${page}.md`).replaceAll(/^```[\s\S]*?^```/gm, "").matchAll(/^## (.+)$/gm)].map(([, heading]) => ({
    text: heading.replaceAll("`", ""),
    link: `/${page}#${slugOf(heading)}`
  }))

const decisions = () =>
  readdirSync(join(docs, "decisions"))
    .filter((file) => /^\d/.test(file))
    .sort()
    .map((file) => {
      const [, title] = /^# (.+)$/m.exec(text(`decisions/${file}`))
      return { text: title, link: `/decisions/${file.replace(/\.md$/, "")}` }
    })

/** The modules of a package: what programs name first, then the rest. */
const modules = (name) => {
  const folder = join(docs, "api", name)
  if (!existsSync(folder)) return []
  const pages = readdirSync(folder, { withFileTypes: true }).map((found) =>
    found.isDirectory() ? { name: found.name, link: `/api/${name}/${found.name}/` } : { name: found.name.replace(/\.md$/, ""), link: `/api/${name}/${found.name.replace(/\.md$/, "")}` }
  )
  return pages.sort((a, b) => (a.name < b.name ? -1 : 1)).map((page) => ({ text: page.name, link: page.link }))
}

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
  base: process.env["DOCS_BASE"] ?? "/",
  cleanUrls: false,
  lastUpdated: false,
  rewrites: { "decisions/README.md": "decisions/index.md" },
  head: [["meta", { name: "theme-color", content: "#0f766e" }]],
  markdown: {
    anchor: { slugify: slugOf },
    theme: { light: "github-light", dark: "github-dark" },
    config: (md) => {
      linksOutwards(md)
      mermaid(md)
    }
  },
  // The reference and what is shown of the sources would bury the pages.
  themeConfig: {
    outline: { level: [2, 3], label: "On this page" },
    search: {
      provider: "local",
      options: {
        _render: (source, env, md) => (/^source\//.test(env.relativePath) ? "" : md.render(source, env))
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
        { text: "@shardlayer/core", collapsed: false, items: modules("core") },
        { text: "@shardlayer/pg", collapsed: false, items: modules("pg") },
        { text: "@shardlayer/testing", collapsed: false, items: modules("testing") },
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
