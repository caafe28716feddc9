/**
 * A statement, its names looked up, as facts about rows: pure, without parameters or slot map.
 *
 * Enters: the parse tree, catalog and topology as a `SchemaView`, the parameters' types. Leaves: `Analyzed`, or why not.
 * Holds: whatever the walk does not know stops it. (Deep in the tree a stop is thrown, and caught here: the walk reads
 * like the grammar, and nothing else throws across it.)
 *
 * @since 0.1.0
 */
import type { Node, RangeVar, SelectStmt } from "libpg-query"
import * as Either from "effect/Either"
import type * as Ast from "../Ast.js"
import { draft } from "../Refusal.js"
import { refuse, type SchemaView, type Stop, Stopped } from "../SchemaView.js"
import * as Builder from "./Builder.js"
import * as Cte from "./Cte.js"
import * as Expression from "./Expression.js"
import * as MergeStatement from "./MergeStatement.js"
import type { Analyzed } from "./Model.js"
import * as Select from "./Select.js"
import type { Level, OuterAggregates, Range, Walk } from "./Walk.js"
import * as Write from "./Write.js"

/**
 * A statement's facts, and its levels with the names that are visible there.
 *
 * @since 0.1.0
 * @category models
 */
export interface Study {
  readonly tree: Node
  readonly analyzed: Analyzed
  readonly levels: ReadonlyMap<SelectStmt, Level>
  readonly ranges: ReadonlyMap<RangeVar, Range>
  /** How many columns the query of an INSERT gives, by its table; none where that is not known. */
  readonly widths: ReadonlyMap<RangeVar, number>
  /** It uses a row as a value. */
  readonly usesWholeRows: boolean
  /** It reads samples of sharded tables, which are others each time. */
  readonly samples: boolean
  /** Looks up more names of a level's scope. What it finds beyond `analyzed` is of relations whose columns are not known. */
  readonly builder: Builder.Builder
}

/** @since 0.1.0 @category functions */
export const analyze = (tree: Node, view: SchemaView, params: Builder.ParamTypes): Either.Either<Study, Stop> =>
  stoppable(() => {
    const first = studied(tree, view, params, new Map())
    if (!hasOwners(first.outerAggregates)) return first.study
    const second = studied(tree, view, params, first.outerAggregates)
    // A view's query that is parsed anew has other nodes.
    const isWhole = [...second.outerAggregates].every(([node, owners]) =>
      owners.every((owner, index) => owner === first.outerAggregates.get(node)?.[index])
    )
    if (!isWhole) return refuse(draft("SL1101", { construct: "an aggregate of an outer query" }, undefined))
    return second.study
  })

/**
 * In the middle of a plan: throws what stops it.
 *
 * @since 0.1.0
 * @category functions
 */
export const studyOf = (tree: Node, view: SchemaView, params: Builder.ParamTypes): Study =>
  Either.getOrElse(analyze(tree, view, params), (stop): never => {
    throw new Stopped(stop)
  })

const hasOwners = (found: OuterAggregates["known"]): boolean =>
  [...found.values()].some((owners) => owners.some((owner) => owner !== undefined))

const studied = (
  tree: Node,
  view: SchemaView,
  params: Builder.ParamTypes,
  known: OuterAggregates["known"]
): { readonly study: Study; readonly outerAggregates: OuterAggregates["known"] } => {
  const builder = Builder.make(view, params, paramsOf(tree))
  const outerAggregates: OuterAggregates = { known, found: new Map() }
  const walk = makeWalk(builder, outerAggregates)
  Select.query(walk, tree, undefined, undefined, undefined)
  Cte.checkUnread(walk)
  if (hasOwners(outerAggregates.found)) builder.addOuterAggregate()
  const { levels, ranges, samples, wholeRows, widths } = walk
  return {
    study: {
      tree,
      analyzed: builder.finish(),
      levels,
      ranges,
      widths,
      usesWholeRows: wholeRows.used,
      samples: samples.used,
      builder
    },
    outerAggregates: outerAggregates.found
  }
}

/**
 * Runs a part of the walk, and gives what stopped it as a value.
 *
 * @since 0.1.0
 * @category functions
 */
export const stoppable = <A>(run: () => A): Either.Either<A, Stop> => {
  try {
    return Either.right(run())
  } catch (error) {
    if (error instanceof Stopped) return Either.left(error.stop)
    // The tree is deeper than the stack: nothing of ours recurses without it.
    if (error instanceof RangeError) {
      return Either.left({
        _tag: "Refused",
        refusal: draft("SL1102", { limit: "nested too deeply" }, undefined),
        unknownName: false
      })
    }
    throw error
  }
}

/** Every place where a parameter stands. */
const paramsOf = (value: unknown): ReadonlyArray<Builder.ParamUse> => {
  const found: Array<Builder.ParamUse> = []
  const open: Array<unknown> = [value]
  while (open.length > 0) {
    const next = open.pop()
    if (typeof next !== "object" || next === null) continue
    if ("ParamRef" in next) {
      const { location, number }: Ast.Body<"ParamRef"> = next.ParamRef ?? {}
      found.push({ index: number ?? 0, location: location ?? 0 })
    }
    open.push(...Object.values(next))
  }
  return found
}

const makeWalk = (
  builder: Builder.Builder,
  outerAggregates: OuterAggregates,
  views: ReadonlyArray<string> = []
): Walk => {
  const walk: Walk = {
    builder,
    frames: [],
    outerAggregates,
    views,
    within: (view, inside) => makeWalk(inside, outerAggregates, [...views, view]),
    levels: new Map(),
    ranges: new Map(),
    widths: new Map(),
    ctes: new Map(),
    wholeRows: { used: false },
    samples: { used: false },
    expression: (node, scope, place) => Expression.expression(walk, node, scope, place),
    condition: (node, scope, place) => Expression.condition(walk, node, scope, place),
    query: (node, outer, ctes, position) => Select.query(walk, node, outer, ctes, position),
    write: (node, outer, ctes, position) =>
      "MergeStmt" in node
        ? MergeStatement.merge(walk, node.MergeStmt, outer, ctes, position)
        : Write.write(walk, node, outer, ctes, position)
  }
  return walk
}
