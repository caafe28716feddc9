/**
 * All steps of schema `shardlayer`, in order.
 *
 * @since 0.1.0
 */
import { topologyAndDirectory } from "./0001_topology_and_directory.js"
import { transactions } from "./0002_transactions.js"
import { ids } from "./0003_ids.js"
import type { Migration } from "./Migration.js"

/** @since 0.1.0 @category migrations */
export const migrations: readonly [Migration, ...ReadonlyArray<Migration>] = [topologyAndDirectory, transactions, ids]
