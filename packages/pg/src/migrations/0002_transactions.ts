/**
 * What transactions over several shards need on each of them: the gate, the decisions, and which installation it is.
 *
 * `gate` has no rows: its lock is what counts. Writers hold it from before the first PREPARE until their branch has
 * ended, also over a restart of the server; readers of several shards for the moment in which they take their snapshots.
 *
 * A row of `decision` with outcome `committed` is written by the very transaction that it is about, on the shard that
 * decides; one with `rolledBack` by whoever found a prepared branch and no decision, so that none can follow.
 *
 * @since 0.1.0
 */
import type { Migration } from "./Migration.js"

/** @since 0.1.0 @category migrations */
export const transactions: Migration = {
  version: 2,
  name: "transactions",
  statements: [
    `create table shardlayer.cluster (
  cluster text collate "C" not null,
  only_one boolean primary key default true,
  installed_at timestamptz not null default clock_timestamp(),
  check (only_one),
  check (cluster ~ '^[a-z0-9]{12}$')
)`,
    "create table shardlayer.gate ()",
    `create table shardlayer.decision (
  transaction text collate "C" primary key,
  outcome text collate "C" not null,
  xid xid8 not null,
  decided_at timestamptz not null default clock_timestamp(),
  check (outcome in ('committed', 'rolledBack'))
)`,
    `create table shardlayer.watermark (
  only_one boolean primary key default true,
  below xid8 not null,
  check (only_one)
)`,
    "insert into shardlayer.watermark (below) values ('0')"
  ]
}
