/**
 * What the shards give of a domain has the type under it: a function that is made for the domain would not be found any
 * more, and another one in its place.
 *
 * Enters: a statement of which a part is computed over the shards' rows. Holds: it calls no such function or operator, in
 * that part or another, in its own text or in that of a view.
 *
 * @since 0.1.0
 */
import * as Ast from "../Ast.js"
import * as Tree from "../rewrite/Tree.js"
import { type Context, refuseRewrite } from "./Context.js"

/** @since 0.1.0 @category functions */
export const refuseDomains = ({ study, view }: Context): void => {
  const queries = [...study.ranges.values()].flatMap((range) => (range._tag === "View" ? [range.query] : []))
  Tree.visit([study.tree, ...queries], (node) => {
    const opened = Ast.open(node)
    switch (opened._tag) {
      case "FuncCall": {
        const name = Ast.names(opened.node.funcname).at(-1) ?? ""
        if (view.isForDomains(name)) refuseRewrite(name, Ast.location(opened.node))
        break
      }
      case "A_Expr": {
        const name = Ast.names(opened.node.name).at(-1) ?? ""
        if (view.isOperatorForDomains(name)) refuseRewrite(`operator ${name}`, Ast.location(opened.node))
        break
      }
      default:
        break
    }
  })
}
