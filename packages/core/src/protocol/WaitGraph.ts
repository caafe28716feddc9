/**
 * Who waits for whom on several shards, and who has to give way.
 *
 * A deadlock over several shards is a circle that no shard sees whole: each sees the sessions of its own part. A session
 * of a transaction over several shards carries the transaction's mark, a number that is the same on all of them and grows
 * with time; so the circle closes once the shards' waits are put together. The youngest gives way, as it has done least.
 *
 * Enters: waits of each shard. Leaves: whether a transaction is to give way. Holds: of one circle one gives way, whoever
 * looks, as all see the same marks; prepared transactions wait for nobody, and are in no circle.
 *
 * @since 0.1.0
 */
import type { ShardId } from "../topology/ShardId.js"

/**
 * A session: by its mark, or where it has none by its process on its shard.
 *
 * @since 0.1.0
 * @category models
 */
export interface Session {
  readonly pid: number
  readonly mark: bigint | undefined
}

/** @since 0.1.0 @category models */
export interface Wait {
  readonly shard: ShardId
  readonly waiter: Session
  readonly blocker: Session
}

/**
 * Is `mark` in a circle of waits in which no mark is younger?
 *
 * @since 0.1.0
 * @category functions
 */
export const givesWay = (waits: ReadonlyArray<Wait>, mark: bigint): boolean => {
  const own = String(mark)
  const edges = new Map<string, Set<string>>()
  for (const { blocker, shard, waiter } of waits) {
    // Circles through the younger are theirs to break.
    if (isYounger(waiter, mark) || isYounger(blocker, mark)) continue
    const from = nodeOf(shard, waiter)
    const to = nodeOf(shard, blocker)
    const known = edges.get(from)
    if (known === undefined) edges.set(from, new Set([to]))
    else known.add(to)
  }
  const seen = new Set<string>()
  const open = [...(edges.get(own) ?? [])]
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    if (node === own) return true
    if (seen.has(node)) continue
    seen.add(node)
    open.push(...(edges.get(node) ?? []))
  }
  return false
}

const isYounger = ({ mark }: Session, than: bigint): boolean => mark !== undefined && mark > than

const nodeOf = (shard: ShardId, { mark, pid }: Session): string =>
  mark === undefined ? `${shard}/${pid}` : String(mark)
