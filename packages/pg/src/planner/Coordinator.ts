/**
 * What may be finished on a database that is no shard: a coordinator of the program's choice.
 *
 * Enters: what is known of that database and of the shards, the statement that finishes. Leaves: why it cannot be finished
 * there, or nothing. Holds: what passes means the same there as on a shard, because it names nothing but what every
 * PostgreSQL of that version brings, and enums that are alike. Whatever else a name could stand for, on either side, is
 * refused: objects of one name are not compared further.
 *
 * @since 0.1.0
 */
import type { ShardId } from "@shardlayer/core/topology/ShardId"
import type { Node, TypeName } from "libpg-query"
import * as Ast from "./Ast.js"
import * as Catalog from "./Catalog.js"
import * as Functions from "./Functions.js"
import { draft, type Draft } from "./Refusal.js"
import * as Tree from "./rewrite/Tree.js"
import * as Types from "./Types.js"

/**
 * A coordinator that is no shard: its catalog and in what it differs from the shards as a whole; without a catalog it could
 * not be read.
 *
 * @since 0.1.0
 * @category models
 */
export interface Coordinator {
  readonly id: ShardId
  readonly catalog: Catalog.ShardCatalog | undefined
  readonly problems: ReadonlyArray<string>
}

/** @since 0.1.0 @category models */
export interface Sources {
  readonly coordinator: Coordinator | undefined
  readonly catalogs: ReadonlyArray<Catalog.ShardCatalog>
  readonly searchPath: ReadonlyArray<string>
}

/**
 * As the planner stops (`SchemaView.Stop`).
 *
 * @since 0.1.0
 * @category models
 */
export type Obstacle =
  | { readonly _tag: "Refused"; readonly refusal: Draft; readonly unknownName: false }
  | { readonly _tag: "Mismatch"; readonly problems: ReadonlyArray<string> }
  | { readonly _tag: "Unread"; readonly table: ""; readonly shard: ShardId }

/**
 * Why it cannot finish this statement; undefined where it can, and where a shard finishes.
 *
 * @since 0.1.0
 * @category functions
 */
export const obstacle = ({ catalogs, coordinator, searchPath }: Sources, tree: Node): Obstacle | undefined => {
  if (coordinator === undefined) return undefined
  const { catalog, id, problems } = coordinator
  if (catalog === undefined) return { _tag: "Unread", table: "", shard: id }
  if (problems.length > 0) return { _tag: "Mismatch", problems }
  const what = foreign(new Sides(catalogs, catalog, searchPath), tree)
  if (what === undefined) return undefined
  return { _tag: "Refused", refusal: draft("SL4023", { what, coordinator: id }, undefined), unknownName: false }
}

/** The first thing that the statement names, or could mean, and that is not known to be the same on both sides. */
const foreign = (sides: Sides, tree: Node): string | undefined => {
  const used = namesIn(tree)
  const [relation] = used.relations
  if (relation !== undefined) return `relation ${relation}`
  const type = first(used.types, (names) => sides.typeProblem(names))
  if (type !== undefined) return type
  const collation = used.collations.find((name) => !bytewise.has(name))
  if (collation !== undefined) return `collation ${collation}`
  const enums = new Set(used.types.map((names) => names.at(-1) ?? ""))
  return (
    first(used.functions, (names) => sides.functionProblem(names)) ??
    first([...used.operators], (name) => sides.operatorProblem(name, enums)) ??
    sides.castProblem()
  )
}

/** They order by bytes or code points, in every version alike. Those of ICU and libc change with their libraries. */
const bytewise = new Set(["default", "C", "POSIX", "ucs_basic", "pg_c_utf8"])

class Sides {
  private readonly both: ReadonlyArray<Catalog.ShardCatalog>

  constructor(
    shards: ReadonlyArray<Catalog.ShardCatalog>,
    private readonly there: Catalog.ShardCatalog,
    private readonly searchPath: ReadonlyArray<string>
  ) {
    this.both = [...shards, there]
  }

  typeProblem(names: ReadonlyArray<string>): string | undefined {
    const name = (names.at(-1) ?? "").replace(/^_(?=.)/, "")
    const schema = names.length > 1 ? names.at(-2) : undefined
    const what = `type ${names.join(".")}`
    const isOwn = this.both.some(({ types }) => types.some((type) => type.name === name))
    if (schema === "pg_catalog" || (schema === undefined && !isOwn))
      return Types.isBuiltin(name) && !name.startsWith("reg") ? undefined : what
    const definitions = new Set(this.both.map((catalog) => this.enumOf(catalog, schema, name)))
    return definitions.size === 1 && !definitions.has(undefined) ? undefined : what
  }

  /** Where it is found, and its labels in order. */
  private enumOf({ types }: Catalog.ShardCatalog, schema: string | undefined, name: string): string | undefined {
    for (const candidate of schema === undefined ? this.searchPath : [schema]) {
      const type = types.find((one) => one.schema === candidate && one.name === name)
      if (type !== undefined) return type.kind === "e" ? `${candidate} ${type.definition}` : undefined
    }
    return undefined
  }

  functionProblem(names: ReadonlyArray<string>): string | undefined {
    const name = names.at(-1) ?? ""
    const schema = names.length > 1 ? names.at(-2) : undefined
    const isOwn = this.both.some(({ functions }) =>
      functions.some((one) => one.name === name && (schema === undefined || one.schema === schema))
    )
    const isBuiltin = (schema === undefined || schema === "pg_catalog") && this.there.builtins.has(name)
    return isBuiltin && !isOwn && !Functions.looksUpNames(name) ? undefined : `function ${names.join(".")}`
  }

  /** An operator is chosen by its operands: one of types that the statement does not know is never meant. */
  operatorProblem(name: string, enums: ReadonlySet<string>): string | undefined {
    const isMeant = (catalog: Catalog.ShardCatalog, oid: number) =>
      oid < Catalog.firstUserOid || catalog.types.some((type) => type.oid === oid && enums.has(type.name))
    const isOwn = this.both.some((catalog) =>
      catalog.operators.some((one) => one.name === name && isMeant(catalog, one.left) && isMeant(catalog, one.right))
    )
    return isOwn ? `operator ${name}` : undefined
  }

  /** It may be applied without a word in the statement. */
  castProblem(): string | undefined {
    const [cast] = this.both.flatMap(({ casts }) => casts)
    return cast === undefined ? undefined : `the cast of ${cast.source} to ${cast.target}`
  }
}

interface Names {
  readonly relations: ReadonlyArray<string>
  readonly types: ReadonlyArray<ReadonlyArray<string>>
  readonly functions: ReadonlyArray<ReadonlyArray<string>>
  readonly operators: ReadonlySet<string>
  readonly collations: ReadonlyArray<string>
}

/** What joins, CASE, BETWEEN and the like stand for, beside those that are written. */
const implied = ["=", "<>", "<", "<=", ">", ">="]

const namesIn = (tree: Node): Names => {
  const ctes = new Set<string>()
  const relations: Array<string> = []
  const functions: Array<ReadonlyArray<string>> = []
  const operators = new Set(implied)
  const collations: Array<string> = []
  Tree.visit(tree, (node) => {
    const opened = Ast.open(node)
    switch (opened._tag) {
      case "CommonTableExpr":
        ctes.add(opened.node.ctename ?? "")
        return
      case "RangeVar":
        relations.push(Ast.relationName(opened.node))
        return
      case "FuncCall":
        functions.push(Ast.names(opened.node.funcname))
        return
      case "A_Expr":
        operators.add(Ast.names(opened.node.name).at(-1) ?? "")
        return
      case "SubLink":
        operators.add(Ast.names(opened.node.operName).at(-1) ?? "=")
        return
      case "SortBy":
        operators.add(Ast.names(opened.node.useOp).at(-1) ?? "<")
        return
      case "CollateClause":
        collations.push(
          Ast.names(opened.node.collname)
            .join(".")
            .replace(/^pg_catalog\./, "")
        )
    }
  })
  return {
    relations: relations.filter((name) => !ctes.has(name)),
    types: typesIn(tree),
    functions,
    operators,
    collations
  }
}

/** Type names are no nodes where they stand: they are known by the property that holds them. */
const typesIn = (value: unknown): ReadonlyArray<ReadonlyArray<string>> => {
  if (typeof value !== "object" || value === null) return []
  return Object.entries(value).flatMap(([key, child]) =>
    key === "typeName" || key === "TypeName"
      ? [Ast.names((child as TypeName).names), ...typesIn(child)]
      : typesIn(child)
  )
}

const first = <A>(all: ReadonlyArray<A>, problem: (one: A) => string | undefined): string | undefined => {
  for (const one of all) {
    const found = problem(one)
    if (found !== undefined) return found
  }
  return undefined
}
