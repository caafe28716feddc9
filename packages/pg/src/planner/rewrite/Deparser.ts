/**
 * The deparser of `pgsql-deparser`, with what it leaves out or writes otherwise.
 *
 * Enters: a tree. Leaves: its text, which is parsed again and held against the tree (`Deparse`): what is still lost here is
 * refused there. Throws at nodes that it does not know.
 *
 * @since 0.1.0
 */
import type { Node } from "libpg-query"
import { Deparser } from "pgsql-deparser"
import * as Ast from "../Ast.js"

/**
 * A name as it stands in a text.
 *
 * @since 0.1.0
 * @category functions
 */
export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

// Its nodes are those of another release of the same parser.
type Given<Method extends keyof Deparser> = Deparser[Method] extends (...args: infer Args) => string ? Args : never
type Context = NonNullable<Given<"visit">[1]>

/** @since 0.1.0 @category functions */
export const plain = (tree: Node): string => new Whole(tree as never, { pretty: false }).deparseQuery()

/**
 * With parentheses around every operator. They mean nothing.
 *
 * @since 0.1.0
 * @category functions
 */
export const inParentheses = (tree: Node): string => new Careful(tree as never, { pretty: false }).deparseQuery()

/** Without schema and quotes, these are other types: "char" is one byte, char a text, and a bare bit one bit. */
const quotedTypes = new Set(["char", "bit"])

class Whole extends Deparser {
  /** The first items of lists that follow GROUP BY DISTINCT. */
  private readonly distinctGroups = new Set<unknown>()

  override visit(...args: Given<"visit">): string {
    const text = super.visit(...args)
    return this.distinctGroups.has(args[0]) ? `DISTINCT ${text}` : text
  }

  override TypeName(...args: Given<"TypeName">): string {
    const [{ arrayBounds, names, typmods }] = args
    const [schema, name = ""] = Ast.names(names as never)
    if (schema !== "pg_catalog" || !quotedTypes.has(name) || (typmods ?? []).length > 0) return super.TypeName(...args)
    return `pg_catalog.${quoted(name)}${"[]".repeat((arrayBounds ?? []).length)}`
  }

  /** FETCH FIRST … WITH TIES would become LIMIT. */
  override SelectStmt(...[select, context]: Given<"SelectStmt">): string {
    const { groupClause, groupDistinct, limitCount, limitOption, ...rest } = select
    if (groupDistinct === true) this.distinctGroups.add(groupClause?.[0])
    if (limitOption !== "LIMIT_OPTION_WITH_TIES" || limitCount === undefined) return super.SelectStmt(select, context)
    const all = super.SelectStmt({ ...rest, groupClause, limitOption: "LIMIT_OPTION_DEFAULT" } as never, context)
    return `${all} FETCH FIRST (${this.visit(limitCount, context)}) ROWS WITH TIES`
  }

  /** What is taken a part of needs parentheses, unless it is a parameter. */
  override A_Indirection(...[{ arg, indirection }, context]: Given<"A_Indirection">): string {
    const parts = ((indirection as ReadonlyArray<Node> | undefined) ?? []).map((part) => {
      const name = Ast.as("String", part)?.sval
      if (name !== undefined) return `.${quoted(name)}`
      return Ast.as("A_Star", part) === undefined ? this.visit(part as never, context) : ".*"
    })
    return `(${arg === undefined ? "" : this.visit(arg, context)})${parts.join("")}`
  }

  override FuncCall(...args: Given<"FuncCall">): string {
    const [call, context] = args
    const [of, ...others] = call.args ?? []
    const isAtLocal =
      call.funcformat === "COERCE_SQL_SYNTAX" &&
      Ast.names(call.funcname as never).at(-1) === "timezone" &&
      others.length === 0
    return isAtLocal && of !== undefined ? `((${this.visit(of, context)}) AT LOCAL)` : super.FuncCall(...args)
  }

  override SortBy(...args: Given<"SortBy">): string {
    const [{ node, sortby_nulls: nulls, useOp }, context] = args
    if (node === undefined || useOp === undefined || useOp.length === 0) return super.SortBy(...args)
    return `${this.visit(node, context)} USING ${operator(Ast.names(useOp as never))}${nullsOf(nulls)}`
  }

  JsonFuncExpr(node: Ast.Body<"JsonFuncExpr">, context: Context): string {
    const { context_item: item, on_empty: onEmpty, on_error: onError, op, output, passing, pathspec } = node
    const parts = [
      `${this.JsonValueExpr(item as never, context)}, ${this.visit(pathspec as never, context)}`,
      this.passing(passing, context),
      this.formatJsonOutput(output as never, context) ?? "",
      wrappers[node.wrapper ?? "JSW_UNSPEC"] ?? "",
      quotes[node.quotes ?? "JS_QUOTES_UNSPEC"] ?? "",
      this.behavior(onEmpty, "ON EMPTY", context),
      this.behavior(onError, "ON ERROR", context)
    ]
    const name = op === "JSON_QUERY_OP" ? "JSON_QUERY" : op === "JSON_VALUE_OP" ? "JSON_VALUE" : "JSON_EXISTS"
    return `${name}(${parts.filter((part) => part !== "").join(" ")})`
  }

  JsonTable(node: Ast.Body<"JsonTable">, context: Context): string {
    const parts = [
      `${this.JsonValueExpr(node.context_item as never, context)}, ${this.path(node.pathspec, context)}`,
      this.passing(node.passing, context),
      `COLUMNS (${this.jsonColumns(node.columns, context)})`,
      this.behavior(node.on_error, "ON ERROR", context)
    ]
    const alias = node.alias === undefined ? "" : ` ${this.visit({ Alias: node.alias } as never, context)}`
    return `${node.lateral === true ? "LATERAL " : ""}JSON_TABLE(${parts.filter((part) => part !== "").join(" ")})${alias}`
  }

  private jsonColumns(columns: ReadonlyArray<Node> | undefined, context: Context): string {
    return (columns ?? [])
      .flatMap((column) => Ast.as("JsonTableColumn", column) ?? [])
      .map((column) => this.jsonColumn(column, context))
      .join(", ")
  }

  private jsonColumn(column: Ast.Body<"JsonTableColumn">, context: Context): string {
    const { columns, coltype, name, on_empty: onEmpty, on_error: onError, pathspec, typeName } = column
    if (coltype === "JTC_FOR_ORDINALITY") return `${quoted(name ?? "")} FOR ORDINALITY`
    if (coltype === "JTC_NESTED") {
      return `NESTED PATH ${this.path(pathspec, context)} COLUMNS (${this.jsonColumns(columns, context)})`
    }
    const parts = [
      `${quoted(name ?? "")} ${this.TypeName(typeName as never, context)}`,
      coltype === "JTC_EXISTS" ? "EXISTS" : coltype === "JTC_FORMATTED" ? "FORMAT JSON" : "",
      pathspec === undefined ? "" : `PATH ${this.path(pathspec, context)}`,
      coltype === "JTC_EXISTS" ? "" : (wrappers[column.wrapper ?? "JSW_UNSPEC"] ?? ""),
      coltype === "JTC_EXISTS" ? "" : (quotes[column.quotes ?? "JS_QUOTES_UNSPEC"] ?? ""),
      this.behavior(onEmpty, "ON EMPTY", context),
      this.behavior(onError, "ON ERROR", context)
    ]
    return parts.filter((part) => part !== "").join(" ")
  }

  private path(spec: Ast.Body<"JsonTablePathSpec"> | undefined, context: Context): string {
    return `${this.visit(spec?.string as never, context)}${spec?.name === undefined ? "" : ` AS ${quoted(spec.name)}`}`
  }

  private passing(passing: ReadonlyArray<Node> | undefined, context: Context): string {
    const passed = (passing ?? []).map((one) => {
      const argument = Ast.as("JsonArgument", one)
      return `${this.JsonValueExpr(argument?.val as never, context)} AS ${quoted(argument?.name ?? "")}`
    })
    return passed.length === 0 ? "" : `PASSING ${passed.join(", ")}`
  }

  override RangeTableFunc(...args: Given<"RangeTableFunc">): string {
    const [given, context] = args
    const node = given as Ast.Body<"RangeTableFunc">
    const namespaces = (node.namespaces ?? []).map((one) => {
      const { name, val } = Ast.as("ResTarget", one) ?? {}
      const uri = this.visit(val as never, context)
      return name === undefined ? `DEFAULT ${uri}` : `${uri} AS ${quoted(name)}`
    })
    const columns = (node.columns ?? []).map((one) => {
      const {
        coldefexpr,
        colexpr,
        colname,
        for_ordinality: counts,
        is_not_null: isSome,
        typeName
      } = Ast.as("RangeTableFuncCol", one) ?? {}
      if (counts === true) return `${quoted(colname ?? "")} FOR ORDINALITY`
      const path = colexpr === undefined ? "" : ` PATH (${this.visit(colexpr as never, context)})`
      const fallback = coldefexpr === undefined ? "" : ` DEFAULT (${this.visit(coldefexpr as never, context)})`
      const type = this.TypeName(typeName as never, context)
      return `${quoted(colname ?? "")} ${type}${path}${fallback}${isSome === true ? " NOT NULL" : ""}`
    })
    const alias = node.alias === undefined ? "" : ` ${this.visit({ Alias: node.alias } as never, context)}`
    const inside = [
      namespaces.length === 0 ? "" : `XMLNAMESPACES(${namespaces.join(", ")}), `,
      `(${this.visit(node.rowexpr as never, context)}) PASSING (${this.visit(node.docexpr as never, context)})`,
      ` COLUMNS ${columns.join(", ")}`
    ]
    return `${node.lateral === true ? "LATERAL " : ""}XMLTABLE(${inside.join("")})${alias}`
  }

  private behavior(node: Ast.Body<"JsonBehavior"> | undefined, when: string, context: Context): string {
    if (node === undefined) return ""
    const { btype, expr } = node
    const what =
      btype === "JSON_BEHAVIOR_DEFAULT" ? `DEFAULT ${this.visit(expr as never, context)}` : behaviors[btype ?? ""]
    return `${what ?? ""} ${when}`
  }
}

const wrappers: { readonly [wrapper: string]: string } = {
  JSW_NONE: "WITHOUT WRAPPER",
  JSW_CONDITIONAL: "WITH CONDITIONAL WRAPPER",
  JSW_UNCONDITIONAL: "WITH UNCONDITIONAL WRAPPER"
}

const quotes: { readonly [quotes: string]: string } = {
  JS_QUOTES_KEEP: "KEEP QUOTES",
  JS_QUOTES_OMIT: "OMIT QUOTES"
}

const behaviors: { readonly [behavior: string]: string } = {
  JSON_BEHAVIOR_NULL: "NULL",
  JSON_BEHAVIOR_ERROR: "ERROR",
  JSON_BEHAVIOR_EMPTY: "EMPTY",
  JSON_BEHAVIOR_EMPTY_ARRAY: "EMPTY ARRAY",
  JSON_BEHAVIOR_EMPTY_OBJECT: "EMPTY OBJECT",
  JSON_BEHAVIOR_TRUE: "TRUE",
  JSON_BEHAVIOR_FALSE: "FALSE",
  JSON_BEHAVIOR_UNKNOWN: "UNKNOWN"
}

const operator = (names: ReadonlyArray<string>): string =>
  names.length === 1 ? (names[0] ?? "") : `OPERATOR(${names.slice(0, -1).map(quoted).join(".")}.${names.at(-1)})`

const nullsOf = (nulls: string | undefined): string =>
  nulls === "SORTBY_NULLS_FIRST" ? " NULLS FIRST" : nulls === "SORTBY_NULLS_LAST" ? " NULLS LAST" : ""

const operators = new Set(["A_Expr", "BoolExpr", "BooleanTest", "CollateClause", "NullTest"])

class Careful extends Whole {
  override visit(...args: Given<"visit">): string {
    const text = super.visit(...args)
    return Object.keys(args[0]).some((tag) => operators.has(tag)) ? `(${text})` : text
  }
}
