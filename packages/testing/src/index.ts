/**
 * Named points of a commit at which something goes wrong.
 *
 * @since 0.1.0
 */
export * as CrashPoints from "./CrashPoints.js"

/**
 * Expectations about where statements run.
 *
 * @since 0.1.0
 */
export * as Expect from "./Expect.js"

/**
 * Things that go wrong with servers and networks, on purpose.
 *
 * @since 0.1.0
 */
export * as Faults from "./Faults.js"

/**
 * Tests that leave nothing behind on databases they share.
 *
 * @since 0.1.0
 */
export * as Isolation from "./Isolation.js"

/**
 * One PostgreSQL and shards, side by side.
 *
 * @since 0.1.0
 */
export * as Oracle from "./Oracle.js"

/**
 * Several real PostgreSQL databases for one test.
 *
 * @since 0.1.0
 */
export * as PgCluster from "./PgCluster.js"

/**
 * A network that can fail, between a program and a server.
 *
 * @since 0.1.0
 */
export * as PgProxy from "./PgProxy.js"

/**
 * One real PostgreSQL server, from the binaries npm installed.
 *
 * @since 0.1.0
 */
export * as PgServer from "./PgServer.js"

/**
 * What can go wrong with a server that tests start themselves.
 *
 * @since 0.1.0
 */
export * as PgServerError from "./PgServerError.js"

/**
 * What ran where, statement by statement.
 *
 * @since 0.1.0
 */
export * as QueryLog from "./QueryLog.js"

/**
 * Random schemas and statements.
 *
 * @since 0.1.0
 */
export * as SqlArbitrary from "./SqlArbitrary.js"

/**
 * Shards inside the test's own process.
 *
 * @since 0.1.0
 */
export * as VirtualShards from "./VirtualShards.js"
