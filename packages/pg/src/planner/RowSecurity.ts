/**
 * Row security: policies that say the same on every shard, which keep them with each statement that names the table.
 *
 * Enters: a table. Leaves: why its policies would not be those of one PostgreSQL, or nothing. A policy is a condition on a
 * row. It holds alike wherever that row lives if it asks for nothing but the row, the role, settings (which all sessions of a
 * transaction share) and tables that each shard has all of. Policies that the topology acknowledges pass.
 *
 * @since 0.1.0
 */
import type { ShardId } from "@shardlayer/core/topology/ShardId"
import type { Node } from "libpg-query"
import * as Ast from "./Ast.js"
import type * as Catalog from "./Catalog.js"
import * as Functions from "./Functions.js"
import * as Tree from "./rewrite/Tree.js"

/**
 * Where a name leads to. `Shard`: a table that lives on one.
 *
 * @since 0.1.0
 * @category models
 */
export type Place =
  | { readonly _tag: "Everywhere"; readonly relation: Catalog.Relation }
  | { readonly _tag: "Shard"; readonly shard: ShardId; readonly relation: Catalog.Relation }
  | { readonly _tag: "Other" }

/** @since 0.1.0 @category models */
export interface Names {
  /** What a policy's expression is as `SELECT …`. */
  readonly parse: (expression: string) => Node | undefined
  readonly place: (schema: string | undefined, name: string) => Place
  /** One of PostgreSQL's own; undefined where it is a user's. */
  readonly builtin: (names: ReadonlyArray<string>) => Catalog.Builtin | undefined
  readonly isPure: (qualified: string) => boolean
}

/**
 * `home`: the one shard that the table lives on.
 *
 * @since 0.1.0
 * @category functions
 */
export const obstacle = (
  names: Names,
  relation: Catalog.Relation,
  acknowledged: ReadonlyArray<string>,
  home: ShardId | undefined
): string | undefined => {
  const { policies, securedPartition } = relation
  if (securedPartition !== null) return `partition ${securedPartition} has policies of its own`
  for (const policy of policies) {
    if (acknowledged.includes(policy.name)) continue
    const found = ofPolicy({ names, relation, home }, policy)
    if (found !== undefined) return `policy ${policy.name} ${found}`
  }
  return undefined
}

/**
 * It was not read, and may be in a moment.
 *
 * @since 0.1.0
 * @category guards
 */
export const isUnread = ({ policies }: Catalog.Relation): boolean => policies.some(({ unread }) => unread)

/**
 * The tables that the policies of a table read.
 *
 * @since 0.1.0
 * @category getters
 */
export const tablesOf = (
  parse: Names["parse"],
  { policies }: Catalog.Relation
): ReadonlyArray<{ readonly schema: string | undefined; readonly name: string }> =>
  policies.flatMap((policy) =>
    expressions(policy).flatMap((text) => {
      const found: Array<{ readonly schema: string | undefined; readonly name: string }> = []
      Tree.visit(parse(text), (node) => {
        const range = Ast.as("RangeVar", node)
        if (range !== undefined) found.push({ schema: range.schemaname, name: range.relname ?? "" })
      })
      return found
    })
  )

const expressions = ({ check, using }: Catalog.Policy): ReadonlyArray<string> =>
  [using, check].filter((text) => text !== null)

interface Subject {
  readonly names: Names
  readonly relation: Catalog.Relation
  readonly home: ShardId | undefined
}

const ofPolicy = (subject: Subject, policy: Catalog.Policy): string | undefined => {
  if (policy.unread) return "was not read, as a table in it was locked"
  const { names } = subject
  const unknown = policy.functions.find((name) => !names.isPure(name))
  if (unknown !== undefined) return `calls function ${unknown}, and what it reads is not known`
  for (const text of expressions(policy)) {
    const tree = names.parse(text)
    if (tree === undefined) return "cannot be read"
    const found = ofExpression(subject, tree)
    if (found !== undefined) return found
  }
  return undefined
}

const ofExpression = (subject: Subject, tree: Node): string | undefined => {
  let found: string | undefined
  Tree.visit(tree, (node) => {
    found ??= ofNode(subject, node)
  })
  return found
}

const ofNode = ({ home, names, relation }: Subject, node: Node): string | undefined => {
  const opened = Ast.open(node)
  switch (opened._tag) {
    case "RangeVar": {
      const { relname = "", schemaname } = opened.node
      const place = names.place(schemaname, relname)
      if (place._tag === "Other" || (place._tag === "Shard" && place.shard !== home))
        return `reads ${relname}, of which a shard has not all rows`
      if (place.relation === relation) return undefined
      return place.relation.rowSecurity ? `reads ${relname}, which has policies, too` : undefined
    }
    case "FuncCall": {
      const name = Ast.names(opened.node.funcname)
      const builtin = names.builtin(name)
      if (builtin === undefined) return undefined
      const stability = Functions.stabilityOf(name.at(-1) ?? "", builtin, opened.node.args?.length ?? 0)
      const isAlike = stability === "immutable" || stability === "settings" || name.at(-1) === "current_setting"
      return isAlike ? undefined : `calls ${name.at(-1)}, which may give another value on each shard`
    }
    case "SQLValueFunction": {
      const op = (opened.node.op ?? "").replace("SVFOP_", "")
      return ofRole.has(op) ? undefined : `asks for ${op.toLowerCase()}, of which each shard has its own`
    }
    case "ColumnRef": {
      const name = Ast.names(opened.node.fields?.slice(-1)).at(-1) ?? ""
      return systemColumns.has(name) ? `reads ${name}, of which each shard has its own` : undefined
    }
    default:
      return undefined
  }
}

const ofRole = new Set(["CURRENT_ROLE", "CURRENT_USER", "USER", "SESSION_USER"])

const systemColumns = new Set(["tableoid", "ctid", "xmin", "xmax", "cmin", "cmax"])
