/**
 * The names under which branches are prepared: all that recovery needs to know stands in them.
 *
 *     shardlayer:CLUSTER:TRANSACTION:DECIDER:DECIDER_XID:XID
 *
 * Enters and leaves: text of at most 199 bytes, as PostgreSQL allows. Holds: names of other programs, and those of other
 * clusters on the same server, are told from ours; the branch's own xid makes the name unique on its server, where
 * several shards may be databases of one server.
 *
 * @since 0.1.0
 */
import * as ShardId from "../topology/ShardId.js"

/** @since 0.1.0 @category models */
export interface GlobalId {
  /** Which installation it belongs to. */
  readonly cluster: string
  readonly transaction: string
  /** The shard that holds the decision, and the xid (64 bit, decimal) of the transaction that makes it there. */
  readonly decider: ShardId.ShardId
  readonly deciderXid: string
  /** Of the branch itself, on its own shard. */
  readonly xid: string
}

/** @since 0.1.0 @category functions */
export const format = ({ cluster, decider, deciderXid, transaction, xid }: GlobalId): string =>
  [prefix, cluster, transaction, decider, deciderXid, xid].join(":")

/**
 * Undefined for what is not ours.
 *
 * @since 0.1.0
 * @category functions
 */
export const parse = (text: string): GlobalId | undefined => {
  const parts = shape.exec(text)
  if (parts === null) return undefined
  const [, cluster = "", transaction = "", decider = "", deciderXid = "", xid = ""] = parts
  return ShardId.is(decider) ? { cluster, transaction, decider, deciderXid, xid } : undefined
}

/**
 * The name of the transaction alone, for people and errors: with it its decider can be asked.
 *
 * @since 0.1.0
 * @category functions
 */
export const nameOf = ({ cluster, decider, deciderXid, transaction }: GlobalId): string =>
  [cluster, transaction, decider, deciderXid].join(":")

/**
 * Undefined for what is no such name. It names no branch: `xid` is 0.
 *
 * @since 0.1.0
 * @category functions
 */
export const parseName = (name: string): GlobalId | undefined => parse(`${prefix}:${name}:0`)

/** @since 0.1.0 @category constants */
export const prefix = "shardlayer"

/** Clusters and transactions are named by letters and digits: see `newName`. */
const shape = /^shardlayer:([a-z0-9]{12}):([a-z0-9]{20}):([^:]+):([0-9]{1,20}):([0-9]{1,20})$/

/**
 * A name that nobody else will draw: 5.17 random bits a letter.
 *
 * @since 0.1.0
 * @category functions
 */
export const newName = (length: number, random: (bytes: Uint8Array) => Uint8Array): string => {
  let name = ""
  while (name.length < length) {
    for (const byte of random(new Uint8Array(length))) {
      // 252 is the last multiple of 36: beyond it some letters would be likelier than others.
      if (byte < 252 && name.length < length) name += alphabet[byte % 36]
    }
  }
  return name
}

const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"

/** @since 0.1.0 @category constants */
export const clusterLength = 12
/** @since 0.1.0 @category constants */
export const transactionLength = 20
