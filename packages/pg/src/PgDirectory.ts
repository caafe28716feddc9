/**
 * Directories of lookup resolvers in `shardlayer.directory` of the meta database.
 *
 * Every operation is one statement. Keys travel as PostgreSQL array literals in one array of text: an array of arrays
 * would have to be rectangular, and `unnest` would flatten it. A key longer than an index entry (about 2,700 bytes) is
 * refused by PostgreSQL.
 *
 * @since 0.1.0
 */
import { SqlClient } from "@effect/sql/SqlClient"
import { Directory, type DirectoryService, KeyAssignedElsewhere } from "@shardlayer/core/Directory"
import type { KeyTuple } from "@shardlayer/core/topology/KeyValue"
import * as ShardId from "@shardlayer/core/topology/ShardId"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as MetaClient from "./internal/metaClient.js"
import * as PgInstall from "./PgInstall.js"

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = (client: SqlClient): DirectoryService => {
  const meta = MetaClient.make(client)
  const orNotInstalled = PgInstall.orNotInstalled(client)
  return {
    lookup: (directory, keys) =>
      keys.length === 0
        ? Effect.succeed([])
        : meta.query<{ shard: string | null }>(lookupSql, [directory, keys.map(arrayLiteral)]).pipe(
            orNotInstalled,
            Effect.map((rows) => rows.map(({ shard }) => Option.map(Option.fromNullable(shard), ShardId.make)))
          ),
    assign: (directory, key, shard, options) =>
      meta.query<{ shard: string }>(assignSql, [directory, arrayLiteral(key), shard, options?.replace === true]).pipe(
        orNotInstalled,
        Effect.flatMap(([row]) =>
          row === undefined || row.shard === shard
            ? Effect.void
            : Effect.fail(new KeyAssignedElsewhere({ directory, key, owner: ShardId.make(row.shard), wanted: shard }))
        )
      ),
    remove: (directory, key) =>
      meta.query(removeSql, [directory, arrayLiteral(key)]).pipe(
        orNotInstalled,
        Effect.map((rows) => rows.length > 0)
      )
  }
}

/**
 * Over the `SqlClient` of the meta database.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Directory, never, SqlClient> = Layer.effect(Directory, Effect.map(SqlClient, make))

/**
 * A subquery for each key, not a join: it can only be an index probe. For a join of 10,000 keys with a directory of a
 * million, the planner chose to hash the whole directory: 1.5 s instead of 0.2.
 */
const lookupSql = `select (
  select d.shard from shardlayer.directory as d where d.directory = $1 and d.key = asked.key::text[]
) as shard
from unnest($2::text[]) with ordinality as asked(key, place)
order by asked.place`

/** Writes the row either way, which locks it: the shard returned is the one that stands, even against a rival. */
const assignSql = `insert into shardlayer.directory as d (directory, key, shard) values ($1, $2::text[], $3)
on conflict (directory, key) do update
  set shard = case when $4::boolean then excluded.shard else d.shard end,
      assigned_at = case when $4::boolean then excluded.assigned_at else d.assigned_at end
returning shard`

const removeSql = "delete from shardlayer.directory where directory = $1 and key = $2::text[] returning 1 as removed"

/** `{"a","say \"b\"",NULL}`: every part quoted, so that no text reads as NULL. */
const arrayLiteral = (key: KeyTuple): string =>
  `{${key.map((part) => (part === null ? "NULL" : `"${part.replace(/[\\"]/g, "\\$&")}"`)).join(",")}}`
