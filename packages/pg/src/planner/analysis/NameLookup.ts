/**
 * `'name'::regclass` and its kind: a name looked up in the catalog of whichever shard is asked.
 *
 * Enters: the cast or call. Leaves: nothing, or the shard that must answer. Holds: a name that the topology lists is
 * the same on every shard it lives on; one that it does not list is looked up where unlisted tables live.
 *
 * @since 0.1.0
 */
import type { FuncCall, TypeCast } from "libpg-query"
import * as Ast from "../Ast.js"
import { draft } from "../Refusal.js"
import { refuse, Stopped } from "../SchemaView.js"
import type { Builder } from "./Builder.js"

const lookupTypes = new Set([
  "regclass",
  "regtype",
  "regproc",
  "regprocedure",
  "regoper",
  "regoperator",
  "regconfig",
  "regdictionary",
  "regnamespace",
  "regrole",
  "regcollation"
])

/** @since 0.1.0 @category guards */
export const isLookupType = (name: string): boolean => lookupTypes.has(name)

/** @since 0.1.0 @category functions */
export const cast = (builder: Builder, type: string, node: TypeCast): void => {
  const location = Ast.location(node) ?? Ast.locationOf(node.arg)
  const text = Ast.as("A_Const", node.arg)?.sval?.sval
  builder.addFunction({ name: type, stability: "shard", location })
  if (type === "regclass" && text !== undefined) return relation(builder, text, location)
  // A parameter may name anything; a name that is not found is an error, not another answer.
  if (text !== undefined || (node.arg !== undefined && "ParamRef" in node.arg))
    return elsewhere(builder, type, location)
  return refuse(draft("SL5007", { construct: `a cast to ${type}` }, location))
}

/** `to_regclass` gives NULL for what it does not find: only a constant can be placed. */
export const call = (builder: Builder, name: string, node: FuncCall): void => {
  const location = Ast.location(node)
  const text = Ast.as("A_Const", (node.args ?? [])[0])?.sval?.sval
  builder.addFunction({ name, stability: "shard", location })
  if (text !== undefined) return relation(builder, text, location)
  return refuse(draft("SL5007", { construct: name }, location))
}

const relation = (builder: Builder, text: string, location: number | undefined): void => {
  const names = identifiers(text)
  if (names === undefined) return elsewhere(builder, `'${text}'::regclass`, location)
  try {
    const found = builder.view.source(names.length > 1 ? names[0] : undefined, names[names.length - 1] ?? "", location)
    if (found._tag === "Single") builder.addSingle({ shard: found.shard, table: found.name, location })
    if (found._tag === "View" && found.home !== undefined) {
      builder.addSingle({ shard: found.home, table: found.name, location })
    }
  } catch (error) {
    // Not a table that may be queried, but its name may still be looked up where unlisted tables live.
    if (!(error instanceof Stopped) || error.stop._tag !== "Refused" || builder.view.topology.unlisted === undefined)
      throw error
    elsewhere(builder, `'${text}'::regclass`, location)
  }
}

const elsewhere = (builder: Builder, construct: string, location: number | undefined): void => {
  const shard = builder.view.topology.unlisted
  if (shard === undefined) return refuse(draft("SL5007", { construct }, location))
  builder.addSingle({ shard, table: construct, location })
}

/** `schema.name` as text: unquoted parts are folded to lower case. */
const identifiers = (text: string): ReadonlyArray<string> | undefined => {
  const parts =
    /^\s*(?:("(?:[^"]|"")+"|[a-zA-Z_\u0080-\uffff][\w$\u0080-\uffff]*)\s*\.\s*)?("(?:[^"]|"")+"|[a-zA-Z_\u0080-\uffff][\w$\u0080-\uffff]*)\s*$/.exec(
      text
    )
  if (parts === null) return undefined
  return [parts[1], parts[2]].flatMap((part) =>
    part === undefined ? [] : [part.startsWith('"') ? part.slice(1, -1).replaceAll('""', '"') : part.toLowerCase()]
  )
}
