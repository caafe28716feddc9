/**
 * The code of the docs. Enters: a page, or a source with doc comments. Leaves: its fenced blocks, each with a name, its place
 * and the module that it is.
 *
 * What a reader need not see stands in a comment right ahead of the block:
 *
 *     <!-- before:
 *     declare const id: number
 *     -->        lines that the block's module begins with
 *     <!-- not run: reason -->        nothing runs it
 *     <!-- resolved as: bundler -->        its module resolution, where not NodeNext: a test of its own compiles it
 */
import { readdirSync, readFileSync } from "node:fs"
import { join, relative } from "node:path"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("..", import.meta.url))

const skipped = new Set([
  "node_modules",
  "dist",
  ".git",
  ".tmp",
  "coverage",
  "test-results",
  "fixtures",
  "api",
  "cache"
])

const filesBelow = (folder, wanted) =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (skipped.has(entry.name)) return []
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return filesBelow(path, wanted)
    return wanted(path) ? [path] : []
  })

const named = (path) => relative(root, path).replaceAll("\\", "/")

/** All pages, by their path in the repository. */
export const pages = () => filesBelow(root, (path) => path.endsWith(".md")).map(named)

/** All sources whose doc comments are public, by their path in the repository. */
export const sources = () =>
  filesBelow(join(root, "packages"), (path) => /\/src\/.*(?<!\.d)\.ts$/.test(named(path))).map(named)

/** A heading's anchor, as forges make it. */
export const slugOf = (heading) =>
  heading
    .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\p{M} _-]/gu, "")
    .replace(/ /g, "-")

const lineAt = (text, index) => text.slice(0, index).split("\n").length

/** The comments that end right ahead of a place, the nearest last. */
const commentsAhead = (text, index) => {
  const [ahead] = /(?:<!--(?:(?!-->)[\s\S])*-->\n+)*$/.exec(text.slice(0, index))
  return [...ahead.matchAll(/<!--((?:(?!-->)[\s\S])*)-->/g)].map((match) => ({
    text: match[1],
    line: lineAt(text, index - ahead.length + match.index)
  }))
}

const markOf = (comments, pattern) => {
  const [found] = comments.flatMap(({ line, text }) => {
    const match = pattern.exec(text)
    return match === null ? [] : [{ line, text: match[1] }]
  })
  return found
}

/**
 * The blocks of a page in order. `name` is the heading's anchor and the language, with a number from the second one on:
 * `explain ts`, `explain text`, `explain text 2`.
 */
export const blocksOfPage = (page) => {
  const text = readFileSync(join(root, page), "utf8")
  const fence = /^( *)(`{3,})([\w-]*)[^\n]*\n([\s\S]*?)^ *\2 *$/gm
  const seen = new Map()
  let section = ""
  let from = 0
  return [...text.matchAll(fence)].map((match) => {
    for (const heading of text.slice(from, match.index).matchAll(/^#{1,6} +(.+?) *#*$/gm)) section = slugOf(heading[1])
    from = match.index + match[0].length
    const language = match[3] === "" ? "text" : match[3]
    const count = (seen.get(`${section} ${language}`) ?? 0) + 1
    seen.set(`${section} ${language}`, count)
    const comments = commentsAhead(text, match.index)
    const before = markOf(comments, /^ before:\n([\s\S]*)$/)
    return {
      path: page,
      line: lineAt(text, match.index) + 1,
      name: `${section} ${language}${count === 1 ? "" : ` ${count}`}`,
      language,
      code: match[4].replace(new RegExp(`^ {0,${match[1].length}}`, "gm"), ""),
      before: before?.text ?? "",
      beforeLine: (before?.line ?? 0) + 1,
      notRun: markOf(comments, /^ not run: ([^\n]*?) $/)?.text,
      resolvedAs: markOf(comments, /^ resolved as: (\w+) $/)?.text
    }
  })
}

/** The `ts` blocks of a source's doc comments. */
export const blocksOfSource = (source) => {
  const text = readFileSync(join(root, source), "utf8")
  return [...text.matchAll(/^ *\* ```(\w*)[^\n]*\n([\s\S]*?)^ *\* ```$/gm)].map((match) => ({
    path: source,
    line: lineAt(text, match.index) + 1,
    name: "",
    language: match[1],
    code: match[2].replace(/^ *\* ?/gm, ""),
    before: "",
    beforeLine: 0,
    notRun: undefined,
    resolvedAs: undefined
  }))
}

/** The text of the module that a block is. */
export const moduleOf = ({ before, code }) => before + code

/** Where in its page a line of a block's module stands; lines count from 1. */
export const lineOf = ({ before, beforeLine, line }, moduleLine) => {
  const ahead = before.split("\n").length - 1
  return moduleLine <= ahead ? beforeLine + moduleLine - 1 : line + moduleLine - ahead - 1
}
