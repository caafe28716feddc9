/**
 * The name of one shard: one PostgreSQL database.
 *
 * Always a short identifier (a letter, then letters, digits, underscores; at most 63 bytes), so that it can stand
 * unquoted in metrics, in the ids of prepared transactions (which PostgreSQL limits to 200 bytes) and in logs.
 */
import * as Brand from "effect/Brand"
import * as Order from "effect/Order"
import * as Schema from "effect/Schema"

/**
 * @since 0.1.0
 * @category models
 */
export type ShardId = string & Brand.Brand<"@shardlayer/core/ShardId">

/**
 * What a shard id looks like.
 *
 * @since 0.1.0
 * @category models
 */
export const pattern = /^[A-Za-z][A-Za-z0-9_]{0,62}$/

const constructor = Brand.refined<ShardId>(
  (text) => pattern.test(text),
  (text) => Brand.error(`"${text}" is no shard id: a letter, then at most 62 letters, digits or underscores`)
)

/**
 * Throws Brand errors on a malformed id; `either` and `option` do not.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: (id: string) => ShardId = constructor

/**
 * @since 0.1.0
 * @category constructors
 */
export const either = constructor.either

/**
 * @since 0.1.0
 * @category guards
 */
export const is = (id: string): id is ShardId => pattern.test(id)

/**
 * @since 0.1.0
 * @category schemas
 */
export const schema: Schema.Schema<ShardId, string> = Schema.String.pipe(Schema.fromBrand(constructor))

/**
 * Plain string order. Locks on several shards are taken in this order.
 *
 * @since 0.1.0
 * @category instances
 */
export const order: Order.Order<ShardId> = Order.string
