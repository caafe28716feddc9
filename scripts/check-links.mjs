/**
 * `npm run check:docs`: every relative link of every page leads to a file of the project, and every `#anchor` to a
 * heading of its page. Links with a scheme are not followed: the check needs no network.
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs"
import { dirname, join, relative, resolve } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const skipped = new Set(["node_modules", "dist", ".git", ".tmp", "coverage", "test-results", "api", ".vitepress"])

const pagesOf = (folder) =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (skipped.has(entry.name)) return []
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return pagesOf(path)
    return entry.name.endsWith(".md") ? [path] : []
  })

/** The text with code blanked out: code holds brackets that are no links. Line numbers stay. */
const withoutCode = (text) =>
  text
    .replace(/^( *)(`{3,}|~{3,})[^\n]*\n[\s\S]*?^ *\2[^\n]*$/gm, (block) => block.replace(/[^\n]/g, " "))
    .replace(/(`+)(?!`)[\s\S]*?[^`]\1(?!`)/g, (code) => code.replace(/[^\n]/g, " "))
    .replace(/<!--[\s\S]*?-->/g, (comment) => comment.replace(/[^\n]/g, " "))

/** Inline links and images, reference definitions, and href/src of embedded HTML, each with its line. */
const linksOf = (text) => {
  const clean = withoutCode(text)
  const patterns = [
    /\]\(\s*<?([^)\s>]+)>?(?:\s+["'(][^)]*)?\)/g,
    /^ {0,3}\[[^\]]+\]:\s*<?(\S+?)>?(?:\s|$)/gm,
    /\b(?:href|src)="([^"]+)"/g
  ]
  return patterns.flatMap((pattern) =>
    [...clean.matchAll(pattern)].map((match) => ({
      target: match[1],
      line: clean.slice(0, match.index).split("\n").length
    }))
  )
}

/** A heading's anchor as forges make it: lower case, punctuation dropped, blanks to hyphens, repeats numbered. */
const anchorsOf = (path) => {
  const text = readFileSync(path, "utf8")
  const fenced = text.replace(/^( *)(`{3,}|~{3,})[^\n]*\n[\s\S]*?^ *\2[^\n]*$/gm, "")
  const seen = new Map()
  const anchors = [...fenced.matchAll(/^#{1,6} +(.+?) *#*$/gm)].map((match) => {
    const slug = match[1]
      .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\p{M} _-]/gu, "")
      .replace(/ /g, "-")
    const count = seen.get(slug) ?? 0
    seen.set(slug, count + 1)
    return count === 0 ? slug : `${slug}-${count}`
  })
  return new Set([...anchors, ...[...text.matchAll(/\b(?:id|name)="([^"]+)"/g)].map((match) => match[1])])
}

const problemOf = (page, target) => {
  if (/^[a-z][a-z0-9+.-]*:|^\/\//i.test(target)) return undefined
  const [path = "", anchor] = target.split("#")
  if (path.startsWith("/")) return "starts at a root that differs from forge to forge; write it relative"
  const file = path === "" ? page : resolve(dirname(page), decodeURIComponent(path.split("?")[0]))
  if (relative(root, file).startsWith("..")) return "leads out of the project"
  if (!existsSync(file)) return "leads nowhere"
  if (anchor === undefined || anchor === "" || statSync(file).isDirectory() || !file.endsWith(".md")) return undefined
  return anchorsOf(file).has(decodeURIComponent(anchor)) ? undefined : "names no heading of that page"
}

const pages = pagesOf(root)
const problems = pages.flatMap((page) =>
  linksOf(readFileSync(page, "utf8")).flatMap(({ line, target }) => {
    const problem = problemOf(page, target)
    return problem === undefined ? [] : [`${relative(root, page)}:${line}: ${target} ${problem}`]
  })
)
for (const problem of problems) console.error(problem)
if (problems.length > 0) process.exit(1)
console.log(`${pages.length} pages, every link leads somewhere`)
