/**
 * The topology with its history, and the directories of lookup resolvers.
 *
 * `topology` is a chain: each row replaces exactly one epoch, and no two rows the same one. So two writers that start
 * from one epoch meet in the unique index, whatever epochs they write, and the head is the greatest epoch.
 *
 * Directory keys are compared byte by byte, as key hashes do; a NULL part is a NULL element.
 *
 * @since 0.1.0
 */
import type { Migration } from "./Migration.js"

/** @since 0.1.0 @category migrations */
export const topologyAndDirectory: Migration = {
  version: 1,
  name: "topology and directory",
  statements: [
    `create table shardlayer.topology (
  epoch bigint primary key,
  replaces bigint not null unique,
  document jsonb not null,
  changed_at timestamptz not null default clock_timestamp(),
  check (replaces >= 0),
  check (epoch > replaces)
)`,
    `create table shardlayer.directory (
  directory text collate "C" not null,
  key text[] collate "C" not null,
  shard text collate "C" not null,
  assigned_at timestamptz not null default clock_timestamp(),
  primary key (directory, key),
  check (shard ~ '^[A-Za-z][A-Za-z0-9_]{0,62}$')
)`
  ]
}
