/** The links of a built site: each leads to a page or file of it, each anchor to a place of its page. No network is needed. */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"

const pagesBelow = (folder) =>
  readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".html"))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))

const decoded = (text) => decodeURIComponent(text.replaceAll("&amp;", "&").replaceAll("&#39;", "'"))

/** A line each. */
export const problemsOf = (site, base = "/") => {
  const pages = new Map(pagesBelow(site).map((file) => [file, readFileSync(file, "utf8")]))
  const places = new Map(
    [...pages].map(([file, html]) => [
      file,
      new Set([...html.matchAll(/\bid="([^"]+)"/g)].map(([, id]) => decoded(id)))
    ])
  )
  const problemOf = (page, href) => {
    const [path, anchor = ""] = decoded(href).split("#")
    if (path !== "" && path.startsWith("/") && !path.startsWith(base)) return "is outside of the site"
    const found =
      path === "" ? page : path.startsWith("/") ? join(site, path.slice(base.length)) : join(dirname(page), path)
    const file = [found, join(found, "index.html"), `${found}.html`].find(
      (one) => existsSync(one) && /\.\w+$/.test(one)
    )
    if (file === undefined) return "leads nowhere"
    if (anchor === "" || !places.has(file)) return undefined
    return places.get(file).has(anchor) ? undefined : "names no place of that page"
  }
  return [...pages].flatMap(([page, html]) =>
    [...new Set([...html.matchAll(/\b(?:href|src)="([^"]+)"/g)].map(([, href]) => href))].flatMap((href) => {
      if (/^[a-z][a-z0-9+.-]*:|^\/\//i.test(href)) return []
      const problem = problemOf(page, href)
      return problem === undefined ? [] : [`${relative(site, page)}: ${href} ${problem}`]
    })
  )
}
