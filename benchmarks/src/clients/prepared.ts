/**
 * `router.prepare`, where this version of the router has it: what is not there is skipped by name.
 */
import type { ShardRouterService } from "@shardlayer/core/ShardRouter"
import type * as Effect from "effect/Effect"

/** Text with `$n`, and then its parameters. */
type Prepare = <A>(sql: string) => (params: ReadonlyArray<unknown>) => Effect.Effect<ReadonlyArray<A>, unknown>

export const prepareOf = (router: ShardRouterService): Prepare | undefined => {
  const { prepare } = router as { readonly prepare?: Prepare }
  return typeof prepare === "function" ? prepare : undefined
}
