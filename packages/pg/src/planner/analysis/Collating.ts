/**
 * Which collation the texts of an expression compare by.
 *
 * Enters: an expression and where it stands. Leaves: the collation, or what holds for all that it could be. Reasons:
 * PostgreSQL derives it from the leaves. COLLATE decides; else a column's or a domain's own, of which two make no text to
 * be compared; else the database's, which gives way to any other. Only nodes that are known to hand their argument's
 * collation on are followed: of all others it is known which collations could come out of them, and no more.
 *
 * @since 0.1.0
 */
import type { Node, TypeCast } from "libpg-query"
import * as Ast from "../Ast.js"
import * as Tree from "../rewrite/Tree.js"
import type { Builder } from "./Builder.js"
import type { Collation, ColumnId } from "./Model.js"
import { resolve, type Scope } from "./Scope.js"
import { isSame } from "../Collations.js"
import type { SchemaView } from "../SchemaView.js"

/**
 * The databases' own: that of constants, of parameters, and of what a function makes of them.
 *
 * @since 0.1.0
 * @category constants
 */
export const databases: Collation = { schema: null, name: "default", deterministic: true }

/** That of a name which was made of something without one. */
const nameCollation: Collation = { schema: null, name: "C", deterministic: true }

/** @since 0.1.0 @category guards */
export const isDatabases = (collation: Collation): boolean => collation.schema === null && collation.name === "default"

/**
 * `is`: the collation; `none` of a value that has none; undefined where it is one of `could`, or the databases', or none.
 * `could`: other than the databases'.
 *
 * @since 0.1.0
 * @category models
 */
export interface Derived {
  readonly is: Collation | "none" | undefined
  readonly could: ReadonlyArray<Collation> | "any"
  readonly explicit: boolean
}

const none: Derived = { is: "none", could: [], explicit: false }
const anything: Derived = { is: undefined, could: "any", explicit: false }

const exactly = (is: Collation, explicit = false): Derived => ({ is, could: isDatabases(is) ? [] : [is], explicit })

/** @since 0.1.0 @category getters */
export const ofColumn = (builder: Builder, column: ColumnId): Derived => {
  const { collation } = builder.column(column)
  if (collation === undefined) return anything
  return collation === "none" ? none : exactly(collation)
}

/** @since 0.1.0 @category functions */
export const derive = (builder: Builder, scope: Scope, node: Node | undefined): Derived => {
  if (node === undefined) return none
  const { view } = builder
  const opened = Ast.open(node)
  const of = (child: Node | undefined): Derived => derive(builder, scope, child)
  const all = (children: ReadonlyArray<Node> | undefined): ReadonlyArray<Derived> => (children ?? []).map(of)
  switch (opened._tag) {
    case "CollateClause":
      return exactly(view.collation(Ast.names(opened.node.collname)), true)
    case "ColumnRef": {
      const fields = opened.node.fields ?? []
      if (fields.some((field) => "A_Star" in field)) return anything
      const found = resolve(builder, scope, Ast.names(fields), undefined)
      return found._tag === "Column" ? ofColumn(builder, found.column) : anything
    }
    case "A_Const":
    case "ParamRef":
      return exactly(databases)
    case "TypeCast":
      return cast(view, opened.node, of(opened.node.arg))
    case "FuncCall": {
      const { agg_order, agg_within_group, args, funcname } = opened.node
      const names = Ast.names(funcname)
      // What an ordinary aggregate is ordered by, or filtered by, is apart from its value.
      const given = all([...(args ?? []), ...(agg_within_group === true ? (agg_order ?? []) : [])])
      if (!view.isBuiltinFunction(names)) {
        return unsure([...given, brings(view.typeCollations(undefined))])
      }
      const name = names.at(-1) ?? ""
      if (givesNames.has(name)) return unsure([...given, brings([nameCollation])])
      return handsOn.has(name) ? merged(given) : unsure(given)
    }
    case "A_Expr": {
      const { kind, lexpr, name, rexpr } = opened.node
      const sides = [of(lexpr), of(rexpr)]
      const isText = (kind === "AEXPR_OP" && Ast.names(name).join(".") === "||") || kind === "AEXPR_NULLIF"
      return isText ? merged(sides) : unsure([...sides, brings(view.typeCollations(undefined))])
    }
    case "CoalesceExpr":
    case "MinMaxExpr":
      return merged(all(opened.node.args))
    case "CaseExpr":
      return merged([...all((opened.node.args ?? []).map((when) => resultOf(when))), of(opened.node.defresult)])
    case "SortBy":
      return of(opened.node.node)
    case "A_ArrayExpr":
      return merged(all(opened.node.elements))
    case "BoolExpr":
    case "NullTest":
    case "BooleanTest":
      return none
    default:
      return anything
  }
}

const resultOf = (node: Node): Node => Ast.as("CaseWhen", node)?.result ?? Tree.nullConstant

/** A domain's own collation comes first; a value that had none gets that of its new type. */
const cast = (view: SchemaView, { typeName }: TypeCast, arg: Derived): Derived => {
  const type = Ast.names(typeName?.names)
  const own = view.typeCollations(type)
  const [first] = own
  // An array keeps the collation that it had.
  if (first !== undefined && (typeName?.arrayBounds ?? []).length > 0) return unsure([brings(own), arg])
  if (first !== undefined) return own.length === 1 ? exactly(first) : unsure([brings(own)])
  switch (arg.is) {
    case undefined:
      return arg
    case "none":
      // What is no text becomes one of the databases' collation, and a name one of "C".
      return exactly(type.at(-1) === "name" ? nameCollation : databases)
    default:
      return arg
  }
}

const brings = (could: ReadonlyArray<Collation>): Derived => ({ is: undefined, could, explicit: false })

/** A node that takes these, and of which no more is known. */
const unsure = (children: ReadonlyArray<Derived>): Derived => {
  const could: Array<Collation> = []
  for (const child of children) {
    if (child.could === "any") return anything
    could.push(...child.could)
  }
  return could.length === 0 ? exactly(databases) : brings(could)
}

/**
 * A node whose collation is that of these.
 *
 * @since 0.1.0
 * @category functions
 */
export const merged = (children: ReadonlyArray<Derived>): Derived => {
  const explicit = children.find((child) => child.explicit)
  if (explicit !== undefined) return explicit
  const known: Array<Collation> = []
  for (const { is } of children) {
    if (is !== undefined && is !== "none" && !isDatabases(is)) known.push(is)
  }
  const all = unsure(children)
  if (all.could === "any") return anything
  const [first] = known
  if (first === undefined) return all
  // Whatever the others are: if they have a collation, it is this one, or gives way to it.
  return all.could.every((other) => isSame(other, first)) ? exactly(first) : brings(all.could)
}

/** PostgreSQL's functions whose value is a text if it has a collation, and then has that of their arguments. */
const handsOn = new Set(
  `any_value array_agg array_append array_cat array_prepend array_remove array_replace bpchar btrim chr concat concat_ws
  first_value format initcap lag last_value lead left lower lpad ltrim max md5 min mode normalize nth_value overlay
  percentile_disc quote_ident quote_literal quote_nullable regexp_replace regexp_substr repeat replace reverse right rpad rtrim split_part string_agg
  string_to_array substr substring text to_char to_hex translate unnest upper varchar`.split(/\s+/)
)

/** PostgreSQL's functions whose value is a name. */
const givesNames = new Set(
  "current_database current_schema current_schemas name pg_client_encoding pg_encoding_to_char getdatabaseencoding".split(
    " "
  )
)

/**
 * That of the texts in the rows of a function in FROM, whose columns are not known; undefined where they could have
 * collations of their own, as the fields of a composite type do.
 *
 * @since 0.1.0
 * @category functions
 */
export const ofRows = (builder: Builder, scope: Scope, node: Node | undefined): Derived["is"] => {
  const call = Ast.as("FuncCall", node)
  if (call === undefined) return undefined
  const names = Ast.names(call.funcname)
  const name = names.at(-1) ?? ""
  const { is } = derive(builder, scope, node)
  if (!builder.view.isLikeBuiltin(names) || typeof is !== "object") return undefined
  if (name === "unnest")
    return call.args?.length === 1 && Ast.as("ColumnRef", call.args[0]) !== undefined ? is : undefined
  return givesTexts.has(name) ? is : undefined
}

/** Functions of PostgreSQL and of known extensions that give rows of texts, or of what is none. */
const givesTexts = new Set(
  `each generate_series json_array_elements json_array_elements_text json_each json_each_text json_object_keys
  jsonb_array_elements jsonb_array_elements_text jsonb_each jsonb_each_text jsonb_object_keys jsonb_path_query
  regexp_matches regexp_split_to_table skeys string_to_table svals`.split(/\s+/)
)
