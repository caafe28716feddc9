/** A page for each file outside of docs that a page links to. */
import { targets } from "../.vitepress/links.mjs"

export default {
  paths: () => targets().map(({ content, path }) => ({ params: { path }, content }))
}
