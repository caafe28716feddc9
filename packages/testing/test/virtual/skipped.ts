/**
 * The suites of the project that run on virtual shards as well as on servers, and what of them does not: by name, with the reason.
 *
 * Holds: an entry without a test is a file that is left out. `Skipped.test.ts` finds entries of tests that are gone, and
 * `npm run test:virtual` with `listedVariable` set those that pass meanwhile.
 */

/** Routing, merging, writes and transactions. */
export const suites: ReadonlyArray<string> = [
  "packages/pg/test/Merge*.pg.test.ts",
  "packages/pg/test/Router*.pg.test.ts",
  "packages/pg/test/Transaction*.pg.test.ts",
  "packages/pg/test/Writes*.pg.test.ts",
  "packages/pg/test/merge/*.pg.test.ts"
]

/** Those that every test run has on virtual shards: half a minute. */
export const always: ReadonlyArray<string> = [
  "packages/pg/test/MergeRouter.pg.test.ts",
  "packages/pg/test/RouterExplain.pg.test.ts",
  "packages/pg/test/TransactionAtomic.pg.test.ts"
]

/** Set to `listed`: what is skipped runs, and nothing else. */
export const listedVariable = "SHARDLAYER_TEST_VIRTUAL"

export const isListedRun = process.env[listedVariable] === "listed"

export interface Skipped {
  readonly file: string
  /** With the suites around it, as vitest prints it; undefined: the whole file. */
  readonly test: string | undefined
  readonly reason: string
}

const sessions = "a shard has one session: two transactions, or a transaction and a look at it, do not run side by side"
const proxies =
  "a connection that is cut off or stalled keeps the one session of its shard, where a server has others for those who come after it"
const servers = "the test kills, pauses or restarts a server, and a virtual shard is none"
const settings = "the test starts servers with settings of their own, and virtual shards have one start"
const collations = "of ICU's collations PGlite has the root alone: no en-x-icu, no en-US"
const extensions = "PGlite brings no extension but plpgsql: no citext, no hstore"
const sleeping =
  "pg_sleep holds up the whole process, PGlite stops at no cancel, and there is no other session to see a statement under way"

const file = (name: string, reason: string): Skipped => ({
  file: `packages/pg/test/${name}.pg.test.ts`,
  test: undefined,
  reason
})

const tests = (name: string, suite: string, reason: string, ...titles: ReadonlyArray<string>): ReadonlyArray<Skipped> =>
  titles.map((title) => ({ file: `packages/pg/test/${name}.pg.test.ts`, test: `${suite} > ${title}`, reason }))

export const skipped: ReadonlyArray<Skipped> = [
  file("RouterDown", servers),
  file("TransactionCrash", servers),
  file("TransactionStalled", proxies),
  file("merge/Collations", collations),
  ...tests(
    "MergeDeepPage",
    "pages far down",
    sessions,
    "show each commit over several shards whole or not at all, also where they were guessed"
  ),
  ...tests(
    "MergeReduced",
    "a gather of many rows",
    sessions,
    "sees one moment of each shard, and gives its connections back"
  ),
  ...tests(
    "RouterCoordinator",
    "a coordinator that is chosen",
    collations,
    "that is no shard refuses what it may not have as the shards do, and takes enums that are alike"
  ),
  ...tests(
    "RouterCoordinator",
    "a coordinator that is chosen",
    servers,
    "that is down fails what it should finish, by its name, and nothing else"
  ),
  ...tests(
    "RouterLoad",
    "the router under load",
    "64 fibers take turns in the one session of each shard: on a busy machine longer than the two minutes that the test has",
    "10,000 mixed statements, 64 fibers, random interruption: pools and backends are as they were"
  ),
  ...tests(
    "RouterPolicy",
    "policies",
    sleeping,
    "the first failure interrupts the siblings, on the server too",
    "a shard that is too slow is named, its statement cancelled, its siblings interrupted",
    "a read is tried anew after its backend was killed; a write is not"
  ),
  ...tests(
    "RouterPolicy",
    "policies",
    servers,
    "a server that hangs: in bounded time, for as long as it hangs",
    "one server down: the rows of the others, and who is missing; tried anew once it is back"
  ),
  ...tests(
    "RouterStart",
    "a router that starts",
    settings,
    "names in one warning all shards whose servers prepare nothing, and starts"
  ),
  ...tests(
    "RouterReport",
    "a report",
    settings,
    "has each kind of finding at once, a line each; the start that asks for none fails with it"
  ),
  ...tests(
    "TransactionAtomic",
    "transactions over several shards",
    sessions,
    "row locks hold on each shard until the end",
    "deadlocks over two and three shards end with the youngest, within two timeouts; retries get all of them through"
  ),
  ...tests(
    "TransactionPlanted",
    "a session whose PREPARE was not answered",
    sessions,
    "given to the next one, it brings a foreign transaction along, and that is seen"
  ),
  ...tests(
    "TransactionRecovery",
    "recovery",
    "while a transaction is prepared on a shard, what writes there waits for its end: PostgreSQL would wait in the one session for ever",
    "other installations' and other programs' prepared transactions are left alone"
  ),
  ...tests(
    "TransactionRecovery",
    "recovery",
    "advisory locks are common to all connections of a shard: each of two processes gets the one that only one may have",
    "in the background: what a dead router left is ended within seconds, by one of several processes"
  ),
  ...tests(
    "TransactionRecovery",
    "recovery",
    settings,
    "a server without prepared transactions is named before anything is touched; one shard goes on"
  ),
  ...tests(
    "TransactionRecovery",
    "recovery",
    servers,
    "a server that dies at each step: nothing is half done once it is back"
  ),
  ...tests(
    "TransactionViews",
    "reads beside commits over several shards",
    sessions,
    "a sum, a stream and a snapshot are never those of half a transfer, and one without views is",
    "a snapshot stands still, cannot write, and gives its connections back",
    "transactions with options: one shard alone, isolation, a limit of time, retries"
  ),
  ...tests(
    "WritesFaults",
    "wide writes under faults",
    servers,
    "are all or nothing where a server is killed in the middle"
  ),
  ...tests(
    "merge/Types",
    "types are compared, grouped and handed on as one PostgreSQL does",
    collations,
    "made by users",
    "made of these: arrays and ranges; and some of PostgreSQL's own"
  ),
  ...tests(
    "merge/Types",
    "types are compared, grouped and handed on as one PostgreSQL does",
    extensions,
    "of extensions",
    "of extensions away from the search path"
  )
]

export const reasonOf = (name: string, title: string): string | undefined =>
  skipped.find(({ file: own, test }) => own === name && (test === undefined || test === title))?.reason

/** Files that are left out, except where what is listed runs. */
export const wholes: ReadonlyArray<string> = skipped.flatMap(({ file: own, test }) => (test === undefined ? [own] : []))

export const excluded: ReadonlyArray<string> = isListedRun ? [] : wholes
