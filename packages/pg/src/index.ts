/**
 * PostgreSQL for ShardLayer: connections, catalog, planner, and the router wired.
 *
 * @since 0.1.0
 */
export * as PgDirectory from "./PgDirectory.js"
export * as PgErrors from "./PgErrors.js"
export * as PgInstall from "./PgInstall.js"
export * as PgPlanner from "./PgPlanner.js"
export * as PgRouter from "./PgRouter.js"
export * as PgShard from "./PgShard.js"
export * as PgTopologyStore from "./PgTopologyStore.js"
export * as SlotExpression from "./SlotExpression.js"
