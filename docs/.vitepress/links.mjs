/**
 * What pages say of files outside of docs. Enters: a link such as `../packages/core/src/Policy.ts`. Leaves: the address of a
 * page of the site that shows the file; a folder shows its README, or what is in it.
 */
import { readdirSync, readFileSync, statSync } from "node:fs"
import { dirname, extname, join, relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))
const docs = join(root, "docs")

const isRelative = (href) => !/^(?:[a-z][a-z0-9+.-]*:|\/|#)/i.test(href)
const isWithin = (folder, path) => !relative(folder, path).startsWith("..")

/** The file or folder outside of docs that a link of a page leads to. */
const targetOf = (page, href) => {
  if (!isRelative(href)) return undefined
  const path = resolve(dirname(page), decodeURIComponent(href.split("#")[0]))
  return isWithin(docs, path) ? undefined : relative(root, path).replaceAll("\\", "/")
}

/** A page is shown as one, and stands for its folder where it is a README. */
const nameOf = (target) => target.replace(/(?:\/README)?\.md$/, "")
const addressOf = (target) => `/source/${nameOf(target)}.html`

/** A markdown-it plugin. */
export const linksOutwards = (md) => {
  md.core.ruler.push("links_outwards", ({ env, tokens }) => {
    for (const token of tokens.flatMap(({ children }) => children ?? [])) {
      if (token.type !== "link_open") continue
      const target = targetOf(env.realPath ?? env.path, token.attrGet("href") ?? "")
      if (target !== undefined) token.attrSet("href", addressOf(target))
    }
  })
}

const pagesBelow = (folder) =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return entry.name.startsWith(".") || entry.name === "api" ? [] : pagesBelow(path)
    return entry.name.endsWith(".md") ? [path] : []
  })

const linkPattern = /\]\(\s*([^)\s]+)\)/g

/** The links of a page that is shown from elsewhere, as the site has them. */
const moved = (file, text) =>
  text.replace(linkPattern, (link, href) => {
    if (!isRelative(href)) return link
    const target = targetOf(file, href)
    if (target !== undefined) return `](${addressOf(target)})`
    const [path, anchor] = href.split("#")
    const page = relative(docs, resolve(dirname(file), path)).replaceAll("\\", "/")
    return `](/${page.replace(/\.md$/, ".html")}${anchor === undefined ? "" : `#${anchor}`})`
  })

const languages = { ".ts": "ts", ".mjs": "js", ".json": "json", ".sql": "sql", ".plan": "txt" }

/** What a page shows of a file or folder. */
const shown = (target) => {
  const path = join(root, target)
  if (!statSync(path).isDirectory()) {
    const text = readFileSync(path, "utf8")
    if (extname(path) === ".md") return moved(path, text)
    return `# ${target}\n\n\`\`\`\`${languages[extname(path)] ?? "txt"}\n${text.trimEnd()}\n\`\`\`\`\n`
  }
  const names = readdirSync(path).filter((name) => name !== "dist" && name !== "node_modules")
  if (names.includes("README.md")) return moved(join(path, "README.md"), readFileSync(join(path, "README.md"), "utf8"))
  return `# ${target}\n\n${names.map((name) => `- \`${name}\``).join("\n")}\n`
}

const linked = (file, text) => [...text.matchAll(linkPattern)].flatMap(([, href]) => targetOf(file, href) ?? [])

/** All that pages lead to, those that are shown for that included. */
export const targets = () => {
  const found = new Set()
  const waiting = pagesBelow(docs).flatMap((file) => linked(file, readFileSync(file, "utf8")))
  for (let target = waiting.pop(); target !== undefined; target = waiting.pop()) {
    if (found.has(target)) continue
    found.add(target)
    const path = join(root, target)
    const page = statSync(path).isDirectory() ? join(path, "README.md") : path
    if (page.endsWith(".md") && statSync(page, { throwIfNoEntry: false }) !== undefined)
      waiting.push(...linked(page, readFileSync(page, "utf8")))
  }
  const names = new Map([...found].sort().map((target) => [nameOf(target), target]))
  return [...names].map(([path, target]) => ({ path, content: shown(target) }))
}
