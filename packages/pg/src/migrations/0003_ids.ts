/**
 * Generated ids: who may use which node number, and how far sequences are given out.
 *
 * `until_millis` is what makes ids unique: the holder of a node makes none at that time or later, and whoever has the node
 * next makes none before it. `expires_at` says when somebody else may take the node. Rows stay for good.
 *
 * @since 0.1.0
 */
import type { Migration } from "./Migration.js"

/** @since 0.1.0 @category migrations */
export const ids: Migration = {
  version: 3,
  name: "ids",
  statements: [
    `create table shardlayer.id_node (
  family text collate "C" not null,
  node integer not null,
  holder text collate "C" not null,
  expires_at timestamptz not null,
  until_millis bigint not null,
  primary key (family, node),
  check (node >= 0)
)`,
    `create table shardlayer.id_sequence (
  name text collate "C" primary key,
  next bigint not null
)`
  ]
}
