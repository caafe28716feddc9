/**
 * PostgreSQL for ShardLayer: connections, catalog, planner, and the router wired.
 *
 * @since 0.1.0
 */
export * as PgCommitLog from "./PgCommitLog.js"
export * as PgConnection from "./PgConnection.js"
export * as PgDirectory from "./PgDirectory.js"
export * as PgDrift from "./PgDrift.js"
export * as PgErrors from "./PgErrors.js"
export * as PgIdStore from "./PgIdStore.js"
export * as PgInstall from "./PgInstall.js"
export * as PgListener from "./PgListener.js"
export * as PgMeta from "./PgMeta.js"
export * as PgPlanner from "./PgPlanner.js"
export * as PgPool from "./PgPool.js"
export * as PgRouter from "./PgRouter.js"
export * as PgRouterConfig from "./PgRouterConfig.js"
export * as PgSession from "./PgSession.js"
export * as PgShard from "./PgShard.js"
export * as PgShardConfig from "./PgShardConfig.js"
export * as PgTopologyStore from "./PgTopologyStore.js"
export * as ShardMigrator from "./ShardMigrator.js"
export * as SlotExpression from "./SlotExpression.js"
