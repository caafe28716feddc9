/**
 * Two-phase commit in PostgreSQL's own words: PREPARE TRANSACTION, the decision row, the gate.
 *
 * Holds: every text is sent in one piece, its tags are looked at (COMMIT and PREPARE of a failed transaction succeed,
 * with the tag ROLLBACK), and names are qualified, whatever `search_path` a program has set.
 *
 * @since 0.1.0
 */
import { CommitLog, type CommitLogService, type Entered, type Finished } from "@shardlayer/core/CommitLog"
import * as GlobalId from "@shardlayer/core/protocol/GlobalId"
import type { Decision, Outcome } from "@shardlayer/core/protocol/TwoPhase"
import { ahead, type Answer, type RawResult, send, type ShardSession } from "@shardlayer/core/ShardConnection"
import {
  NotInstalled,
  OperationRefused,
  PreparedTransactionsDisabled,
  PrepareRefused,
  type ShardError,
  TransactionRolledBack
} from "@shardlayer/core/ShardError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { randomFillSync } from "node:crypto"
import { escapeLiteral } from "pg"
import * as PgInstall from "./PgInstall.js"

/** @since 0.1.0 @category constructors */
export const make: CommitLogService = {
  newTransaction: () => GlobalId.newName(GlobalId.transactionLength, randomFillSync),
  enter: (session, { wait, writes = false }) =>
    // Nothing is prepared yet: what waits for a lock here, perhaps in a circle over several shards, may be cancelled.
    entered(session.command(enterSql(wait, writes), { cancels: true })),
  enterAll: (branches) =>
    Effect.flatMap(
      Effect.forEach(branches, ({ session, writes }) => send(session, enterSql(false, writes), { cancels: true })),
      (answers) => Effect.forEach(answers, (answer) => Effect.either(entered(answer)))
    ),
  leave: (session) => Effect.asVoid(session.command(`ROLLBACK TO SAVEPOINT ${gate}; RELEASE SAVEPOINT ${gate}`)),
  prepare: (session, id) =>
    Effect.mapError(ended(session.command(`PREPARE TRANSACTION ${gid(id)}`), id, "PREPARE"), (error) =>
      error._tag === "StatementFailed" && error.code === featureNotSupported
        ? new PrepareRefused({ shards: [error.shard], reason: error.reason, isRetryable: true })
        : error
    ),
  decide: (session, id) => ended(session.command(decideSql(id)), id, "COMMIT"),
  finish: (on, id, outcome, options) => {
    const run = (sql: string) => ("settle" in on ? on.settle(sql) : on.command(sql, { cancels: false, ...options }))
    const sql = `${outcome === "committed" ? "COMMIT" : "ROLLBACK"} PREPARED ${gid(id)}`
    return Effect.as(run(sql), "done" as const).pipe(
      Effect.catchTag("StatementFailed", (error) =>
        error.code === undefinedObject
          ? Effect.map(run(statusSql(id.xid)), (results) => finishedBy(outcome, results.at(-1)?.rows[0]?.status))
          : error.code === objectNotReady
            ? Effect.succeed("busy" as const)
            : Effect.fail(error)
      )
    )
  },
  read: (driver, id) => Effect.map(orNotInstalled(driver.settle(readSql(id))), decisionOf),
  refuse: (driver, id) => Effect.map(orNotInstalled(driver.settle(refuseSql(id))), decisionOf),
  admits: (on, shard) =>
    Effect.flatMap(
      "settle" in on ? on.settle(admitsSql) : on.command(admitsSql),
      (results): Effect.Effect<void, ShardError> => {
        const row = results.at(-1)?.rows[0]
        if (row?.installed !== "true") {
          return Effect.fail(new NotInstalled({ found: undefined, expected: PgInstall.version, shard }))
        }
        return row.max === "0" ? Effect.fail(new PreparedTransactionsDisabled({ shard })) : Effect.void
      }
    ),
  cluster: (driver, shard) =>
    Effect.flatMap(orNotInstalled(driver.settle(clusterSql)), (results): Effect.Effect<string, ShardError> => {
      const row = results.at(-1)?.rows[0]
      if (row === undefined)
        return Effect.fail(new NotInstalled({ found: undefined, expected: PgInstall.version, shard }))
      return row.max === "0" ? Effect.fail(new PreparedTransactionsDisabled({ shard })) : Effect.succeed(row.cluster)
    }),
  prepared: (driver, cluster) =>
    Effect.map(driver.settle(preparedSql(cluster)), (results) =>
      (results.at(-1)?.rows ?? []).flatMap(({ age, gid: text }: { readonly gid: string; readonly age: string }) => {
        const id = GlobalId.parse(text)
        return id?.cluster === cluster ? [{ id, ageMillis: Number(age) }] : []
      })
    ),
  lead: (driver) => Effect.map(driver.settle(leadSql), (results) => results.at(-1)?.rows[0]?.leads === "true"),
  horizon: (driver) =>
    Effect.map(driver.settle(horizonSql), (results) => {
      const [row] = results.at(-1)?.rows ?? []
      return { oldest: row.xmin, next: row.xmax }
    }),
  forget: (driver, below) =>
    Effect.map(
      driver.settle(forgetSql(below)),
      (results) => results.find(({ command }) => command === "DELETE")?.rowCount ?? 0
    ),
  mark: (session, mark) => ahead(session, `SELECT pg_catalog.pg_advisory_xact_lock_shared(${mark})`),
  waits: (driver) =>
    Effect.map(driver.settle(waitsSql), (results) =>
      (results.at(-1)?.rows ?? []).map((row) => ({
        waiter: sessionOf(row.waiter, row.waiter_mark),
        blocker: sessionOf(row.blocker, row.blocker_mark)
      }))
    ),
  hasGate: (driver) => Effect.map(driver.settle(hasGateSql), (results) => results.at(-1)?.rows[0]?.has === "true"),
  view: (session, { wait }) => viewed(session, session.command(viewSql(wait))),
  viewAll: (sessions) =>
    Effect.flatMap(
      Effect.forEach(sessions, (session) =>
        Effect.map(send(session, viewSql("not")), (answer) => viewed(session, answer))
      ),
      (views) => Effect.forEach(views, Effect.either)
    ),
  settled: (session) => ahead(session, `ROLLBACK TO SAVEPOINT ${gate}`)
}

/** @since 0.1.0 @category layers */
export const layer: Layer.Layer<CommitLog> = Layer.succeed(CommitLog, make)

const entered = (answer: Answer): Effect.Effect<Entered, ShardError> =>
  Effect.flatMap(orNotInstalled(answer), (results): Effect.Effect<Entered, ShardError> => {
    const row = results.at(-1)?.rows[0]
    if (row === undefined) return Effect.fail(new NotInstalled({ found: undefined, expected: PgInstall.version }))
    return row.isolation === "read committed"
      ? Effect.succeed({ cluster: row.cluster, xid: row.xid ?? undefined, obstacle: row.obstacle ?? undefined })
      : Effect.fail(
          new OperationRefused({
            operation: "a transaction over several shards",
            reason: `it is ${row.isolation}, and such views of several shards would not be one`
          })
        )
  })

const viewed = (session: ShardSession, answer: Answer): Effect.Effect<void, ShardError> =>
  Effect.asVoid(Effect.catchIf(answer, isMissing, () => session.command(viewWithoutGateSql)))

// Everything that these statements give is text: a program may give its clients parsers of its own for all other types.

/** The savepoint before it. Savepoints of programs have other names, or are of an inner level that has ended. */
const gate = "shardlayer_gate"

const gid = (id: GlobalId.GlobalId): string => quoted(GlobalId.format(id))

/** The driver looks at each letter by itself, of a text that goes with every command of a commit. */
const quoted = (text: string): string => (/^[\w:.-]*$/.test(text) ? `'${text}'` : escapeLiteral(text))

/**
 * The role of the session itself prepares and decides, so that recovery, which has the same login, may finish. From here
 * on nothing is to be cancelled by a limit that the program has set; `transaction_timeout` came with PostgreSQL 17. Only a
 * router whose host is gone without a word is not waited for until TCP notices: the gate is closed to readers as long.
 */
const enterSql = (wait: boolean, writes: boolean): string => `SET CONSTRAINTS ALL IMMEDIATE;
SAVEPOINT ${gate};
SELECT pg_catalog.set_config('role', 'none', true), pg_catalog.set_config('statement_timeout', '0', true),
  pg_catalog.set_config('idle_in_transaction_session_timeout', '${vanishedMillis}', true),
  pg_catalog.set_config('lock_timeout', '${wait ? gateTimeoutMillis : 0}', true),
  CASE WHEN pg_catalog.current_setting('transaction_timeout', true) <> '0'
    THEN pg_catalog.set_config('transaction_timeout', '0', true) END;
LOCK TABLE shardlayer.gate IN ROW EXCLUSIVE MODE${wait ? "" : " NOWAIT"};
SELECT cluster, pg_catalog.pg_current_xact_id${writes ? "" : "_if_assigned"}()::text AS xid,
  pg_catalog.current_setting('transaction_isolation') AS isolation, ${obstacleSql} AS obstacle
FROM shardlayer.cluster`

/** Longer than all others may take to enter and to prepare. */
const vanishedMillis = 300_000

/**
 * What PREPARE TRANSACTION will not take, as far as a session can see it: its locks on temporary tables, its cursors.
 * Notifications that wait for COMMIT show nowhere.
 */
const obstacleSql = `CASE
  WHEN EXISTS (SELECT FROM pg_catalog.pg_cursors WHERE is_holdable) THEN 'it has a cursor WITH HOLD'
  WHEN pg_catalog.pg_my_temp_schema() <> 0 AND EXISTS (
    SELECT FROM pg_catalog.pg_locks JOIN pg_catalog.pg_class AS c ON c.oid = relation
    WHERE pid = pg_catalog.pg_backend_pid() AND relnamespace = pg_catalog.pg_my_temp_schema()
  ) THEN 'it has used temporary tables'
END`

/** Readers hold it for a moment: who waits longer meets one that hangs. */
const gateTimeoutMillis = 10_000

/** Stricter settings than `on` stay. */
const decideSql = (id: GlobalId.GlobalId): string => `SELECT pg_catalog.set_config('synchronous_commit', 'on', true)
WHERE pg_catalog.current_setting('synchronous_commit') IN ('off', 'local', 'remote_write');
INSERT INTO shardlayer.decision (transaction, outcome, xid)
VALUES (${quoted(id.transaction)}, 'committed', '${id.deciderXid}');
COMMIT`

const readSql = ({ deciderXid, transaction }: GlobalId.GlobalId): string => `SELECT outcome,
  ('${deciderXid}'::xid8 < below)::text AS forgotten
FROM shardlayer.watermark
LEFT JOIN shardlayer.decision ON transaction = ${escapeLiteral(transaction)}`

/**
 * The lock on the watermark keeps a decision from being forgotten in between. The unique key makes the INSERT wait for a
 * decider that has inserted its row and not ended, and a decider that comes later fail. What stands then is read by a
 * statement of its own, with a newer snapshot.
 */
const refuseSql = (id: GlobalId.GlobalId): string => `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SET LOCAL lock_timeout = '${refuseTimeoutMillis}ms';
SET LOCAL synchronous_commit = on;
INSERT INTO shardlayer.decision (transaction, outcome, xid)
SELECT ${escapeLiteral(id.transaction)}, 'rolledBack', '${id.deciderXid}'
FROM shardlayer.watermark WHERE '${id.deciderXid}'::xid8 >= below FOR SHARE
ON CONFLICT (transaction) DO NOTHING;
COMMIT;
${readSql(id)}`

const refuseTimeoutMillis = 5_000

/** Asked of the catalog alone: a role that a program has set may not look into our schema, or even name it. */
const admitsSql = `SELECT (EXISTS (
  SELECT FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace AS n ON n.oid = relnamespace
  WHERE nspname = 'shardlayer' AND relname = 'cluster'
))::text AS installed,
  pg_catalog.current_setting('max_prepared_transactions') AS max`

const clusterSql = `SELECT cluster, pg_catalog.current_setting('max_prepared_transactions') AS max
FROM shardlayer.cluster`

/** Of this database alone: others on the server may be other shards, or nobody's business. */
const preparedSql = (cluster: string): string => `SELECT gid,
  (EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - prepared) * 1000)::text AS age
FROM pg_catalog.pg_prepared_xacts
WHERE database = pg_catalog.current_database()
  AND pg_catalog.starts_with(gid, '${GlobalId.prefix}:${cluster}:')`

const statusSql = (xid: string): string => `SELECT pg_catalog.pg_xact_status('${xid}'::xid8) AS status`

/**
 * A lock of the session, and `settle` has one session. It is asked for once a session: such locks count. The number has
 * only to be nobody else's: "shardrec" in ASCII.
 */
const leadSql = `SELECT (EXISTS (
  SELECT FROM pg_catalog.pg_locks
  WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid() AND classid = 1936220530 AND objid = 1685218659
    AND objsubid = 1
) OR pg_catalog.pg_try_advisory_lock(8316003855879005539))::text AS leads`

/**
 * A number drawn here is above all that were drawn: the end of a snapshot is not, open transactions may be beyond it while none that
 * is younger has ended.
 *
 * What is prepared decides nothing any more, and is listed where it matters; else it would hold the horizon for as long.
 */
const horizonSql = `SELECT coalesce(
  (
    SELECT x::text FROM pg_catalog.pg_snapshot_xip(s) AS x
    WHERE x::xid NOT IN (SELECT transaction FROM pg_catalog.pg_prepared_xacts) ORDER BY x LIMIT 1
  ),
  pg_catalog.pg_snapshot_xmax(s)::text
) AS xmin, pg_catalog.pg_current_xact_id()::text AS xmax
FROM pg_catalog.pg_current_snapshot() AS s`

/** First the watermark: a row that is gone must never be missed by somebody who does not know that it may be. */
const forgetSql = (below: string): string => `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SET LOCAL lock_timeout = '${refuseTimeoutMillis}ms';
UPDATE shardlayer.watermark SET below = '${below}' WHERE below < '${below}'::xid8;
DELETE FROM shardlayer.decision WHERE xid < (SELECT below FROM shardlayer.watermark) AND xid < '${below}'::xid8;
COMMIT`

/**
 * The gate does not give a snapshot, the SELECT does, and ROLLBACK TO keeps it (PostgreSQL takes the snapshot of a
 * repeatable-read transaction once). Writers pass the gate on all their shards before they decide: one that is seen on
 * a shard had decided before that shard's gate was taken here, and so has committed on the others or holds theirs.
 */
const viewSql = (wait: "not" | "shortly" | "long"): string => `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SAVEPOINT ${gate};
${wait === "not" ? "" : `SET LOCAL lock_timeout = '${wait === "shortly" ? blockedMillis : gateTimeoutMillis}ms';\n`}LOCK TABLE shardlayer.gate IN SHARE MODE${wait === "not" ? " NOWAIT" : ""};
SELECT 1`

/** A commit takes milliseconds: who is in the gate for longer has crashed, perhaps. */
const blockedMillis = 1_000

/**
 * A mark is an advisory lock that everybody may share: of locks of that form the greatest is taken, for marks are greater
 * than what programs use. Prepared transactions block with process 0, and wait for nobody.
 */
const waitsSql = `WITH marks AS (
  SELECT pid, max((classid::bigint << 32) | objid::bigint) AS mark FROM pg_catalog.pg_locks
  WHERE locktype = 'advisory' AND objsubid = 1 AND mode = 'ShareLock' AND granted
  GROUP BY pid
)
SELECT w.pid::text AS waiter, wm.mark::text AS waiter_mark, b.pid::text AS blocker, bm.mark::text AS blocker_mark
FROM (SELECT DISTINCT pid FROM pg_catalog.pg_locks WHERE NOT granted) AS w
CROSS JOIN LATERAL pg_catalog.unnest(pg_catalog.pg_blocking_pids(w.pid)) AS b (pid)
LEFT JOIN marks AS wm ON wm.pid = w.pid
LEFT JOIN marks AS bm ON bm.pid = b.pid
WHERE b.pid <> 0`

const sessionOf = (pid: string, mark: string | null) => ({
  pid: Number(pid),
  mark: mark === null ? undefined : BigInt(mark)
})

const hasGateSql = "SELECT (pg_catalog.to_regclass('shardlayer.gate') IS NOT NULL)::text AS has"

const viewWithoutGateSql = `ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SAVEPOINT ${gate};
SELECT 1`

const featureNotSupported = "0A000"
const undefinedObject = "42704"
const objectNotReady = "55000"

/** undefined_table, invalid_schema_name. */
const isMissing = (error: ShardError): boolean =>
  error._tag === "StatementFailed" && (error.code === "42P01" || error.code === "3F000")

const orNotInstalled = <A>(effect: Effect.Effect<A, ShardError>): Effect.Effect<A, ShardError> =>
  Effect.mapError(effect, (error) =>
    error._tag === "StatementFailed" && isMissing(error)
      ? new NotInstalled({ found: undefined, expected: PgInstall.version, shard: error.shard })
      : error
  )

/** The last tag (its first word, as the driver gives it) is that of the command, unless the transaction had failed before. */
const ended = (
  results: Effect.Effect<ReadonlyArray<RawResult>, ShardError>,
  { decider }: GlobalId.GlobalId,
  tag: string
): Effect.Effect<void, ShardError> =>
  Effect.flatMap(results, (list) =>
    list.at(-1)?.command === tag ? Effect.void : Effect.fail(new TransactionRolledBack({ shard: decider }))
  )

const decisionOf = (results: ReadonlyArray<RawResult>): Decision => {
  const row = results.at(-1)?.rows[0]
  if (row?.outcome === "committed" || row?.outcome === "rolledBack") return row.outcome
  return row?.forgotten === "true" ? "forgotten" : "absent"
}

/** The branch is not there. Its own xid says why: a commit that nobody made is never taken for one. */
const finishedBy = (outcome: Outcome, status: unknown): Finished => {
  if (status === "committed") return outcome === "committed" ? "elsewhere" : "otherwise"
  if (status === "aborted") return outcome === "rolledBack" ? "elsewhere" : "otherwise"
  return "busy"
}
